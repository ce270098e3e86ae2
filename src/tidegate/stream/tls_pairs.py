"""Certificates whose names have variables: read when a handshake needs them, and perhaps kept.

As in nginx workers read them, with the rights that workers have, and what cannot be read refuses
that client alone.
"""

from __future__ import annotations

import os
import time
from errno import EINVAL
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.pem_files import DATA, as_openssl, content
from tidegate.engine.tls_pem import Certificate, Key, TlsError, check_pair
from tidegate.variables.template import compile_template
from tidegate.variables.values import encode
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.config.model_tls import NamedPairs, PairCache
    from tidegate.stream.session import Session

# Characters of a path that a message shows; no system takes longer ones.
LONGEST_PATH = 4096

# Device, inode, size and time of change: a file that has the same is the same.
Signature = tuple[int, int, int, int]


class Entry:
    """A file that was read: what it gave, and when it was looked at and used, in seconds."""

    __slots__ = ("looked", "made", "signature", "used")

    def __init__(self, made: Certificate | Key, signature: Signature, now: float) -> None:
        self.made = made
        self.signature = signature
        self.looked = self.used = now


class Names(NamedTuple):
    """One pair of names with variables in them."""

    certificate: Callable[[Session], str]
    key: Callable[[Session], str]


class PairFiles:
    """The pairs of one server, or of its way to brokers."""

    def __init__(
        self,
        named: NamedPairs,
        passwords: tuple[bytes, ...],
        getters: Mapping[str, Callable[[Session], str | None]],
    ) -> None:
        self._folder = named.folder
        self._passwords = passwords
        self._cache = named.cache
        self._kept: dict[tuple[type, str], Entry] = {}  # what was used last is last
        self._names = tuple(
            Names(compile_template(certificate, getters), compile_template(key, getters))
            for certificate, key in named.pairs
        )

    def names(self, session: Session) -> tuple[tuple[str, str], ...]:
        """What the names are for this session; a pair without a certificate's name is left out."""
        found = ((one.certificate(session), one.key(session)) for one in self._names)
        return tuple(pair for pair in found if pair[0])

    def read(self, names: tuple[tuple[str, str], ...]) -> tuple[tuple[Certificate, Key], ...]:
        """The pairs of these names; raises TlsError in nginx's words."""
        return tuple(self._pair(certificate, key) for certificate, key in names)

    def _pair(self, certificate: str, key: str) -> tuple[Certificate, Key]:
        first, second = self._certificate(certificate), self._key(key)
        check_pair(first, second)
        return first, second

    def _certificate(self, name: str) -> Certificate:
        made = self._find(Certificate, name)
        if made is None:
            shown, data, signature = self._content(name, "certificate")
            made = Certificate(shown, data)
            self._keep(Certificate, name, made, signature)
        assert isinstance(made, Certificate)
        return made

    def _key(self, name: str) -> Key:
        made = self._find(Key, name)
        if made is None:
            shown, data, signature = self._content(name, "certificate key")
            made = Key(shown, data, self._passwords)
            self._keep(Key, name, made, signature)
        assert isinstance(made, Key)
        return made

    def _content(self, name: str, what: str) -> tuple[str, bytes, Signature | None]:
        """How messages call a file, what is in it, and its signature."""
        if name.startswith(DATA):
            return DATA, encode(name.removeprefix(DATA)), None
        path = os.path.join(self._folder, name)
        shown = quoted(path, most=LONGEST_PATH)[1:-1]
        try:
            signature = _signature(path)
            return shown, content(path), signature
        except ValueError:
            error = OSError(EINVAL, os.strerror(EINVAL))  # a NUL in it
        except OSError as found:
            error = found
        why = as_openssl(error, shown)
        raise TlsError(f'cannot load {what} "{shown}": BIO_new_file() failed {why}')

    # --- ssl_certificate_cache ---

    def _find(self, kind: type, name: str) -> Certificate | Key | None:
        entry = self._kept.pop((kind, name), None)
        if entry is None or self._cache is None:
            return None
        now = time.monotonic()
        if now - entry.looked > self._cache.valid:
            try:
                if _signature(os.path.join(self._folder, name)) != entry.signature:
                    return None
            except OSError:
                return None
            entry.looked = now
        entry.used = now
        self._kept[kind, name] = entry
        return entry.made

    def _keep(
        self, kind: type, name: str, made: Certificate | Key, signature: Signature | None
    ) -> None:
        if self._cache is None or signature is None:
            return
        now = time.monotonic()
        self._kept[kind, name] = Entry(made, signature, now)
        self._make_room(self._cache, now)

    def _make_room(self, cache: PairCache, now: float) -> None:
        """Let those go that nobody used for long, and as many as are too many."""
        for key, entry in list(self._kept.items()):
            if len(self._kept) <= cache.most and now - entry.used <= cache.inactive:
                return
            del self._kept[key]


def _signature(path: str) -> Signature:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

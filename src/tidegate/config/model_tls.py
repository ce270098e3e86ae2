"""What a configuration means for TLS: frozen data, as in `config.model`.

Files are here with their contents, read by the master, whose rights workers do not have. No repr
shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from tidegate.config.model import Stream
    from tidegate.config.model_http import Http
    from tidegate.variables.template import Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Pem:
    """A file in PEM; `path` is absolute, and for messages only."""

    path: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate with the chain behind it, and its private key."""

    certificate: Pem
    key: Pem


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCache:
    """`ssl_certificate_cache`: how many files are kept, at most; times in seconds.

    Without a use for `inactive` one goes; after `valid` it is looked at whether it has changed.
    """

    most: int
    inactive: int
    valid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPairs:
    """Pairs whose names have variables: files of certificate and key, read for each handshake.

    Relative names are looked up in `folder`.
    """

    pairs: tuple[tuple[Template, Template], ...]
    folder: str
    cache: PairCache | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCache:
    """`ssl_session_cache`: `own` is "off", "none", or a number of sessions that a worker keeps.

    It is "shared" where none are kept but in the `zone`: shared memory, by name and size in bytes.
    """

    own: str | int
    zone: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The `ssl_…` of a server that has a `listen … ssl`; with `named` pairs there are no others.

    A server of http that has none at all is there for whom it verifies: it `shakes` no hands.
    """

    pairs: tuple[KeyPair, ...]
    named: NamedPairs | None
    passwords: tuple[bytes, ...] = field(repr=False)
    protocols: tuple[str, ...]
    ciphers: str
    prefer_server_ciphers: bool
    ecdh_curve: str
    dhparam: Pem | None
    commands: tuple[tuple[str, str], ...]
    client_certificate: Pem | None
    trusted_certificate: Pem | None
    crl: Pem | None
    verify_client: str
    verify_depth: int
    session_cache: SessionCache
    session_timeout: int  # seconds
    session_tickets: bool
    ticket_keys: tuple[bytes, ...] = field(repr=False)
    handshake_timeout_ms: int
    alpn: tuple[str, ...]
    reject_handshake: bool
    staple: Pem | None = None  # an OCSP answer, which is no PEM but DER

    @property
    def shakes(self) -> bool:
        """Whether a client that names the server is met on its terms, not the default server's."""
        return bool(self.pairs) or self.named is not None or self.reject_handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTls:
    """The `proxy_ssl_…` of a server with `proxy_ssl on`; without a `name` it is `proxy_pass`'s."""

    pair: KeyPair | None
    named: NamedPairs | None
    passwords: tuple[bytes, ...] = field(repr=False)
    protocols: tuple[str, ...]
    ciphers: str
    commands: tuple[tuple[str, str], ...]
    trusted_certificate: Pem | None
    crl: Pem | None
    verify: bool
    verify_depth: int
    name: Template
    server_name: bool
    session_reuse: bool
    alpn: tuple[str, ...]


def session_caches(*protocols: Stream | Http | None) -> tuple[tuple[str, int], ...]:
    """The shared memory that servers keep sessions in, by name and size in bytes; each once."""
    servers = [server for one in protocols if one is not None for server in one.servers]
    zones = [server.tls.session_cache.zone for server in servers if server.tls is not None]
    return tuple(dict.fromkeys(zone for zone in zones if zone is not None))

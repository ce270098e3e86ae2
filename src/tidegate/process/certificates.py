"""Certificates, keys and lists that change on disk are put in force without a reload.

The master sees them, who may read them. What is new is tried first: a key that does not fit its
certificate, or a file half written, leaves the old one in use.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from tidegate.config.build_tls import ending
from tidegate.config.model import Proxy
from tidegate.config.model_http import HttpProxy
from tidegate.config.model_tls import KeyPair, Pem, Tls
from tidegate.config.parts import (
    http_servers,
    locations,
    tls_of_proxies,
    tls_of_servers,
    with_tls,
)
from tidegate.config.pem_files import DATA
from tidegate.config.pem_files import content as content_of
from tidegate.config.secure import SecureError, client_context, server_context
from tidegate.dataclasses import fields, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tidegate.config.model import Model, Server
    from tidegate.config.model_tls import ProxyTls

# How often files are looked at: a rotation is not in a hurry, and a look costs one stat() a file.
LOOK_SECONDS = 5.0

# How often the end of a certificate that is near is told.
TELL_SECONDS = 86_400.0

Secured = TypeVar("Secured", "Tls", "ProxyTls")

# Device, inode, size and time of change: a file that has the same is the same.
Signature = tuple[int, int, int, int]


class Certificates:
    """What is known of the files of a model; `error` and `warn` get lines for the log."""

    def __init__(self, *, error: Callable[[str], None], warn: Callable[[str], None]) -> None:
        self._error = error
        self._warn = warn
        self._read: dict[str, tuple[Signature, bytes]] = {}
        self._suspects: set[str] = set()
        self._told: set[str] = set()
        self._ends: dict[str, float] = {}

    def look(self, model: Model) -> Model | None:
        """The model with what has changed in it; None where nothing is to be done."""
        problems: set[str] = set()
        servers = tuple(self._server(server, problems) for server in _servers(model))
        renewed: dict[Tls | ProxyTls, Tls | ProxyTls] = {}
        for one in _of_http(model):
            if isinstance(one, Tls):
                renewed[one] = self._renewed(one, problems)
            else:
                renewed[one] = self._renewed(one, problems)
        # A certificate and its key are seldom written at once: what is wrong twice is told.
        for problem in problems & self._suspects - self._told:
            self._error(f"{problem}; the former one stays in use")
        self._told = self._told & problems | problems & self._suspects
        self._suspects = problems
        self._tell_ends(model)
        if model.stream is not None and servers != model.stream.servers:
            model, changed = replace(model, stream=replace(model.stream, servers=servers)), True
        else:
            changed = False
        if model.http is not None and any(new is not old for old, new in renewed.items()):
            model, changed = replace(model, http=with_tls(model.http, renewed)), True
        return model if changed else None

    def _server(self, server: Server, problems: set[str]) -> Server:
        if server.tls is not None:
            tls = self._renewed(server.tls, problems)
            if tls is not server.tls:
                server = replace(server, tls=tls)
        to = server.content
        if isinstance(to, Proxy) and to.tls is not None:
            proxy_tls = self._renewed(to.tls, problems)
            if proxy_tls is not to.tls:
                server = replace(server, content=replace(to, tls=proxy_tls))
        return server

    def _renewed(self, tls: Secured, problems: set[str]) -> Secured:
        """`tls` with its files as they are now; unchanged where they are, or are of no use."""
        try:
            values: dict[str, Any] = {
                one.name: self._value(getattr(tls, one.name)) for one in fields(tls)
            }
            new = replace(tls, **values)
            if new == tls:
                return tls
            if isinstance(new, Tls):
                server_context(new)
            else:
                client_context(new, timeout_ms=1)
        except SecureError as error:
            problems.add(error.message)
            return tls
        except OSError as error:
            number = error.errno or 0
            problems.add(f'open() "{error.filename}" failed ({number}: {os.strerror(number)})')
            return tls
        return new

    def _value(self, value: object) -> object:
        if isinstance(value, Pem):
            return self._pem(value)
        if isinstance(value, KeyPair):
            return KeyPair(certificate=self._pem(value.certificate), key=self._pem(value.key))
        if isinstance(value, tuple):
            return tuple(self._value(one) for one in value)
        return value

    def _pem(self, pem: Pem) -> Pem:
        if pem.path == DATA:
            return pem
        found = os.stat(pem.path)
        signature = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        known = self._read.get(pem.path)
        if known is None or known[0] != signature:
            known = self._read[pem.path] = signature, content_of(pem.path)
        return pem if known[1] == pem.data else Pem(path=pem.path, data=known[1])

    def _tell_ends(self, model: Model) -> None:
        now = time.time()
        for pem in certificates_of(model):
            message = ending(pem, now)
            if message is not None and now - self._ends.get(pem.path, 0.0) >= TELL_SECONDS:
                self._ends[pem.path] = now
                self._warn(message)


def certificates_of(model: Model) -> Iterator[Pem]:
    """The certificates that we show to others."""
    for tls in tls_of_servers(model):
        yield from (pair.certificate for pair in tls.pairs)
    for to in tls_of_proxies(model):
        if to.pair is not None:
            yield to.pair.certificate


def _servers(model: Model) -> tuple[Server, ...]:
    return () if model.stream is None else model.stream.servers


def _of_http(model: Model) -> set[Tls | ProxyTls]:
    found: set[Tls | ProxyTls] = set()
    for server in http_servers(model):
        if server.tls is not None:
            found.add(server.tls)
        for location in locations(server):
            content = location.content
            if isinstance(content, HttpProxy) and content.tls is not None:
                found.add(content.tls)
    return found

"""What a model has in all of its contexts: upstreams, addresses, logs, zones, TLS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import model
from tidegate.config.model_http import HttpProxy
from tidegate.dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from tidegate.config.model import (
        AccessLog,
        ErrorLog,
        LimitConnZone,
        Listen,
        Model,
        Sticky,
        Upstream,
    )
    from tidegate.config.model_http import Http, HttpServer, Location
    from tidegate.config.model_tls import ProxyTls, Tls
    from tidegate.wire.address import Address


def upstreams(of: Model) -> tuple[Upstream, ...]:
    """The upstreams of stream, then those of http."""
    return (
        *(() if of.stream is None else of.stream.upstreams),
        *(() if of.http is None else of.http.upstreams),
    )


def limit_conn_zones(of: Model) -> tuple[LimitConnZone, ...]:
    """Every `limit_conn_zone`; stream and http share their names."""
    return (
        *(() if of.stream is None else of.stream.limit_conn_zones),
        *(() if of.http is None else of.http.limit_conn_zones),
    )


def learned(of: Model) -> tuple[Sticky, ...]:
    """The `sticky learn` of every upstream that has one."""
    return tuple(one.sticky for one in upstreams(of) if one.sticky is not None)


def listens(of: Model) -> Iterator[Listen]:
    """Every address; servers that share one have it once."""
    found: dict[Address, Listen] = {}
    for server in of.stream.servers if of.stream is not None else ():
        for listen in server.listens:
            found.setdefault(listen.address, listen)
    for one in http_servers(of):
        for shared in one.listens:
            found.setdefault(shared.listen.address, shared.listen)
    yield from found.values()


def http_servers(of: Model) -> tuple[HttpServer, ...]:
    """The servers of http."""
    return () if of.http is None else of.http.servers


def locations(server: HttpServer) -> Iterator[Location]:
    """What the server does elsewhere, and every location in it."""
    yield server.outside
    yield from _with_nested(server.locations)


def _with_nested(some: tuple[Location, ...]) -> Iterator[Location]:
    for one in some:
        yield one
        yield from _with_nested(one.nested)


def error_logs(of: Model) -> Iterator[ErrorLog]:
    """Every error log; some come often."""
    yield from of.error_logs
    for server in of.stream.servers if of.stream is not None else ():
        yield from server.error_logs
    for one in http_servers(of):
        yield from one.error_logs
        for location in locations(one):
            yield from location.error_logs


def access_logs(of: Model) -> Iterator[AccessLog]:
    """Every access log; some come often."""
    for server in of.stream.servers if of.stream is not None else ():
        yield from server.access_logs
    for one in http_servers(of):
        for location in locations(one):
            yield from location.access_logs


def tls_of_servers(of: Model) -> Iterator[Tls]:
    """The TLS of every server that has it."""
    for server in of.stream.servers if of.stream is not None else ():
        if server.tls is not None:
            yield server.tls
    for one in http_servers(of):
        if one.tls is not None:
            yield one.tls


def tls_of_proxies(of: Model) -> Iterator[ProxyTls]:
    """The TLS to every upstream that is spoken to so."""
    for server in of.stream.servers if of.stream is not None else ():
        to = server.content
        if isinstance(to, model.Proxy) and to.tls is not None:
            yield to.tls
    for one in http_servers(of):
        for location in locations(one):
            content = location.content
            if isinstance(content, HttpProxy) and content.tls is not None:
                yield content.tls


def with_tls(http: Http, renewed: Mapping[Tls | ProxyTls, Any]) -> Http:
    """The same with other TLS in place of some."""

    def renew(one: Location) -> Location:
        content = one.content
        if isinstance(content, HttpProxy) and content.tls is not None:
            content = replace(content, tls=renewed.get(content.tls, content.tls))
        return replace(one, content=content, nested=tuple(map(renew, one.nested)))

    servers = tuple(
        replace(
            one,
            tls=one.tls and renewed.get(one.tls, one.tls),
            outside=renew(one.outside),
            locations=tuple(map(renew, one.locations)),
        )
        for one in http.servers
    )
    return replace(http, servers=servers)

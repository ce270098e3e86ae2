"""What `tidegate run` shows when it has started: at most ten lines."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

from tidegate.cli.words import http_words, method_words, mqtt_words, name_words, to_words
from tidegate.config.model import Pass, Proxy
from tidegate.config.parts import http_servers, upstreams
from tidegate.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tidegate.config.model import Model, Server, Upstream
    from tidegate.config.model_http import HttpServer

# Title, files, four of each of the next two, limits.
ROWS = 3
SHOWN = 3  # items of one list


def start_block(model: Model) -> str:
    """Name the version, the files, what is listened on, where it goes, and the limits."""
    return "\n".join(_lines(model))


def _lines(model: Model) -> Iterator[str]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield f"tidegate {VERSION} (Python {python}), process {os.getpid()}"
    yield f"  read      {_some(map(_with_size, model.files))}"
    stream = model.stream
    servers = [*map(_listens, stream.servers if stream else ())]
    servers += map(_http_listens, http_servers(model))
    yield from _at_most("  listen    ", servers)
    yield from _at_most("  upstream  ", map(_peers, upstreams(model)))
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = model.worker_rlimit_nofile or soft
    yield (
        f"  limits    {model.worker_processes} workers,"
        f" {model.worker_connections} connections and {files} descriptors each"
    )


def _listens(server: Server) -> str:
    to = _content(server)
    addresses = _some(
        listen.address.text + (" reuseport" if listen.reuseport else "")
        for listen in server.listens
    )
    proxied = isinstance(server.content, Proxy) and server.content.protocol
    mqtt = mqtt_words(server)
    return (
        f"{addresses} → {name_words(server)}{to}{f' ({mqtt})' if mqtt else ''}"
        f"{' with PROXY protocol' if proxied else ''}"
    )


def _content(server: Server) -> str:
    content = server.content
    if isinstance(content, Proxy):
        return str(content.upstream)
    return f"pass {to_words(content)}" if isinstance(content, Pass) else "return"


def _http_listens(server: HttpServer) -> str:
    addresses = _some(listen.listen.address.text for listen in server.listens)
    return f"{addresses} → {http_words(server)}"


def _peers(upstream: Upstream) -> str:
    peers = [(peer.address.text, peer) for peer in upstream.peers if not peer.resolved]
    peers += [(f"{one.peer.name} (resolve)", one.peer) for one in upstream.moving]
    names = _some(
        text + (" (down)" if peer.down else "") + (" (backup)" if peer.backup else "")
        for text, peer in peers
    )
    method = method_words(upstream.method)
    return f"{upstream.name}{f' ({method})' if method else ''}: {names}"


def _at_most(head: str, rows: Iterable[str]) -> Iterator[str]:
    """Up to `ROWS` rows, and a last one that counts the others."""
    every = list(rows)
    shown = every if len(every) <= ROWS else every[: ROWS - 1]
    for row in shown:
        yield head + row
        head = " " * len(head)
    if len(shown) < len(every):
        yield f"{head}and {len(every) - len(shown)} more"


def _some(items: Iterable[str]) -> str:
    every = list(items)
    if len(every) <= SHOWN:
        return ", ".join(every)
    return f"{', '.join(every[:SHOWN])} and {len(every) - SHOWN} more"


def _with_size(path: str) -> str:
    try:
        return f"{path} ({os.path.getsize(path)} bytes)"
    except OSError:
        return path

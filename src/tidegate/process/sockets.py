"""The listening sockets: opened once by the master, shared by all workers.

One for each address, or with `reuseport` one for each address and worker. Two addresses of one
port, one of them the wildcard, get a socket each, and the kernel chooses the one that fits best;
nginx has one socket and chooses itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level
from tidegate.process.errors import StartError, failed
from tidegate.process.holders import holder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.config.model import Keepalive, Listen
    from tidegate.wire.address import Address

# nginx's numbers: an instance that is just ending has this long to give the address back.
TRIES = 5
PAUSE_SECONDS = 0.5

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 compared with, not bound to
ANY_USER = 0o666  # nginx's mode for Unix sockets: whoever reaches the path may connect


class Row(NamedTuple):
    """One socket to be: for all workers, or with `reuseport` for that in `slot`.

    `joins` says that its port has a socket of ours already, `leads` that others come after it.
    """

    listen: Listen
    slot: int | None
    joins: bool
    leads: bool


class ListeningSockets:
    """All listening sockets of this instance."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int | None], socket.socket] = {}
        self._paths: list[tuple[str, os.stat_result]] = []

    def for_worker(self, slot: int) -> dict[str, int]:
        """Give what the worker in `slot` listens on: descriptors by the text of their address.

        All the shared ones, and its own of each `reuseport`.
        """
        return {
            text: sock.fileno()
            for (text, owner), sock in self._sockets.items()
            if owner in {None, slot}
        }

    def open(
        self, listens: Sequence[Listen], *, workers: int, note: Callable[[Level, str], None]
    ) -> None:
        """Bind and listen on all of `listens`, or close what was opened and raise StartError.

        An address in use is tried again for two seconds; `note` is told once that this happens.
        """
        rows = _wanted(listens, workers)
        try:
            self._bind_all(rows, note)
            for row in rows:
                _listen(self._sockets[row.listen.address.text, row.slot], row.listen)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all sockets and remove the paths of those that are ours."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        for path, made in self._paths:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), made):
                    os.unlink(path)
        self._paths.clear()

    def _bind_all(self, rows: list[Row], note: Callable[[Level, str], None]) -> None:
        waiting = deque(rows)
        for attempt in range(TRIES):
            if attempt > 0:
                time.sleep(PAUSE_SECONDS)
            # In order, and no further than the first that fails: those that join a port may only
            # be bound after the one that has proved it free.
            while waiting and self._bind(waiting[0]):
                waiting.popleft()
            if not waiting:
                return
            if attempt == 0:
                note(Level.EMERG, _in_use(waiting[0].listen.address))
                note(Level.NOTICE, "try again to bind() after 500ms")
        raise StartError("still could not bind()", _whose(waiting[0].listen.address))

    def _bind(self, row: Row) -> bool:
        """Whether the socket is bound now; False while the address is in use."""
        address = row.listen.address
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            _prepare(sock, row.listen, joins=row.joins)
            if address.family == socket.AF_UNIX:
                _remove_stale(address.host)
            sock.bind(address.sockaddr)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                return False
            raise StartError(
                failed(f"bind() to {address.text}", error), _mend(error, address)
            ) from (error)
        if address.family == socket.AF_UNIX:
            os.chmod(address.host, ANY_USER)
            self._paths.append((address.host, os.stat(address.host)))
        elif row.leads:
            # Only now: bound without it, the socket has shown that nobody else is there; with it,
            # the others of this instance may join.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._sockets[address.text, row.slot] = sock
        return True


def _wanted(listens: Sequence[Listen], workers: int) -> list[Row]:
    """The sockets to open, in the order in which they are to be bound."""
    # Wildcards first: what holds any address of the port is found by them.
    by_text: dict[str, Listen] = {}
    for listen in sorted(listens, key=lambda one: one.address.host not in WILDCARDS):
        by_text.setdefault(listen.address.text, listen)
    ordered = list(by_text.values())
    wildcards = {_port(one) for one in ordered if one.address.host in WILDCARDS}
    rows = []
    for listen in ordered:
        wild = listen.address.host in WILDCARDS
        joins = not wild and _port(listen) in wildcards
        others = wild and sum(_port(one) == _port(listen) for one in ordered) > 1
        if not listen.reuseport:
            rows.append(Row(listen, None, joins=joins, leads=others))
            continue
        rows += [
            Row(listen, slot, joins=joins or slot > 0, leads=others or workers > 1)
            for slot in range(workers)
        ]
    return rows


def _port(listen: Listen) -> tuple[int, int]:
    return listen.address.family, listen.address.port


def _prepare(sock: socket.socket, listen: Listen, *, joins: bool) -> None:
    if listen.address.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if joins:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if listen.address.family == socket.AF_INET6:
        only = listen.ipv6only is not False
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only))
    if listen.rcvbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, listen.rcvbuf)
    if listen.sndbuf is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, listen.sndbuf)
    if listen.keepalive is not None:
        _keepalive(sock, listen.keepalive)


def _keepalive(sock: socket.socket, keepalive: Keepalive) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(keepalive.on))
    for option, number in (
        (socket.TCP_KEEPIDLE, keepalive.idle),
        (socket.TCP_KEEPINTVL, keepalive.interval),
        (socket.TCP_KEEPCNT, keepalive.count),
    ):
        if keepalive.on and number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, number)


def _listen(sock: socket.socket, listen: Listen) -> None:
    if listen.address.family != socket.AF_UNIX:
        if listen.fastopen is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, listen.fastopen)
        if listen.deferred:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
    sock.setblocking(False)
    try:
        sock.listen(listen.backlog)
    except OSError as error:
        mend = _whose(listen.address) if error.errno == errno.EADDRINUSE else None
        raise StartError(failed(f"listen() to {listen.address.text}", error), mend) from error


def _remove_stale(path: str) -> None:
    """Remove a socket path that nobody listens on: a killed process leaves it behind."""
    try:
        if not stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def _in_use(address: Address) -> str:
    number = errno.EADDRINUSE
    return f"bind() to {address.text} failed ({number}: {os.strerror(number)})"


def _whose(address: Address) -> str:
    """Who is in the way, and what to do."""
    if address.family == socket.AF_UNIX and not _is_socket(address.host):
        return f"{address.text} is a file of another kind; choose another path"
    holder = holder_of(address)
    if holder is None:
        return f"another program listens on {address.text}"
    pid, name = holder
    if name.startswith("tidegate"):
        return (
            f"another tidegate listens on {address.text} (process {pid});"
            " stop it with -s stop, or choose another address"
        )
    return f"{name} listens on {address.text} (process {pid})"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True


def _mend(error: OSError, address: Address) -> str | None:
    if address.family == socket.AF_UNIX:
        return None
    if error.errno == errno.EACCES:
        return "run as root, grant CAP_NET_BIND_SERVICE, or use a port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no network interface of this machine has that address"
    return None

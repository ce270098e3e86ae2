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
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level
from tidegate.process.errors import StartError, failed
from tidegate.process.holders import holder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tidegate.config.model import Keepalive, Listen
    from tidegate.wire.address import Address

# nginx's numbers: an instance that is just ending has this long to give the address back.
TRIES = 5
PAUSE_SECONDS = 0.5

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 compared with, not bound to
ANY_USER = 0o666  # nginx's mode for Unix sockets: whoever reaches the path may connect


class Row(NamedTuple):
    """One socket to be open: the `nth` of its address.

    `joins` says that its port has other sockets of ours.
    """

    listen: Listen
    nth: int
    joins: bool

    @property
    def key(self) -> tuple[str, int]:
        """What the socket is known by."""
        return self.listen.address.text, self.nth


class ListeningSockets:
    """All listening sockets of this instance."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._paths: dict[str, os.stat_result] = {}

    def for_seat(self, seat: int, listens: Iterable[Listen], *, seats: int) -> dict[str, int]:
        """What the worker in `seat` of `seats` listens on: descriptors by `NTH:ADDRESS`.

        All sockets of an address or, with `reuseport`, its share of them: where workers became
        less, one has several, as to close a socket resets the clients in its queue.
        """
        shared = {listen.address.text: not listen.reuseport for listen in listens}
        return {
            f"{nth}:{text}": sock.fileno()
            for (text, nth), sock in self._sockets.items()
            if text in shared and (shared[text] or nth % seats == seat)
        }

    def open(
        self, listens: Sequence[Listen], *, workers: int, note: Callable[[Level, str], None]
    ) -> list[tuple[str, int]]:
        """Bind and listen on what of `listens` is not open yet, or raise StartError.

        Gives the keys of the new sockets, for `drop`; after an error there are none. An address in
        use is tried again for two seconds; `note` is told once that this happens.
        """
        rows = _wanted(listens, workers)
        new = [row for row in rows if row.key not in self._sockets]
        try:
            self._make_room(new)
            self._bind_all(new, note)
            for row in new:
                _listen(self._sockets[row.key], row.listen)
        except BaseException:
            self.drop(row.key for row in new)
            raise
        return [row.key for row in new]

    def drop(self, keys: Iterable[tuple[str, int]]) -> None:
        """Close these, and remove the paths of those that are ours."""
        for key in list(keys):
            sock = self._sockets.pop(key, None)
            if sock is None:
                continue
            sock.close()
            path = key[0].removeprefix("unix:")
            made = self._paths.pop(path, None)
            if made is not None:
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.stat(path), made):
                        os.unlink(path)

    def keep(self, listens: Iterable[Listen], *, note: Callable[[Level, str], None]) -> None:
        """Close all but those of `listens`, which may have another queue now.

        Only once they are in force: what fails leaves a socket as it was. `note` is told of an
        option that the system refuses.
        """
        wanted = _by_text(listens)
        self.drop([key for key in self._sockets if key[0] not in wanted])
        for (text, _nth), sock in self._sockets.items():
            try:
                _listen(sock, wanted[text])
            except (StartError, OSError) as error:
                note(Level.ALERT, f"{text} goes on with its former options: {error}")

    def close(self) -> None:
        """Close all sockets and remove the paths of those that are ours."""
        self.drop(self._sockets)

    def _make_room(self, new: list[Row]) -> None:
        """Let new sockets of a port join those that are open."""
        ports = {_port_of(row.listen.address) for row in new if row.joins}
        for sock in self._sockets.values():
            if sock.family != socket.AF_UNIX and (sock.family, sock.getsockname()[1]) in ports:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

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
            _prepare(sock, row.listen, joins=row.joins and self._has(_port_of(address)))
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
            self._paths[address.host] = os.stat(address.host)
        elif row.joins:
            # Only now: bound without it, the first has shown that nobody else is there; with it,
            # the others of this instance may join.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._sockets[row.key] = sock
        return True

    def _has(self, port: tuple[int, int]) -> bool:
        """Whether a socket of that family and port is open."""
        return any(
            sock.family == port[0] and sock.getsockname()[1] == port[1]
            for sock in self._sockets.values()
            if sock.family != socket.AF_UNIX
        )


def _wanted(listens: Sequence[Listen], workers: int) -> list[Row]:
    """The sockets to have open, in the order in which they are to be bound."""
    by_text = _by_text(listens)
    rows = [
        (listen, nth)
        for listen in by_text.values()
        for nth in range(workers if listen.reuseport else 1)
    ]
    crowds = Counter(_port_of(listen.address) for listen, _nth in rows)
    wild = {_port_of(one.address) for one in by_text.values() if one.address.host in WILDCARDS}
    return [
        Row(
            listen,
            nth,
            # Different addresses of a port do not disturb each other, but for the wildcard.
            joins=(listen.reuseport and workers > 1)
            or (_port_of(listen.address) in wild and crowds[_port_of(listen.address)] > 1),
        )
        for listen, nth in rows
    ]


def _by_text(listens: Iterable[Listen]) -> dict[str, Listen]:
    """The first of each address, in the order in which they are to be bound."""
    # Wildcards first: what holds any address of the port is found by them.
    by_text: dict[str, Listen] = {}
    for listen in sorted(listens, key=lambda one: one.address.host not in WILDCARDS):
        by_text.setdefault(listen.address.text, listen)
    return by_text


def _port_of(address: Address) -> tuple[int, int]:
    return address.family, address.port


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

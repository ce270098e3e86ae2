"""What master and child say to each other: JSON messages with descriptors beside them.

One SEQPACKET socket pair per child. Descriptors go down only; a message that carries more than the
kernel takes at once is split here and put together again at the other end. Nothing blocks: what
the socket does not take waits in a queue.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Mapping

MAX_DESCRIPTORS = 253  # SCM_MAX_FD of Linux
# Keys are paths of up to 4 KiB. A batch stays far below the smallest send buffer in use (212,992).
MAX_KEYS_BYTES = 32768
MAX_MESSAGE = 131072
AT_ONCE = 16  # messages read per turn, so that a talkative child does not hold up the others

MORE = "more"


class Message(NamedTuple):
    """One message; `fds` are open descriptors by their keys and belong to who receives it."""

    kind: str
    body: dict[str, object]
    fds: dict[str, int]


class ChannelError(Exception):
    """The other end said something that is no message."""


class Channel:
    """One end of the socket pair.

    Without `takes_descriptors` what the other end attaches is dropped by the kernel: the master
    must not be made to collect descriptors by a worker that was taken over.
    """

    def __init__(self, sock: socket.socket, *, takes_descriptors: bool) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._takes_descriptors = takes_descriptors
        self._collected: dict[str, int] = {}
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def send(self, kind: str, *, fds: Mapping[str, int] | None = None, **body: object) -> None:
        """Send now or, if the socket is full, as soon as it takes more.

        The descriptors stay the caller's. An end that is gone is no error here: whoever watches
        that process learns of it.
        """
        *first, last = _batches(fds or {})
        for batch in first:
            self._put({"type": MORE, "keys": list(batch)}, list(batch.values()))
        self._put({"type": kind, "keys": list(last), **body}, list(last.values()))

    def receive(self) -> Message:
        """Take the next whole message.

        Raises BlockingIOError when there is none yet, EOFError when the other end is gone and
        ChannelError when it is not understood.
        """
        while True:
            data, fds = self._take()
            if not data:
                raise EOFError
            kind, keys, body = _parse(data)
            if self._takes_descriptors:
                if len(keys) != len(fds):
                    _close(fds)
                    raise ChannelError(f"{len(keys)} descriptors announced, {len(fds)} came")
                self._collected.update(zip(keys, fds, strict=True))
            if kind != MORE:
                collected, self._collected = self._collected, {}
                return Message(kind, body, collected)

    def wait(self, seconds: float) -> Message:
        """Take the next message without an event loop; raises as `receive`, and TimeoutError."""
        self._socket.settimeout(seconds)
        try:
            return self.receive()
        finally:
            self._socket.setblocking(False)

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[Message], None],
        *,
        on_end: Callable[[Exception], None],
    ) -> None:
        """Hand each message to `on_message`; `on_end` is told once why no more will come."""

        def read() -> None:
            for _ in range(AT_ONCE):
                if self._socket.fileno() < 0:
                    return
                try:
                    message = self.receive()
                except BlockingIOError:
                    return
                except (EOFError, ChannelError, OSError) as error:
                    loop.remove_reader(self._socket)
                    on_end(error)
                    return
                on_message(message)

        self._loop = loop
        loop.add_reader(self._socket, read)
        if self._queue:
            loop.add_writer(self._socket, self._flush)

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        for _data, fds in self._queue:
            _close(fds)
        self._queue.clear()
        _close(self._collected.values())
        self._collected.clear()
        self._socket.close()

    def _put(self, message: dict[str, object], fds: list[int]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        if self._queue or not self._try(data, fds):
            # The caller may close its descriptors as soon as we return.
            self._queue.append((data, [os.dup(fd) for fd in fds]))
            if self._loop is not None:
                self._loop.add_writer(self._socket, self._flush)

    def _try(self, data: bytes, fds: list[int]) -> bool:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([data], rights)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True
        return True

    def _flush(self) -> None:
        while self._queue and self._try(*self._queue[0]):
            _close(self._queue.popleft()[1])
        if not self._queue and self._loop is not None:
            self._loop.remove_writer(self._socket)

    def _take(self) -> tuple[bytes, list[int]]:
        if not self._takes_descriptors:
            return self._socket.recv(MAX_MESSAGE), []
        room = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        data, ancillary, flags, _address = self._socket.recvmsg(
            MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC
        )
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
            _close(fds)
            raise ChannelError("descriptors were lost; is the limit of open files reached?")
        return data, list(fds)


def _batches(fds: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Parts of `fds` that fit into one message each; at least one, which may be empty."""
    batch: dict[str, int] = {}
    size = 0
    for key, fd in fds.items():
        if len(batch) == MAX_DESCRIPTORS or size + len(key) > MAX_KEYS_BYTES:
            yield batch
            batch, size = {}, 0
        batch[key] = fd
        size += len(key)
    yield batch


def _parse(data: bytes) -> tuple[str, list[str], dict[str, object]]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ChannelError("a message is no JSON") from error
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise ChannelError("a message has no type")
    kind = body.pop("type")
    keys = body.pop("keys", [])
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ChannelError("the keys of a message are no list of texts")
    return kind, keys, body


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)

"""Plain TCP servers that stand for brokers: they count, echo, hang, read slowly, reset.

Each runs in a thread with a loop of its own, on raw sockets: no buffer of a library between a test
and the moment when a byte, an end or a reset goes out.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import threading

from lab.sockets import reset

CHUNK = 65_536


class Session:
    """One accepted connection, as the node sees it."""

    def __init__(self, sock, node):
        self.sock = sock
        self.node = node
        self.received = bytearray()
        self.total = 0
        self.ended = None  # "end" or "reset", once the other side did

    async def recv(self, size=CHUNK) -> bytes:
        """Some bytes, b"" at the end or reset of the other side."""
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, size)
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE}:
                raise
            self.ended = "reset"
            return b""
        if not data:
            self.ended = "end"
        self.total += len(data)
        if self.node.keep:
            self.received += data
        return data

    async def send(self, data):
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def finish(self):
        """Send our end; the other direction stays open."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """End with a reset."""
        reset(self.sock)


async def echo(session):
    """Send back what comes; pass on the end."""
    while data := await session.recv():
        await session.send(data)


async def collect(session):
    """Read to the end."""
    while await session.recv():
        pass


async def hang(_session):
    """Accept and never read, write or close."""
    await asyncio.Event().wait()


async def close_at_once(_session):
    """Close before the first byte, as a node that refuses this kind of client does."""


def greet(data):
    """Send `data` at once, then echo."""

    async def serve(session):
        await session.send(data)
        await echo(session)

    return serve


class Node:
    """A listening node whose sessions are all served by one coroutine function."""

    def __init__(self, serve=echo, *, host="127.0.0.1", port=0, path=None, rcvbuf=None, keep=True):
        """Port 0 is a free one, `path` makes it a Unix socket, `keep` stores what comes."""
        self.serve = serve
        self.keep = keep
        self.sessions = []
        self.faults = []
        self._rcvbuf = rcvbuf
        self._open = set()
        if path:
            self._family, self._bound = socket.AF_UNIX, path
        else:
            self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._bound = (host, port)
        self._socket = self._bind()
        if not path:
            self._bound = (host, self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self._bound[1]

    @property
    def address(self) -> str:
        """As `server` and `$upstream_addr` spell it."""
        if self._family == socket.AF_UNIX:
            return f"unix:{self._bound}"
        host, port = self._bound
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def accepted(self) -> int:
        """How many connections it has accepted."""
        return len(self.sessions)

    @property
    def active(self) -> int:
        """How many of them are being served."""
        return len(self._open)

    @contextlib.contextmanager
    def refusing(self):
        """Within the block nobody listens: a connect is refused."""
        self._call(self._stop_accepting)
        try:
            yield
        finally:
            self._call(self._accept_again)

    def call(self, function):
        """Call a plain function in the node's thread, e.g. to set an event its sessions await."""

        async def run():
            function()

        self._call(run)

    def drop_sessions(self):
        """Reset all connections, as a broker that is killed does."""
        self._call(self._drop)

    def clean_up(self):
        """End the thread and close everything; fail when a session's coroutine failed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            if self._family == socket.AF_UNIX:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._bound)
        assert not self.faults, self.faults

    def _bind(self):
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        if self._family != socket.AF_UNIX:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._rcvbuf:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
        listener.bind(self._bound)
        listener.listen(4096)
        listener.setblocking(False)
        return listener

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._acceptor = self._loop.create_task(self._accept())
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        for session in self.sessions:
            # A task that was cancelled before its first step has not closed it.
            session.sock.close()
        self._socket.close()

    async def _accept(self):
        while True:
            sock, _ = await self._loop.sock_accept(self._socket)
            sock.setblocking(False)
            session = Session(sock, self)
            self.sessions.append(session)
            task = self._loop.create_task(self._serve(session))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _serve(self, session):
        try:
            await self.serve(session)
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.EBADF}:
                self.faults.append(error)
        except Exception as error:  # noqa: BLE001 - shown at the end of the test
            self.faults.append(error)
        finally:
            session.sock.close()

    async def _stop_accepting(self):
        self._acceptor.cancel()
        await asyncio.gather(self._acceptor, return_exceptions=True)
        self._socket.close()
        if self._family == socket.AF_UNIX:
            os.unlink(self._bound)

    async def _accept_again(self):
        self._socket = self._bind()
        self._acceptor = self._loop.create_task(self._accept())

    async def _drop(self):
        for session in self.sessions:
            if session.sock.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)
                session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, function):
        asyncio.run_coroutine_threadsafe(function(), self._loop).result(10)


class Hole:
    """An address that answers no connect at all: a full queue that nobody empties."""

    def __init__(self, host="127.0.0.1"):
        self._listener = socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self._fill = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((host, self.port))
            self._fill.append(sock)

    def clean_up(self):
        """Close it."""
        for sock in (*self._fill, self._listener):
            sock.close()

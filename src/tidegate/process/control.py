"""The control socket: questions to the master and orders for it, one JSON line each way.

It lies beside the pid file, 0600, so that who may ask is who the instance belongs to, and root.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from typing import TYPE_CHECKING

from tidegate.process.errors import StartError, failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    Answer = dict[str, object]
    Handlers = Mapping[str, Callable[[], Awaitable[Answer]]]

MODE = 0o600
MAX_QUESTION = 4096
MAX_ANSWER = 64 * 1024 * 1024  # of thousands of peers; the asker's bound
# So long may somebody take to ask; nobody is waited for who only connects.
ASK_SECONDS = 5.0
UCRED = struct.Struct("iII")


def path_beside(pid_file: str) -> str:
    """Where the control socket of the instance with this pid file is."""
    return os.path.realpath(pid_file).removesuffix(".pid") + ".ctl"


class ControlSocket:
    """The master's end; `handlers` answer by the word that a question begins with."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self.path = ""  # of the one that is open
        self._made: os.stat_result | None = None

    async def open(self, path: str) -> None:
        """Listen there; raises StartError. What a dead instance left is replaced."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        new = f"{path}.{os.getpid()}.new"
        try:
            with _folder(new) as name:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(new)
                # The mask of another thread may be another: the mode is set before any can connect.
                sock.bind(name)
                os.chmod(new, MODE)
            sock.listen()
            os.rename(new, path)
            self._made = os.stat(path)
        except OSError as error:
            sock.close()
            raise StartError(failed(f'bind() to "{path}"', error)) from error
        self.path = path
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_QUESTION)

    def close(self) -> None:
        """Answer no more, and remove the path if it is still ours."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(OSError):
            if self._made and os.path.samestat(os.stat(self.path), self._made):
                os.unlink(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader, writer)
            writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
            async with asyncio.timeout(ASK_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # who asked has gone, or said nothing
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        if not _may(writer.get_extra_info("socket")):
            return {"error": "only root and the user of the master may ask"}
        async with asyncio.timeout(ASK_SECONDS):
            line = await reader.readline()
        word = line.decode("utf-8", "replace").strip()
        handler = self._handlers.get(word)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return {"error": f"unknown question {word[:40]!r}, known are {known}"}
        return await handler()


def ask(pid_file: str, word: str, *, seconds: float) -> Answer:
    """Ask the master that this pid file belongs to.

    Raises FileNotFoundError or ConnectionRefusedError when there is no control socket, and
    StartError when there is no answer.
    """
    path = path_beside(pid_file)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, _folder(path) as name:
        sock.settimeout(seconds)
        try:
            sock.connect(name)
            sock.sendall(word.encode() + b"\n")
            data = _read(sock)
        except (FileNotFoundError, ConnectionRefusedError):
            raise
        except OSError as error:
            why = "no answer" if isinstance(error, TimeoutError) else os.strerror(error.errno or 0)
            raise StartError(f'"{path}": {why}', "is tidegate stopped, or very busy?") from error
    if not data.endswith(b"\n"):
        raise StartError(f'"{path}": the answer is incomplete', "did tidegate end meanwhile?")
    answer = json.loads(data)
    assert isinstance(answer, dict)
    return answer


def _read(sock: socket.socket) -> bytes:
    data = bytearray()
    while len(data) < MAX_ANSWER:
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return bytes(data)


def _may(sock: socket.socket) -> bool:
    _pid, uid, _gid = UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    )
    return uid in {0, os.geteuid()}


@contextlib.contextmanager
def _folder(path: str) -> Iterator[str]:
    """A name for `path` that a socket address has room for, which is 108 bytes."""
    fd = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{os.path.basename(path)}"
    finally:
        os.close(fd)

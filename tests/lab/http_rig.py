"""`http {}` in this process, WebSocket clients and brokers of MQTT that speak WebSocket.

Both sides' frames are those of the library websockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from lab.engine import Rig, until
from lab.stream import Lines
from tidegate.balance.placement import allot
from tidegate.config.load import load
from tidegate.engine.tls_resume import TicketKeys
from tidegate.http.runtime import HttpRuntime
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.scoreboard.board import Board

if TYPE_CHECKING:
    from tidegate.config.model import Level

PLAIN = object()  # a broker that speaks no WebSocket


class HttpRig(Rig):
    """A rig whose sessions are those of the servers in `text`."""

    def __init__(self, text: str, folder, *, level: Level, connections: int = 10_000) -> None:
        super().__init__(connections)
        path = folder / "tidegate.conf"
        path.write_text(f"events {{}} http {{ {text} }}")
        loaded = load(str(path), prefix=str(folder))
        assert loaded.model is not None, loaded.problems
        self.lines = Lines(level)
        self.board = Board.create(workers=1, upstreams=8, peers=32)
        placement = allot(loaded.model, self.board, None)
        self.runtime = HttpRuntime(
            engine=self.engine, board=self.board, worker=0, logs=self.lines, tickets=TicketKeys()
        )
        self.prepared = self.runtime.prepare(loaded.model.http, placement, {}, {})

    def serve(self, sock) -> None:
        """Accept on `sock` for the first address."""
        sock.setblocking(False)
        sockets = {port.address: [sock.fileno()] for port in self.prepared.ports}
        self.runtime.commit(self.prepared, sockets, shared=False)


class Node:
    """A broker: answers each CONNECT with `answer`, then keeps what it hears.

    `answer` None is silence, "close" is that. With `speaks` PLAIN it has no WebSocket; else that is
    the sub-protocol that it agrees to.
    """

    def __init__(self, answer=None, *, speaks="mqtt", status=101) -> None:
        self.answer = answer
        self.speaks = speaks
        self.status = status
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.heads = []
        self.connects = []
        self.behind = bytearray()
        self.frames = []
        self.say = None
        self.end = None

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.talk, sock=self.sock)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def talk(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self.speaks is PLAIN:
                self.say = writer.write
                await self.serve(reader.read, b"")
            else:
                await self.talk_frames(reader, writer)
        writer.close()

    async def talk_frames(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.status != 101:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            return
        shake = ServerProtocol(subprotocols=[self.speaks] if self.speaks else None)
        shake.receive_data(head)
        (request,) = shake.events_received()
        shake.send_response(shake.accept(request))
        writer.write(b"".join(shake.data_to_send()))
        frames = Protocol(Side.SERVER, max_size=None)

        def say(data):
            frames.send_binary(data)
            writer.write(b"".join(frames.data_to_send()))

        async def hear(size):
            while True:
                data = await reader.read(size)
                frames.receive_data(data) if data else frames.receive_eof()
                found = frames.events_received()
                writer.write(b"".join(frames.data_to_send()))
                self.frames += found
                payload = b"".join(
                    one.data for one in found if one.opcode in (Opcode.BINARY, Opcode.CONT)
                )
                if payload or not data or frames.close_rcvd:
                    return payload

        self.say = say
        await self.serve(hear, b"")

    async def serve(self, hear, data):
        while True:
            more = await hear(65536)
            if not more:
                return
            data += more
            found = parse_connect(data, limit=1 << 20)
            if hasattr(found, "client_id"):
                break
        self.connects.append(found)
        self.behind += data[len(found.packet) :]
        if isinstance(self.answer, bytes):
            self.say(self.answer)
        if self.answer == "close":
            return
        while more := await hear(65536):
            self.behind += more


class Client:
    """A client of MQTT in WebSocket; `status` is that of the answer to its handshake."""

    async def connect(self, sock, path="/mqtt", *, protocols=("mqtt",), behind=b"", headers=None):
        self.reader, self.writer = await asyncio.open_connection(*sock.getsockname())
        shake = ClientProtocol(parse_uri(f"ws://localhost{path}"), subprotocols=list(protocols))
        request = shake.connect()
        request.headers.update(headers or {})
        shake.send_request(request)
        self.writer.write(b"".join(shake.data_to_send()) + behind)
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.head = head
        self.status = int(head.split()[1])
        if self.status == 101:
            shake.receive_data(head)
            shake.events_received()
            assert shake.handshake_exc is None
            self.protocol = shake.subprotocol
        self.frames = Protocol(Side.CLIENT, max_size=None)
        self.pongs = []
        return self

    def send(self, data):
        self.frames.send_binary(data)
        self.flush()

    def flush(self):
        for data in self.frames.data_to_send():
            self.writer.write(data)

    def encode(self, opcode, data, *, fin=True):
        """A frame of a client as bytes."""
        return Frame(opcode, data, fin).serialize(mask=True)

    async def hear(self, size):
        """As many bytes in frames; fewer at a close or the end."""
        heard = b""
        while len(heard) < size:
            data = await self.reader.read(65536)
            frames = self.frames
            frames.receive_data(data) if data else frames.receive_eof()
            for one in frames.events_received():
                if one.opcode in (Opcode.BINARY, Opcode.CONT):
                    heard += one.data
                elif one.opcode is Opcode.PONG:
                    self.pongs.append(bytes(one.data))
            self.flush()
            if not data or frames.close_rcvd:
                break
        return heard

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    @property
    def code(self):
        """The code of the close that it got."""
        return self.frames.close_rcvd and self.frames.close_rcvd.code


def run(rig, entrance, main, *nodes):
    """Serve on `entrance` while `main` runs; every node has to be given back."""

    async def all_of_it():
        rig.serve(entrance)
        for one in nodes:
            await one.__aenter__()
        await main()
        await until(lambda: rig.engine.active == 0)
        for one in nodes:
            await one.__aexit__()
        assert [rig.board.peer_row(row).conns for row in range(4)] == [0] * 4

    rig.run(all_of_it)

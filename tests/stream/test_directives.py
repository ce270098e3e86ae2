"""Each directive that chooses a node or looks into MQTT does one thing or another by its value."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from dataclasses import dataclass

import pytest

from lab.engine import until
from lab.packets import CONNACK_OK, connect
from lab.waiting import PATIENCE
from tidegate.config.model import Level

BUSY = b"\x20\x02\x00\x03"  # CONNACK of MQTT 3.1.1: server unavailable
LONG = connect("x" * 5000)
LOG = "log_format f '$mqtt_preread_clientid $status'; access_log /dev/null f;"


@dataclass
class Late:
    """An answer that takes its time."""

    seconds: float
    answer: bytes


class Node:
    """Answers the first bytes of each connection with `answer`; None is silence."""

    def __init__(self, answer, order):
        self.answer = answer
        self.order = order
        self.heard = b""
        self.writers = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]

    async def serve(self, reader, writer):
        self.order.append(self)
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(65536):
                answer = self.answer
                if isinstance(answer, Late):
                    await asyncio.sleep(answer.seconds)
                    answer = answer.answer
                if answer and more[:1] == b"\x10":
                    writer.write(answer)
                self.heard += more
        writer.close()

    def hang_up(self):
        for writer in self.writers:
            writer.close()


class Client:
    """A connection to the balancer."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def hear(self, seconds=PATIENCE):
        """What comes next: bytes, b"" for the end, None for nothing in that time."""
        try:
            return await asyncio.wait_for(self.reader.read(100), seconds)
        except ConnectionError:
            return b""
        except TimeoutError:
            return None

    async def ask(self, packet):
        self.writer.write(packet)
        return await self.hear()

    async def leave(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class World:
    """A balancer in front of nodes; `order` tells which of them was connected to, in turn."""

    nodes: list[Node]
    order: list[Node]
    entrance: socket.socket
    access: list[str]

    async def client(self):
        return Client(*await asyncio.open_connection(*self.entrance.getsockname()))

    def numbers(self):
        """`order` by the place of each node in the upstream."""
        return [self.nodes.index(node) for node in self.order]


@pytest.fixture
def play(stream):
    """Run a scene: `server` and `upstream` are directives, `answers` those of the nodes."""

    def run(scene, *, server="", upstream="", answers=(CONNACK_OK,)):
        with contextlib.ExitStack() as stack:
            order = []
            nodes = [Node(answer, order) for answer in answers]
            for node in nodes:
                stack.enter_context(node.sock)
            entrance = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
            peers = "".join(f"server 127.0.0.1:{node.port};" for node in nodes)
            rig = stream(
                f"{LOG} upstream a {{ {upstream} {peers} }}"
                f" server {{ listen 1; proxy_pass a; {server} }}",
                level=Level.EMERG,
            )
            world = World(nodes, order, entrance, rig.lines.access)

            async def main():
                rig.serve(entrance)
                servers = [await asyncio.start_server(node.serve, sock=node.sock) for node in nodes]
                result = await scene(world)
                await until(lambda: rig.engine.active == 0)
                for one in servers:
                    one.close()
                return result

            return rig.run(main)

    return run


def asking(packet):
    """A scene: one client sends a packet; gives what it hears, and what the first node heard."""

    async def scene(world):
        client = await world.client()
        answer = await client.ask(packet)
        await client.leave()
        return answer, world.nodes[0].heard

    return scene


def test_mqtt_preread(play):
    async def scene(world):
        client = await world.client()
        assert await client.ask(connect("dev-1")) == CONNACK_OK
        await client.leave()
        await until(lambda: world.access)
        return world.access

    assert play(scene, server="mqtt_preread on;") == ["dev-1 200"]
    assert play(scene, server="mqtt_preread off;") == ["- 200"]


def test_mqtt(play):
    setting = "mqtt_set_connect clientid other;"
    answer, heard = play(asking(connect("dev-1")), server=f"mqtt on; {setting}")
    assert (answer, heard) == (CONNACK_OK, connect("other"))
    answer, heard = play(asking(connect("dev-1")), server=f"mqtt off; {setting}")
    assert (answer, heard) == (CONNACK_OK, connect("dev-1"))


@pytest.mark.parametrize("value", ["a", "dev-$remote_addr"])
def test_mqtt_set_connect(play, value):
    server = f"mqtt on; mqtt_set_connect clientid {value};"
    _, heard = play(asking(connect("dev-1")), server=server)
    assert heard == connect(value.replace("$remote_addr", "127.0.0.1"))


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("mqtt on; mqtt_buffers 2 1k;", "mqtt on; mqtt_buffers 2 10k;"),
        (
            "mqtt on; mqtt_buffers 1 1k; mqtt_rewrite_buffer_size 2k;",
            "mqtt on; mqtt_buffers 1 1k; mqtt_rewrite_buffer_size 20k;",
        ),
        (
            "mqtt on; mqtt_buffers 1 1k; preread_buffer_size 2k;",
            "mqtt on; mqtt_buffers 1 1k; preread_buffer_size 20k;",
        ),
    ],
    ids=["mqtt_buffers", "mqtt_rewrite_buffer_size", "preread_buffer_size"],
)
def test_a_connect_may_be_as_long_as_the_directive_says(play, small, large):
    least = "preread_buffer_size 1k;" if "preread" not in small else ""
    answer, heard = play(asking(LONG), server=f"{small} {least}")
    assert (answer, heard) == (b"", b"")
    answer, heard = play(asking(LONG), server=f"{large} {least}")
    assert (answer, heard) == (CONNACK_OK, LONG)


def test_preread_timeout(play):
    async def scene(world):
        client = await world.client()
        client.writer.write(connect("dev-1")[:9])
        told = await client.hear(0.5)
        if told is None:
            told = await client.ask(connect("dev-1")[9:])
        await client.leave()
        return told

    assert play(scene, server="mqtt_preread on; preread_timeout 50ms;") == b""
    assert play(scene, server="mqtt_preread on; preread_timeout 30s;") == CONNACK_OK


def test_mqtt_keepalive_timeout(play):
    def scene(seconds):
        async def silent(world):
            client = await world.client()
            assert await client.ask(connect("dev-1", keepalive=90)) == CONNACK_OK
            told = await client.hear(seconds)
            await client.leave()
            return told

        return silent

    server = "mqtt_preread on; proxy_timeout 100ms; mqtt_keepalive_timeout"
    assert play(scene(PATIENCE), server=f"{server} off;") == b""
    assert play(scene(1), server=f"{server} 1;") is None


def test_mqtt_next_upstream(play):
    answers = (BUSY, CONNACK_OK)
    packet = connect("dev-1")
    told, _ = play(asking(packet), server="mqtt_next_upstream off;", answers=answers)
    assert told == BUSY
    told, _ = play(asking(packet), server="mqtt_next_upstream 0x88;", answers=answers)
    assert told == BUSY
    told, _ = play(asking(packet), server="mqtt_next_upstream 3;", answers=answers)
    assert told == CONNACK_OK


def test_mqtt_connack_timeout(play):
    async def scene(world):
        client = await world.client()
        client.writer.write(connect("dev-1"))
        await until(lambda: world.order)
        told = await client.hear(0.5)
        world.nodes[0].hang_up()  # for a session that would still wait
        await client.leave()
        return told, world.numbers()

    options = {"answers": (None, CONNACK_OK)}
    server = "mqtt_next_upstream timeout; mqtt_connack_timeout"
    assert play(scene, server=f"{server} 50ms;", **options) == (CONNACK_OK, [0, 1])
    assert play(scene, server=f"{server} 30s;", **options) == (None, [0])


def test_mqtt_require(play):
    async def scene(world):
        client = await world.client()
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        gone = asyncio.ensure_future(client.hear())
        await until(lambda: gone.done() or world.nodes[0].heard)
        refused = gone.done()
        gone.cancel()
        await client.leave()
        return refused

    assert play(scene, server="mqtt_require on;")
    assert not play(scene, server="mqtt_require off;")


def visits(count):
    """A scene: clients come and go; gives the nodes they had."""

    async def scene(world):
        for _ in range(count):
            client = await world.client()
            assert await client.ask(connect("dev")) == CONNACK_OK
            await client.leave()
        return world.numbers()

    return scene


def stays(count):
    """A scene: clients come and stay; gives the nodes they had."""

    async def scene(world):
        clients = []
        for _ in range(count):
            clients.append(await world.client())
            assert await clients[-1].ask(connect("dev")) == CONNACK_OK
        for client in clients:
            await client.leave()
        return world.numbers()

    return scene


TWO = (CONNACK_OK, CONNACK_OK)


def test_hash(play):
    for key in ("a", "b", "c", "d"):
        node = (zlib.crc32(key.encode()) >> 16 & 0x7FFF) % 2
        assert play(visits(3), upstream=f"hash {key};", answers=TWO) == [node] * 3


def test_hash_by_client_identifier(play):
    async def scene(world):
        for name in "abcd":
            client = await world.client()
            await client.ask(connect(name))
            await client.leave()
        return world.numbers()

    options = {"server": "mqtt_preread on;", "answers": TWO}
    nodes = [(zlib.crc32(name.encode()) >> 16 & 0x7FFF) % 2 for name in "abcd"]
    assert len(set(nodes)) == 2
    assert play(scene, upstream="hash $mqtt_preread_clientid;", **options) == nodes


def test_ip_hash(play):
    assert len(set(play(visits(4), upstream="ip_hash;", answers=TWO))) == 1
    assert play(visits(4), answers=TWO) == [0, 1, 0, 1]


def test_least_conn(play):
    async def scene(world):
        staying = await world.client()
        await staying.ask(connect("stays"))
        await visits(3)(world)
        await staying.leave()
        return world.numbers()

    assert play(scene, upstream="least_conn;", answers=TWO) == [0, 1, 1, 1]
    assert play(scene, answers=TWO) == [0, 1, 0, 1]


LATE = Late(0.3, CONNACK_OK), CONNACK_OK


@pytest.mark.parametrize("server", ["", "mqtt_preread on;", "mqtt on; mqtt_next_upstream off;"])
@pytest.mark.parametrize("inflight", ["", " inflight"])
def test_least_time(play, server, inflight):
    """The node whose CONNACK takes 300 ms is asked once; its connects are as quick as others'."""
    options = {"server": server, "answers": LATE}
    by_first_byte = play(visits(6), upstream=f"least_time first_byte{inflight};", **options)
    assert by_first_byte == [0, 1, 1, 1, 1, 1]
    by_connect = play(visits(6), upstream=f"least_time connect{inflight};", **options)
    assert by_connect.count(0) > 1


def test_least_time_of_whole_sessions(play):
    """A session with the late node lasts longer."""
    assert play(visits(6), upstream="least_time last_byte;", answers=LATE) == [0, 1, 1, 1, 1, 1]


def test_random_two_by_time(play):
    nodes = play(visits(20), upstream="random two least_time=first_byte;", answers=LATE)
    assert nodes.count(0) == 1
    nodes = play(visits(20), upstream="random two least_time=connect;", answers=LATE)
    assert nodes.count(0) > 1


def test_random(play):
    """Of two, the node with fewer sessions; without `two` that holds 40 times once in 2^20."""

    def level(nodes):
        return all(nodes[at] != nodes[at + 1] for at in range(0, len(nodes), 2))

    assert level(play(stays(40), upstream="random two;", answers=TWO))
    assert not level(play(stays(40), upstream="random;", answers=TWO))

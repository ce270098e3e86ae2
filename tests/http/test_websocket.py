"""MQTT in WebSocket that is read here: what stream does with MQTT, in frames."""

from __future__ import annotations

import asyncio
import socket
import time
from types import SimpleNamespace

import pytest
from websockets.frames import Opcode

from lab.engine import until
from lab.http_rig import PLAIN, Client, HttpRig, Node, run
from lab.stream_mqtt import PINGREQ, PUBLISH, REFUSED, WELCOME, connect
from tidegate.config.model import Level
from tidegate.http import websocket
from tidegate.mqtt.connack import parse_connack
from tidegate.wire import websocket as wire

LOG = "log_format l '$status $mqtt_preread_clientid $mqtt_connack_code'; access_log a.log l;"


@pytest.fixture
def entrance():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def make(tmp_path):
    """A function that makes rigs of one location."""
    made = []

    def one(location, *nodes, method="", outside=""):
        servers = " ".join(f"server 127.0.0.1:{node.port};" for node in nodes)
        text = (
            f"{LOG} {outside} upstream b {{ {method} {servers} }} server {{ listen 8083;"
            f" location /mqtt {{ proxy_pass http://b; {location} }} }}"
        )
        rig = HttpRig(text, tmp_path, level=Level.INFO)
        made.append(rig)
        return rig

    yield one
    for rig in made:
        rig.close()
        assert rig.troubles == []


# The two ways to a node: in frames, and out of them.
WAYS = {"frames": ("mqtt_preread on;", "mqtt"), "tcp": ("mqtt_websocket_to tcp;", PLAIN)}
both = pytest.mark.parametrize("way", WAYS)


@both
def test_a_client_talks_to_its_node(make, entrance, way):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(location, node)

    async def main():
        client = await Client().connect(entrance)
        assert client.protocol == "mqtt"
        client.send(connect("dev") + PUBLISH)
        assert await client.hear(len(WELCOME)) == WELCOME
        for _ in range(20):
            client.send(PINGREQ)
            await until(lambda: node.behind.endswith(PINGREQ))
            del node.behind[-2:]
            node.say(b"\xd0\x00")
            assert await client.hear(2) == b"\xd0\x00"
        await client.close()

    run(rig, entrance, main, node)
    assert [one.client_id for one in node.connects] == ["dev"]
    assert node.behind == PUBLISH
    assert rig.lines.access == ["101 dev 0"]
    if speaks is not PLAIN:
        head = node.heads[0].lower()
        assert head.startswith(b"get /mqtt http/1.1\r\n")
        assert b"\r\nsec-websocket-protocol: mqtt\r\n" in head
        assert b"sec-websocket-extensions" not in head
        assert head.count(b"\r\nupgrade:") == head.count(b"\r\nconnection:") == 1


@both
@pytest.mark.parametrize("cut", range(0, 60, 4))
def test_a_connect_may_be_cut_anywhere_with_what_is_behind_it(make, entrance, way, cut):
    """Frames in pieces, at any byte, with pings between; what was half there goes on."""
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(location, node)
    packet = connect("device-1")

    async def main():
        client = await Client().connect(entrance)
        data = (
            client.encode(Opcode.PING, b"?")
            + client.encode(Opcode.BINARY, packet[:5], fin=False)
            + client.encode(Opcode.CONT, packet[5:] + PUBLISH, fin=False)
            + client.encode(Opcode.PING, b"!")
            + client.encode(Opcode.CONT, PUBLISH)
            + client.encode(Opcode.BINARY, PINGREQ)
        )
        client.writer.write(data[:cut])
        await client.writer.drain()
        await asyncio.sleep(0.01)
        client.writer.write(data[cut:])
        assert await client.hear(len(WELCOME)) == WELCOME
        await until(lambda: len(node.behind) >= 20)
        node.say(b"end")
        assert await client.hear(3) == b"end"
        assert client.pongs[:1] == [b"?"]
        await client.close()

    run(rig, entrance, main, node)
    assert node.behind == PUBLISH + PUBLISH + PINGREQ


@both
def test_a_half_frame_goes_on_where_it_was(make, entrance, way):
    """The CONNECT is there, the rest of its frame comes after the node was chosen."""
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(location, node)
    payload = connect("dev") + PUBLISH * 1000

    async def main():
        client = await Client().connect(entrance)
        data = client.encode(Opcode.BINARY, payload, fin=False)
        client.writer.write(data[:101])
        assert await client.hear(len(WELCOME)) == WELCOME
        client.writer.write(data[101:] + client.encode(Opcode.CONT, PINGREQ))
        await until(lambda: node.behind.endswith(PINGREQ))
        await client.close()

    run(rig, entrance, main, node)
    assert node.behind == PUBLISH * 1000 + PINGREQ


def test_a_client_may_send_all_at_once(make, entrance):
    node = Node(WELCOME)
    rig = make("mqtt_preread on;", node)

    async def main():
        probe = Client()
        frames = probe.encode(Opcode.BINARY, connect("dev")) + probe.encode(Opcode.BINARY, PUBLISH)
        client = await probe.connect(entrance, behind=frames)
        assert await client.hear(len(WELCOME)) == WELCOME
        await until(lambda: node.behind == PUBLISH)
        await client.close()

    run(rig, entrance, main, node)


@both
def test_the_client_identifier_chooses_the_node(make, entrance, way):
    location, speaks = WAYS[way]
    nodes = [Node(WELCOME, speaks=speaks) for _ in range(3)]
    rig = make(location, *nodes, method="hash $mqtt_preread_clientid consistent;")

    async def main():
        for turn in range(3):
            for name in range(8):
                client = await Client().connect(entrance)
                client.send(connect(f"c{name}"))
                assert await client.hear(len(WELCOME)) == WELCOME, turn
                await client.close()

    run(rig, entrance, main, *nodes)
    seen = [{one.client_id for one in node.connects} for node in nodes]
    assert sum(map(len, seen)) == 8
    assert sum(map(bool, seen)) > 1


@both
def test_the_connect_is_rewritten(make, entrance, way):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(f"{location} mqtt on; mqtt_set_connect clientid web-$mqtt_preread_clientid;", node)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev") + PINGREQ)
        assert await client.hear(len(WELCOME)) == WELCOME
        await until(lambda: node.behind)
        await client.close()

    run(rig, entrance, main, node)
    assert [one.client_id for one in node.connects] == ["web-dev"]
    assert node.behind == PINGREQ


@both
def test_a_refused_connect_is_tried_elsewhere(make, entrance, way):
    location, speaks = WAYS[way]
    full, closing, good = (Node(answer, speaks=speaks) for answer in (REFUSED, "close", WELCOME))
    rig = make(f"{location} mqtt_next_upstream 0x9C error;", full, closing, good)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev") + PUBLISH)
        assert await client.hear(len(WELCOME)) == WELCOME
        await until(lambda: good.behind == PUBLISH)
        await client.close()

    run(rig, entrance, main, full, closing, good)
    assert len(full.connects) == len(closing.connects) == len(good.connects) == 1


@pytest.mark.parametrize("fault", ["status", "protocol"])
def test_a_node_that_opens_no_websocket_is_left(make, entrance, fault):
    bad = Node(WELCOME, status=404) if fault == "status" else Node(WELCOME, speaks=None)
    good = Node(WELCOME)
    rig = make("mqtt_preread on;", bad, good)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev"))
        assert await client.hear(len(WELCOME)) == WELCOME
        await client.close()

    run(rig, entrance, main, bad, good)
    told = [words for level, words in rig.lines.errors if level == "error"]
    wanted = "upstream answered 404" if fault == "status" else "did not agree to the sub-protocol"
    assert any(wanted in words for words in told)
    assert bad.connects == []


@both
def test_refusals_are_mqtt_in_a_frame_then_a_close(make, entrance, way):
    location, speaks = WAYS[way]
    dead = Node(speaks=speaks)
    dead.sock.close()
    rig = make(location, dead)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev"))
        answer = parse_connack(await client.hear(1000), version=5, limit=1000)
        assert answer.code == 0x88
        assert client.code == 1000
        assert await client.reader.read() == b""
        await client.close()

    run(rig, entrance, main)
    assert rig.lines.access == ["502 dev -"]


FIRST = {
    "no MQTT": (lambda c: c.encode(Opcode.BINARY, b"GET / HTTP/1.1\r\n\r\n" * 9), 1008),
    "text": (lambda c: c.encode(Opcode.TEXT, b"hello"), 1003),
    "unmasked": (lambda _: b"\x82\x01a", 1002),
    "no beginning": (lambda c: c.encode(Opcode.CONT, b"a"), 1002),
    "a close": (lambda c: c.encode(Opcode.CLOSE, b"\x0f\xa0"), 4000),
}


@both
@pytest.mark.parametrize("first", FIRST)
def test_what_is_no_mqtt_is_closed_with_a_code(make, entrance, way, first):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(location, node)
    build, code = FIRST[first]

    async def main():
        client = await Client().connect(entrance)
        client.writer.write(build(client))
        assert await client.hear(1000) == b""
        assert client.code == code
        await client.close()

    run(rig, entrance, main, node)
    assert node.connects == []


def test_a_silent_client_is_closed_in_time(make, entrance):
    node = Node(WELCOME)
    rig = make("mqtt_preread on; preread_timeout 200ms;", node)

    async def main():
        client = await Client().connect(entrance)
        client.writer.write(client.encode(Opcode.PING, b""))
        assert await client.hear(1000) == b""
        assert client.pongs == [b""]
        assert client.code is not None
        await client.close()

    run(rig, entrance, main, node)


def test_endless_frames_before_a_connect_are_bounded(make, entrance):
    node = Node(WELCOME)
    rig = make("mqtt_preread on;", node)

    async def main():
        client = await Client().connect(entrance)
        client.writer.write(
            client.encode(Opcode.BINARY, b"\x10", fin=False)
            + client.encode(Opcode.CONT, b"", fin=False) * 100_000
        )
        assert await client.hear(1000) == b""
        assert client.code == 1009
        await client.close()

    run(rig, entrance, main, node)


def test_no_frame_is_read_again_for_each_byte_that_comes(make, entrance, monkeypatch):
    node = Node(WELCOME)
    rig = make("mqtt_preread on;", node)
    read, reads = wire.read_frame, []

    def counted(*args, **options):
        reads.append(args)
        return read(*args, **options)

    monkeypatch.setattr(wire, "read_frame", counted)

    async def main():
        client = await Client().connect(entrance)
        client.writer.write(
            client.encode(Opcode.BINARY, b"", fin=False)
            + client.encode(Opcode.CONT, b"", fin=False) * 999
        )
        await until(lambda: len(reads) > 1000)
        data = client.encode(Opcode.CONT, connect("dev"))
        for at in range(len(data)):
            before = len(reads)
            client.writer.write(data[at : at + 1])
            await until(lambda before=before: len(reads) > before)
        assert await client.hear(len(WELCOME)) == WELCOME
        await client.close()

    run(rig, entrance, main, node)
    assert len(reads) < 2000
    assert [one.client_id for one in node.connects] == ["dev"]


def test_pings_give_no_more_time(make, entrance, monkeypatch):
    node = Node(WELCOME)
    rig = make("mqtt_preread on;", node)

    async def main():
        client = await Client().connect(entrance)
        now = time.monotonic()
        clock = SimpleNamespace(monotonic=lambda: now + 3600)
        monkeypatch.setattr(websocket, "time", clock)
        client.writer.write(client.encode(Opcode.PING, b"?"))
        assert await client.hear(1000) == b""
        assert client.pongs == []
        await client.close()

    run(rig, entrance, main, node)


def test_who_owes_its_connect_is_not_waiting(make, entrance):
    """Its request is `writing`; it is not counted twice."""
    node = Node(WELCOME)
    rig = make("mqtt_preread on;", node)

    async def main():
        client = await Client().connect(entrance)
        assert client.status == 101
        assert rig.counter("waiting") == 0
        await client.close()

    run(rig, entrance, main, node)


@both
def test_variables_name_the_node_and_what_it_is_asked_for(tmp_path, entrance, way):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    text = f"server {{ listen 8083; location / {{ {location} proxy_pass http://$arg_x; }} }}"
    rig = HttpRig(text, tmp_path, level=Level.INFO)

    async def main():
        client = await Client().connect(entrance, f"/?x=127.0.0.1:{node.port}/other?a")
        client.send(connect("dev"))
        assert await client.hear(len(WELCOME)) == WELCOME
        await client.close()

    run(rig, entrance, main, node)
    rig.close()
    assert rig.troubles == []
    if speaks is not PLAIN:
        head = node.heads[0].lower()
        assert head.startswith(b"get /other?a http/1.1\r\n")
        assert b"\r\nhost: 127.0.0.1:%d\r\n" % node.port in head


@pytest.mark.parametrize("protocols", [[], ["chat"]])
def test_a_client_without_mqtt_gets_what_the_node_says(make, entrance, protocols):
    node = Node(WELCOME, status=400)
    rig = make("mqtt_preread on;", node)

    async def main():
        client = await Client().connect(entrance, protocols=protocols)
        assert client.status == 400
        await client.close()

    run(rig, entrance, main, node)
    assert len(node.heads) == 1


def test_a_client_without_mqtt_is_refused_where_the_node_speaks_no_http(make, entrance):
    node = Node(WELCOME, speaks=PLAIN)
    rig = make("mqtt_websocket_to tcp;", node)

    async def main():
        client = await Client().connect(entrance, protocols=["chat"])
        assert client.status == 400
        await client.close()

    run(rig, entrance, main, node)


@both
def test_the_keep_alive_is_the_clients_limit(make, entrance, way):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(f"{location} mqtt_keepalive_timeout 1;", node)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev", keepalive=1))
        assert await client.hear(len(WELCOME)) == WELCOME
        assert await client.hear(1000) == b""
        await client.close()

    run(rig, entrance, main, node)


@both
def test_the_nodes_end_is_the_clients(make, entrance, way):
    location, speaks = WAYS[way]
    node = Node(WELCOME, speaks=speaks)
    rig = make(location, node)

    async def main():
        client = await Client().connect(entrance)
        client.send(connect("dev"))
        assert await client.hear(len(WELCOME)) == WELCOME
        client.send(b"\xe0\x00")
        client.frames.send_close(1000)
        client.flush()
        assert await client.hear(1000) == b""
        assert client.code == 1000
        await client.close()

    run(rig, entrance, main, node)
    assert node.behind == b"\xe0\x00"

"""`least_time` in `http {}`: heads of answers, and CONNACKs of MQTT in WebSocket."""

from __future__ import annotations

import asyncio
import socket

import pytest

from lab.engine import until
from lab.http_rig import PLAIN, Client, HttpRig, Node, run
from lab.stream_mqtt import WELCOME, connect
from tidegate.config.model import Level

LATE = 0.3
WAYS = {"frames": ("mqtt_preread on;", "mqtt"), "tcp": ("mqtt_websocket_to tcp;", PLAIN)}


@pytest.fixture
def entrance():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def make(tmp_path):
    """A function that makes rigs of one location."""
    made = []

    def one(location, *nodes, method):
        servers = " ".join(f"server 127.0.0.1:{node.port} max_fails=0;" for node in nodes)
        text = (
            f"upstream b {{ {method} {servers} }} server {{ listen 8083;"
            f" location /mqtt {{ proxy_pass http://b; {location} }} }}"
        )
        made.append(HttpRig(text, tmp_path, level=Level.ERROR))
        return made[-1]

    yield one
    for rig in made:
        rig.close()
        assert rig.troubles == []


def under_way(rig):
    return [rig.board.peer_row(row).inflight for row in range(2)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inflight", ["", " inflight"])
def test_the_node_whose_connack_is_late_is_asked_once(make, entrance, way, inflight):
    location, speaks = WAYS[way]
    nodes = [Node(speaks=speaks), Node(speaks=speaks)]
    rig = make(location, *nodes, method=f"least_time header{inflight};")
    order = []

    async def main():
        for _ in range(6):
            before = [len(node.connects) for node in nodes]
            client = await Client().connect(entrance)
            client.send(connect("dev"))
            await until(lambda before=before: [len(node.connects) for node in nodes] != before)
            now = [len(node.connects) for node in nodes]
            order.append(next(index for index in range(2) if now[index] > before[index]))
            assert under_way(rig) == [int(bool(inflight) and order[-1] == i) for i in range(2)]
            if order[-1] == 0:
                await asyncio.sleep(LATE)
            nodes[order[-1]].say(WELCOME)
            assert await client.hear(len(WELCOME)) == WELCOME
            assert under_way(rig) == [0, 0]
            await client.close()
            await until(lambda: rig.engine.active == 0)

    run(rig, entrance, main, *nodes)
    assert order == [0, 1, 1, 1, 1, 1]
    assert rig.board.peer_row(0).first_byte_ms >= 1000 * LATE


@pytest.mark.parametrize("status", [101, 500])
@pytest.mark.parametrize(
    "method", ["least_time header inflight;", "least_time last_byte inflight;"]
)
def test_nobody_is_under_way_when_all_have_ended(make, entrance, method, status):
    """Also where a page for the error is asked of the same upstream again."""
    nodes = [Node(WELCOME, status=status), Node("close", status=status)]
    pages = "proxy_intercept_errors on; error_page 500 /mqtt/again;"
    rig = make(f"proxy_next_upstream error http_500; {pages}", *nodes, method=method)

    async def main():
        for _ in range(4):
            client = await Client().connect(entrance)
            if client.status == 101:
                client.send(connect("dev"))
                await client.hear(len(WELCOME))
            await client.close()

    run(rig, entrance, main, *nodes)
    assert under_way(rig) == [0, 0]

"""However a session ends, nobody is under way to a node afterwards, and only served ones count."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from lab.engine import until
from lab.stream_mqtt import PUBLISH, REFUSED, WELCOME, connect, run, visit

METHODS = [f"least_time {by} inflight;" for by in ("connect", "first_byte", "last_byte")]
SERVERS = {
    "MQTT is not read": "",
    "MQTT is read": "mqtt_preread on;",
    "nodes are left": "mqtt_preread on; mqtt_next_upstream 0x9C error;",
    "few tries": "mqtt_preread on; mqtt_next_upstream 0x9C error; proxy_next_upstream_tries 1;",
    "another port": "proxy_bind 192.0.2.77;",
    "rewritten": 'mqtt on; mqtt_set_connect clientid "x"; mqtt_next_upstream off;',
}
TRIES = ["welcome", "refused", "close", "leave", "dead"]


async def leave_early(entrance, nodes):
    """A client that does not wait for its CONNACK."""
    before = sum(len(node.connects) for node in nodes)
    _, writer = await asyncio.open_connection(*entrance.getsockname())
    writer.write(connect("dev"))
    await until(lambda: sum(len(node.connects) for node in nodes) > before)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
@pytest.mark.parametrize("way", TRIES)
def test_nobody_is_under_way_when_all_have_ended(stream, entrance, broker, method, server, way):
    answer = {"refused": REFUSED, "close": "close", "leave": None}.get(way, WELCOME)
    nodes = [broker(answer), broker(answer)]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = closed.getsockname()[1]
        ports = [dead, dead] if way == "dead" else [node.port for node in nodes]
        peers = " ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in ports)
        rig = stream(
            f"upstream nodes {{ {method} {peers} }}"
            f" server {{ listen 1; proxy_pass nodes; {server} }}"
        )

        async def main():
            for _ in range(4):
                if way == "leave" and "bind" not in server:
                    await leave_early(entrance, nodes)
                else:
                    await visit(entrance, connect("dev"), more=PUBLISH)
            await until(lambda: rig.engine.active == 0)

        run(rig, entrance, main, *nodes)
    rows = [rig.board.peer_row(row) for row in range(2)]
    assert [row.inflight for row in rows] == [0, 0]


@pytest.mark.parametrize("by", ["connect", "first_byte", "last_byte"])
@pytest.mark.parametrize("inflight", ["", " inflight"])
def test_each_served_session_is_noted_once(stream, entrance, broker, by, inflight):
    """With times that grow an average tells how often it moved."""
    noted = []
    node = broker()
    rig = stream(
        f"upstream nodes {{ least_time {by}{inflight}; server 127.0.0.1:{node.port};"
        " server 127.0.0.1:1 down; } server { listen 1; proxy_pass nodes; mqtt_preread on; }"
    )
    listen(rig, noted)

    async def main():
        for _ in range(3):
            await visit(entrance, connect("dev"), more=PUBLISH)

    run(rig, entrance, main, node)
    for which in range(3):
        assert sum(times[which] >= 0 for times in noted) == 3


def listen(rig, noted):
    """Add to `noted` what the only upstream tells the board of times."""
    ((_model, server),) = rig.prepared.servers.values()
    times = server.proxy.upstream.times
    times._group = Listening(times._group, noted)  # noqa: SLF001 - what it tells is to be seen


class Listening:
    """A group that keeps what it is told of times."""

    def __init__(self, group, noted):
        self.group = group
        self.noted = noted

    def note_times(self, index, *, connect, first_byte, last_byte):
        self.noted.append((connect, first_byte, last_byte))
        self.group.note_times(index, connect=connect, first_byte=first_byte, last_byte=last_byte)

    def land(self, index, took_off):
        self.group.land(index, took_off)


@pytest.mark.parametrize("by", ["connect", "first_byte"])
@pytest.mark.parametrize("answer", [REFUSED, "close"], ids=["refused", "close"])
@pytest.mark.parametrize("server", [SERVERS["MQTT is read"], SERVERS["few tries"]])
def test_sessions_that_were_not_served_are_not_noted(stream, entrance, broker, by, answer, server):
    noted = []
    node = broker(answer)
    rig = stream(
        f"upstream nodes {{ least_time {by}; server 127.0.0.1:{node.port} max_fails=0;"
        f" server 127.0.0.1:1 down; }} server {{ listen 1; proxy_pass nodes; {server} }}"
    )
    listen(rig, noted)

    async def main():
        for _ in range(2):
            await visit(entrance, connect("dev"))

    run(rig, entrance, main, node)
    assert len(node.connects) == 2
    assert [times for times in noted if max(times) >= 0] == []

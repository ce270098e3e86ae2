"""With `mqtt_next_upstream` a node has proved that it is well once it has answered, not before."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from lab.engine import until
from lab.stream_mqtt import LIMIT, REFUSED, WELCOME, connect, run, visit
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.stream import mqtt_rules

AUTH = b"\xf0\x02\x18\x00"
BLIND = b"GET / HTTP/1.0\r\n\r\n"


def doubtful(stream, broker, tries, *, answer="close"):
    """A rig whose first node will fail, and its second serve; and a way to set its clock."""
    bad, good = broker(answer), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port} backup; }}"
        f"server {{ listen 1; mqtt_preread on; mqtt_next_upstream {tries}; proxy_pass b;"
        " mqtt_connack_timeout 1s; }"
    )
    ((_, port),) = rig.prepared.ports
    group = port.server.proxy.upstream.group
    group.clock = 100
    return rig, bad, good, group


async def fail_once(entrance, rig, group):
    """The first node fails, its next client comes long after `fail_timeout`."""
    assert await visit(entrance, connect("patient")) == WELCOME
    assert rig.board.peer_row(0).fails == 1
    group.clock = 200


@pytest.mark.parametrize("how", ["left", "ended"])
def test_a_node_that_hangs_is_not_well_because_a_client_does_not_wait(
    stream, entrance, broker, how
):
    rig, hung, good, group = doubtful(stream, broker, "timeout", answer=None)

    async def main():
        await fail_once(entrance, rig, group)
        _, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("hasty"))
        await until(lambda: len(hung.connects) == 2)
        if how == "ended":
            rig.runtime.close_sessions()
        writer.close()
        await until(lambda: rig.board.peer_row(0).conns == 0)
        assert rig.board.peer_row(0).fails == 1
        for _ in range(6):
            assert await visit(entrance, connect("next")) == WELCOME
        assert len(hung.connects) == 2

    run(rig, entrance, main, hung, good)


def test_nor_because_it_closes_where_that_is_no_reason_to_leave_it(stream, entrance, broker):
    rig, bad, good, group = doubtful(stream, broker, "0x9C", answer=REFUSED)

    async def main():
        await fail_once(entrance, rig, group)
        bad.answer = "close"
        assert await visit(entrance, connect("dev")) == b""

    run(rig, entrance, main, bad, good)
    assert rig.board.peer_row(0).fails == 1


def test_nor_because_it_is_silent_where_that_is_no_reason_to_leave_it(
    stream, entrance, broker, monkeypatch
):
    monkeypatch.setattr(mqtt_rules, "LEAST_ANSWER_MS", 100)
    rig, bad, good, group = doubtful(stream, broker, "error")

    async def main():
        await fail_once(entrance, rig, group)
        bad.answer = None
        answer = await visit(entrance, connect("dev", keepalive=1), size=100)
        assert parse_connack(answer, version=5, limit=LIMIT).code == 0x88

    run(rig, entrance, main, bad, good)
    assert rig.board.peer_row(0).fails == 1


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (connect("dev"), WELCOME),
        (connect("dev"), AUTH),
        (connect("dev"), b"hello"),
        (BLIND, None),
    ],
    ids=["CONNACK", "AUTH", "no MQTT", "to a client that was not understood"],
)
def test_a_node_that_answers_again_is_forgiven_while_the_session_lasts(
    stream, entrance, broker, words, answer
):
    rig, bad, good, group = doubtful(stream, broker, "error")

    async def main():
        await fail_once(entrance, rig, group)
        bad.answer = answer
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(words)
        if answer is not None:
            assert await reader.readexactly(len(answer)) == answer
        await until(lambda: rig.board.peer_row(0).fails == 0)
        assert rig.board.peer_row(0).conns == 1
        writer.close()

    run(rig, entrance, main, bad, good)


TIMES = (
    "log_format f '$upstream_addr|$upstream_connect_time|$upstream_session_time|"
    "$upstream_bytes_sent|$upstream_bytes_received'; access_log /dev/null f;"
)


@pytest.mark.parametrize("tries", ["timeout", "error"], ids=["left", "not left"])
def test_logs_tell_how_far_a_silent_node_came(stream, entrance, broker, monkeypatch, tries):
    """It took the connection at once and the CONNECT with it, and then 2 s passed."""
    monkeypatch.setattr(mqtt_rules, "LEAST_ANSWER_MS", 2000)
    silent, good = broker(None), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{silent.port}; server 127.0.0.1:{good.port}; }} {TIMES}"
        f"server {{ listen 1; mqtt_preread on; mqtt_next_upstream {tries}; proxy_pass b;"
        " mqtt_connack_timeout 2s; }"
    )
    packet = connect("dev", keepalive=1)

    async def main():
        await visit(entrance, packet)

    run(rig, entrance, main, silent, good)
    [line] = rig.lines.access
    _, connected, lasted, sent, received = (part.split(", ") for part in line.split("|"))
    assert float(connected[0]) < 1
    assert float(lasted[0]) >= 1.9
    nodes = 2 if tries == "timeout" else 1
    assert sent == [str(len(packet))] * nodes
    assert received == ["0", str(len(WELCOME))][:nodes]
    [told] = [line for _, line in rig.lines.errors if "while waiting for its CONNACK" in line]
    assert re.search(rf"bytes from/to upstream:0/{len(packet)}$", told)


def test_a_client_with_a_small_keep_alive_waits_for_a_connack_that_takes_longer(
    stream, entrance, broker
):
    """Its CONNACK is not looked at; what counts its silence begins with the node's first byte."""
    welcome = encode_connack(4, 0)
    slow = broker(None)

    async def talk(writer):
        await asyncio.sleep(3)
        writer.write(welcome)

    slow.talk = talk
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{slow.port}; }}")

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", version=4, keepalive=1))
        assert await reader.readexactly(len(welcome)) == welcome
        before = time.monotonic()
        assert await reader.read() == b""
        assert 1.4 < time.monotonic() - before < 7.5
        writer.close()

    run(rig, entrance, main, slow)


def test_but_not_for_ever(stream, entrance, broker, monkeypatch):
    monkeypatch.setattr(mqtt_rules, "LEAST_ANSWER_MS", 2500)
    silent = broker(None)
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{silent.port}; }}")

    async def main():
        before = time.monotonic()
        assert await visit(entrance, connect("dev", version=4, keepalive=1)) == b""
        assert 2.4 < time.monotonic() - before < 12.5

    run(rig, entrance, main, silent)

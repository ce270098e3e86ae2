"""Whatever a target does, the run ends in time and each failure has its class."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from lab.nodes import close_at_once, collect, echo, greet, hang
from tidegate.bench.generator import Generator
from tidegate.engine.address import pack_address

CONNACK = b"\x20\x03\x00\x00\x00"


def after_connect(answer, then=collect):
    """A node that answers the first packet, then does something else."""

    async def serve(session):
        await session.recv()
        await session.send(answer)
        await then(session)

    return serve


async def end_after_connect(session):
    await session.recv()


async def reset_at_once(session):
    await session.recv()
    session.reset()


@pytest.mark.parametrize(
    ("serve", "fault"),
    [
        (end_after_connect, "closed before CONNACK"),
        (reset_at_once, "reset"),
        (hang, "no CONNACK"),
        (greet(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "malformed"),
        (greet(b"\x20\xff\xff\xff\xff\x01"), "malformed"),
        (echo, "malformed"),
        (after_connect(b"\x20\x00"), "malformed"),
        (after_connect(CONNACK, close_at_once), "closed"),
        (after_connect(CONNACK + b"\xe0\x02\x8b\x00", hang), "disconnected by the target"),
        (after_connect(CONNACK + b"\xf0\x00", hang), "malformed"),
    ],
)
def test_each_way_to_fail_has_its_class(lab, load, serve, fault):
    node = lab.node(serve)
    started = time.monotonic()
    result = load("conn", node.port, timeout=0.5)
    assert result.faults == {fault: 3}
    assert result.counts["open"] == 0
    assert not result.good
    assert time.monotonic() - started < 10


def test_a_refused_connect_is_counted_as_that(lab, load):
    result = load("conn", lab.ports.free())
    assert result.faults == {"refused": 3}
    assert result.counts["tried"] == 3
    assert result.counts["established"] == 0


def test_a_target_that_answers_no_connect_times_out(lab, load):
    result = load("conn", lab.hole().port, timeout=0.3)
    assert result.faults == {"connect timed out": 3}


def test_connack_codes_are_counted_apart(lab, load):
    node = lab.node(after_connect(b"\x20\x03\x00\x87\x00"))
    result = load("conn", node.port)
    assert result.faults == {"rejected by CONNACK": 3}
    assert result.codes == {"CONNACK": {0x87: 3}}


def test_a_refused_subscription_is_counted_as_that(lab, load):
    async def refuse(session):
        await session.recv()
        await session.send(b"\x90\x04\x00\x01\x00\x87")

    result = load("sub", lab.node(after_connect(CONNACK, refuse)).port)
    assert result.faults == {"subscription refused": 3}
    assert result.codes == {"SUBACK": {0x87: 3}}


def test_the_code_of_a_disconnect_is_counted(lab, load):
    node = lab.node(after_connect(CONNACK + b"\xe0\x02\x8d\x00", hang))
    result = load("conn", node.port)
    assert result.faults == {"disconnected by the target": 3}
    assert result.codes == {"DISCONNECT": {0x8D: 3}}


def test_the_code_of_a_refused_message_is_counted(lab, load):
    async def refuse(session):
        publish = await session.recv()
        await session.send(b"\x40\x03" + publish[7:9] + b"\x97")
        await collect(session)

    node = lab.node(after_connect(CONNACK, refuse))
    result = load("pub", node.port, topic="t/%i", qos=1, count=1, limit=1)
    assert result.faults == {"message refused": 1}
    assert result.codes == {"PUBACK": {0x97: 1}}
    assert not result.good


def test_an_answer_that_never_comes_times_out(lab, load):
    async def acknowledge(session):
        await session.recv()
        await session.send(b"\x90\x04\x00\x01\x00\x00")
        await collect(session)

    node = lab.node(after_connect(CONNACK, acknowledge))
    result = load("pingpong", node.port, timeout=0.5)
    assert result.faults == {"no answer": 3}
    assert result.counts["sent"] == 3


def test_a_silent_broker_misses_the_ping_response(lab, load):
    node = lab.node(after_connect(CONNACK))
    result = load("conn", node.port, keepalive=1, count=1)
    assert result.faults == {"no answer": 1}
    assert node.sessions[0].received.endswith(b"\xc0\x00")


def test_a_client_keeps_the_keep_alive_of_its_connack(lab, load):
    # Behind a user property, as the order is free.
    properties = b"\x26\0\1a\0\1b\x13\0\1"
    connack = bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties
    node = lab.node(after_connect(connack))
    result = load("conn", node.port, keepalive=600, count=1)
    assert result.faults == {"no answer": 1}
    assert node.sessions[0].received.endswith(b"\xc0\x00")


def test_a_message_that_is_never_taken_is_not_sent(lab, load):
    result = load(
        "pub", lab.node(after_connect(CONNACK, hang)).port, count=2, limit=2, timeout=0.5,
        payload=bytes(64 * 2**20), topic="t",
    )  # fmt: skip
    assert result.faults == {"message not taken": 2}
    assert result.counts["sent"] == 0
    assert result.unsent == 2
    assert not result.good


def test_a_schedule_goes_to_those_that_are_connected(lab, load):
    connected = []

    async def first_only(session):
        await session.recv()
        connected.append(session)
        if len(connected) == 1:
            await session.send(CONNACK)
            await collect(session)
        await hang(session)

    result = load(
        "pub", lab.node(first_only).port, count=50, messages_per_second=200, limit=100,
        payload=b"x",
    )  # fmt: skip
    assert result.counts["sent"] == 100
    assert result.counts["late"] == 0
    # 99 periods of 5 ms; by one connection in fifty they would take 25 s.
    assert result.seconds < 5


def test_what_nobody_could_send_is_counted_as_left_out(lab, load):
    async def leave_soon(session):
        await session.recv()
        await session.send(CONNACK)
        await asyncio.sleep(0.2)

    result = load(
        "pub", lab.node(leave_soon).port, count=1, messages_per_second=100, payload=b"x",
        reconnect_period=0.5, reconnect_times=1, seconds=2.0,
    )  # fmt: skip
    assert result.counts["returned"] >= 1
    assert result.counts["late"] >= 20


def test_each_client_has_its_own_interval(lab, load):
    node = lab.node(after_connect(CONNACK))
    result = load(
        "pub", node.port, count=4, message_interval=0.2, limit=40, payload=b"", topic="t/%i",
    )  # fmt: skip
    assert result.counts["sent"] == 40
    # Nine intervals; half an interval too short, as the last client may come a little later.
    assert result.seconds > 8.5 * 0.2
    assert min(session.received.count(b"\0\3t/") for session in node.sessions) >= 3


@pytest.mark.parametrize("job", ["conn", "pub", "sub"])
def test_a_lost_client_returns(lab, load, job):
    served = []

    async def lose_the_first(session):
        served.append(session)
        await session.recv()
        await session.send(CONNACK)
        if job == "sub":
            await session.recv()
            await session.send(b"\x90\x04\x00\x01\x00\x00")
        if len(served) > 2:
            await collect(session)

    result = load(
        job, lab.node(lose_the_first).port, count=2, payload=b"x", message_interval=0.05,
        reconnect_period=0.1, reconnect_times=3, seconds=2.0,
    )  # fmt: skip
    assert result.faults.keys() <= {"closed", "reset"}
    assert result.counts["returned"] == 2
    assert result.counts["open"] == 2


def test_a_lost_client_gives_up_after_so_many_tries(lab, load):
    served = []

    async def lose(session):
        served.append(session)
        await session.recv()
        if len(served) == 1:
            await session.send(CONNACK)

    result = load(
        "conn", lab.node(lose).port, count=1, reconnect_period=0.05, reconnect_times=2, seconds=None
    )
    assert result.faults == {"closed": 1, "closed before CONNACK": 2}
    assert result.counts["tried"] == 3


def test_one_that_was_never_let_in_does_not_return(lab, load):
    result = load("conn", lab.ports.free(), reconnect_period=0.05, reconnect_times=5)
    assert result.faults == {"refused": 3}


def test_no_more_connects_are_on_their_way_than_asked_for(lab, load):
    node = lab.node(hang)
    result = load("conn", node.port, count=20, at_once=4, timeout=5, seconds=0.6)
    assert result.counts["tried"] == 4


def test_reconnecting_to_a_dead_target_neither_spins_nor_ends_early(lab, load):
    result = load("conn", lab.ports.free(), reconnect=True, seconds=1.0)
    tries = result.counts["tried"]
    assert result.faults == {"refused": tries}
    assert 3 < tries < 3 * 20


def test_an_echo_of_too_many_bytes_is_malformed(lab, load):
    async def twice(session):
        while data := await session.recv():
            await session.send(data + data)

    result = load("pingpong", lab.node(twice).port, echo=True, payload=b"x" * 10)
    assert result.faults == {"malformed": 3}


def test_a_schedule_waits_for_a_slow_target_and_times_the_wait(lab, load):
    async def slow(session):
        while data := await session.recv():
            # Ten times as long as there is between two messages.
            await asyncio.sleep(0.2)
            await session.send(data)

    result = load(
        "pingpong",
        lab.node(slow).port,
        echo=True,
        payload=b"x",
        count=1,
        messages_per_second=50,
        limit=5,
    )
    assert result.counts["answered"] == 5
    assert result.counts["late"] > 5
    assert result.times["round trip"].most > 0.15 * 1e9


def test_a_source_address_is_what_the_target_sees(lab, load):
    seen = []

    async def look(session):
        seen.append(session.sock.getpeername()[0])
        await after_connect(CONNACK, hang)(session)

    node = lab.node(look)
    result = load("conn", node.port, count=4, sources=("127.0.0.7", "127.0.0.8"), seconds=1)
    assert result.counts["established"] == 4
    assert sorted(seen) == ["127.0.0.7"] * 2 + ["127.0.0.8"] * 2


def test_ipv6_targets_are_reached(lab, load):
    if not socket.has_ipv6:
        pytest.skip("this Python knows no IPv6")
    node = lab.node(after_connect(CONNACK, hang), host="::1")
    assert load("conn", node.port, host="::1", seconds=0.5).good


def test_a_pause_between_two_runs_is_not_counted_as_waiting(lab):
    node = lab.node()
    generator = Generator(
        job="pingpong",
        count=2,
        address=pack_address(socket.AF_INET, "127.0.0.1", node.port),
        payload=b"x",
        timeout=500_000_000,
    )
    with contextlib.closing(generator):
        for _ in range(3):
            generator.run(0.1)
            # Longer than the time-out, with a message on its way.
            time.sleep(0.8)
        generator.run(0.1)
        assert generator.faults() == {}
        assert generator.counts()["open"] == 2
        assert generator.round_trips.most < 0.5 * 1e9

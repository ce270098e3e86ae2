"""The demo's small parts: its client, its bridge, its counting, its screen."""

import asyncio
import contextlib
import io

import pytest

from lab.nodes import Node, close_at_once
from tidegate.demo.bridge import Bridge
from tidegate.demo.client import Client, LostError
from tidegate.demo.device import Device
from tidegate.demo.nodes import Node as Broker
from tidegate.demo.screen import Screen
from tidegate.demo.table import Flow, Totals, line, table, unreached

MOSQUITTO = pytest.mark.needs("mosquitto")


@contextlib.asynccontextmanager
async def client(port, name, topic="#"):
    """A connected and subscribed client."""
    made = await Client.connect("127.0.0.1", port, name)
    try:
        await made.subscribe(topic)
        yield made
    finally:
        await made.close()


async def take(source, count) -> list[tuple[str, bytes]]:
    """The next `count` messages."""
    found = []
    async with asyncio.timeout(15):
        async for message in source.messages():
            found.append(message)
            if len(found) == count:
                return found
    raise AssertionError


@MOSQUITTO
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
async def test_a_message_of_any_size_comes_back(lab, size):
    async with client(lab.mosquitto().port, "c") as both:
        both.publish("t", b"x" * size)
        assert await take(both, 1) == [("t", b"x" * size)]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [(b"\x20\x02\x00\x05", "code 5"), (b"\x20\xff\xff\xff\xff", "1 MiB"), (b"\x20\x02", "ended")],
)
async def test_a_broker_that_refuses_or_babbles_is_lost(lab, answer, fault):
    async def serve(session):
        await session.recv()
        await session.send(answer)

    node: Node = lab.node(serve)
    with pytest.raises(LostError, match=fault):
        await Client.connect("127.0.0.1", node.port, "c")


async def test_a_refused_connection_is_lost(lab):
    node = lab.node(close_at_once)
    with node.refusing(), pytest.raises(LostError, match="111"):
        await Client.connect("127.0.0.1", node.port, "c")


@MOSQUITTO
async def test_a_bridge_carries_each_message_once_and_no_echo(lab):
    ports = [lab.mosquitto().port for _ in range(2)]
    bridge = asyncio.create_task(Bridge("demo-bridge", *ports).run())
    try:
        async with client(ports[0], "left") as left, client(ports[1], "right") as right:
            await _bridged(left, right)
            for number in range(5):
                left.publish("a", b"same" if number % 2 else str(number).encode())
                right.publish("a", b"same")
            for side in (left, right):
                got = await take(side, 10)
                assert sorted(payload for _, payload in got) == sorted(
                    [b"same"] * 7 + [b"0", b"2", b"4"]
                )
                side.publish("end", b"")
            for side in (left, right):  # nothing came a second time before the ends
                assert await take(side, 2) == [("end", b"")] * 2
    finally:
        bridge.cancel()
        await asyncio.gather(bridge, return_exceptions=True)


async def _bridged(left, right):
    """Wait until a message crosses, then until both sides have seen the last trial."""
    crossed = asyncio.create_task(take(right, 1))
    trials = 0
    while not crossed.done():
        trials += 1
        left.publish("trial", b"")
        await asyncio.wait([crossed], timeout=0.1)
    left.publish("begin", b"")
    for side in (left, right):
        async with asyncio.timeout(15):
            async for topic, _ in side.messages():
                if topic == "begin":
                    break


def brokers(*clients):
    """Nodes that say they have these clients."""
    made = []
    for number, names in enumerate(clients, start=1):
        node = Broker(number=number, folder="", mosquitto=None, hub=None, port=1000 + number)
        for name in names:
            node.hear(f"New client connected from 127.0.0.1:5 as {name} (p2, c1, k30).")
        made.append(node)
    return made


def device(name, **heard):
    """A device that has heard so many messages of others."""
    made = Device(name, 0)
    made.heard.update(heard)
    return made


def test_a_client_is_where_its_node_says_until_it_leaves():
    [node] = brokers(["a", "b", "demo-bridge2"])
    assert node.clients == {"a", "b"}
    node.hear("Client a disconnected.")
    node.hear("Client b closed its connection.")
    assert node.clients == set()


def test_flow_counts_what_came_from_another_node_since_the_last_look():
    nodes, devices = brokers(["a", "b"], ["c"]), [device("a", b=3, c=2), device("c", a=4)]
    devices[0].sent = 7
    flow = Flow(nodes, devices)
    assert flow.take() == Totals(sent=(7, 0), received=(5, 4), crossed=(2, 4))
    devices[0].heard["c"] += 1
    assert flow.take() == Totals(sent=(0, 0), received=(1, 0), crossed=(1, 0))


def test_unreached_names_those_that_heard_only_their_own_node():
    nodes = brokers(["a", "b"], ["c"])
    assert unreached(nodes, [device("a", b=9), device("b", c=1), device("c")]) == ["a", "c"]


def test_a_table_fits_into_80_columns():
    nodes, devices = brokers(["a", "mine"], ["c"]), [device("a"), device("c")]
    totals = Totals(sent=(10, 0), received=(99_999, 4), crossed=(88_888, 4))
    for seconds in (None, 1.0):
        text = table(nodes, devices, totals, seconds)
        assert max(map(len, text.splitlines())) < 80
    assert "100003 messages/s received, 88892/s" in line(nodes, devices, totals, 1.0)


class Terminal(io.StringIO):
    """Takes what would go to a terminal."""

    def isatty(self):
        return True


def test_news_go_above_the_table_and_the_table_is_drawn_anew():
    out = Terminal()
    screen = Screen(out)
    screen.draw("one\ntwo")
    screen.say("news")
    assert out.getvalue() == "one\ntwo\n\x1b[2F\x1b[Jnews\none\ntwo\n"


def test_escape_sequences_of_others_do_not_reach_the_terminal():
    out = io.StringIO()
    Screen(out).say("client \x1b[2J\x07 says")
    assert out.getvalue() == "client ?[2J? says\n"

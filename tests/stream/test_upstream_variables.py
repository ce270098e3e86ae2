"""`$upstream_…` have a value for each node that was tried, also where MQTT was what failed."""

from __future__ import annotations

import re
import socket

import pytest

from lab.stream_mqtt import WELCOME, connect, run, visit
from tidegate.mqtt.connack import encode_connack

FORMAT = (
    "log_format f '$upstream_addr|$upstream_last_addr|$upstream_bytes_sent|"
    "$upstream_bytes_received|$upstream_connect_time|$upstream_first_byte_time|"
    "$upstream_session_time'; access_log /dev/null f;"
)


@pytest.fixture
def unused_port():
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_a_node_that_refused_in_mqtt_was_connected_and_spoke(stream, entrance, broker):
    refusal = encode_connack(5, 0x9C)
    bad, good = broker(refusal), broker(WELCOME)
    rig = stream(
        f"{FORMAT} upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 0x9C; proxy_pass b; }"
    )
    packet = connect("dev")

    async def main():
        assert await visit(entrance, packet) == WELCOME

    run(rig, entrance, main, bad, good)
    ((addresses, last, sent, received, *times),) = (line.split("|") for line in rig.lines.access)
    assert addresses == f"127.0.0.1:{bad.port}, 127.0.0.1:{good.port}"
    assert last == f"127.0.0.1:{good.port}"
    assert sent == f"{len(packet)}, {len(packet)}"
    assert received == f"{len(refusal)}, {len(WELCOME)}"
    assert all(re.fullmatch(r"\d+\.\d{3}, \d+\.\d{3}", one) for one in times)


def test_a_node_that_was_not_reached_has_no_times_but_how_long_it_took(
    stream, entrance, broker, unused_port
):
    good = broker(WELCOME)
    rig = stream(
        f"{FORMAT} upstream b {{ server 127.0.0.1:{unused_port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; proxy_pass b; }"
    )
    packet = connect("dev")

    async def main():
        assert await visit(entrance, packet) == WELCOME

    run(rig, entrance, main, good)
    ((_, _, sent, received, connected, first, lasted),) = (
        line.split("|") for line in rig.lines.access
    )
    assert (sent, received) == (f"0, {len(packet)}", f"0, {len(WELCOME)}")
    assert re.fullmatch(r"-, \d+\.\d{3}", connected)
    assert re.fullmatch(r"-, \d+\.\d{3}", first)
    assert re.fullmatch(r"\d+\.\d{3}, \d+\.\d{3}", lasted)


def test_where_no_node_is_left_the_group_is_a_try_too(stream, entrance, unused_port):
    rig = stream(
        f"{FORMAT} upstream b {{ server 127.0.0.1:{unused_port} down; }}"
        "server { listen 1; mqtt_preread on; proxy_pass b; }"
    )

    async def main():
        await visit(entrance, connect("dev", version=4))

    run(rig, entrance, main)
    assert rig.lines.access == ["b|-|0|0|-|-|0.000"]

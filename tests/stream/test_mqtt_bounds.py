"""Sessions whose MQTT is read: how long each may wait, what is kept of it, what a fault costs."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.stream_mqtt import LIMIT, WELCOME, connect, run, text, visit
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.stream import mqtt_rules
from tidegate.stream.mqtt_session import MqttSession


@pytest.mark.parametrize(("version", "code"), [(5, 0x88), (4, 3), (3, 3)])
@pytest.mark.parametrize("fault", ["choose", "pass_on"])
def test_a_fault_of_ours_is_told_in_mqtt(
    stream, entrance, broker, monkeypatch, version, code, fault
):
    """Both before a node is chosen, and when its CONNACK is there."""

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(MqttSession, fault, fail)
    one = broker(encode_connack(version, 0))
    rig = stream(
        "log_format f '$status $mqtt_connack_code'; access_log /dev/null f;"
        f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        answer = await visit(entrance, connect("dev", version=version), size=100)
        told = parse_connack(answer, version=version, limit=LIMIT)
        assert (told.code, told.reason_string) == (code, "internal error" if code > 5 else None)

    run(rig, entrance, main, one)
    assert rig.lines.access == ["500 -"]
    assert [type(error) for error in rig.troubles] == [ZeroDivisionError]
    rig.troubles.clear()


@pytest.mark.parametrize("alive", [True, False], ids=["served", "refused"])
def test_a_log_shows_512_characters_of_what_mqtt_says(stream, entrance, broker, alive):
    one = broker(WELCOME if alive else "close")
    rig = stream(
        "log_format f '$mqtt_preread_clientid|$mqtt_preread_username|$mqtt_set_clientid|"
        "$mqtt_will_topic|$mqtt_user_property_a'; access_log /dev/null f; mqtt_next_upstream error;"
        "server { listen 1; mqtt on; mqtt_set_connect clientid x$mqtt_preread_clientid;"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )
    properties = b"\x26" + text("a") + text("p" * 100)
    client_id, name = "\u20ac" * 512 + "c" * 10_000, "u" * 10_000

    async def main():
        packet = connect(client_id, username=name, properties=properties)
        await visit(entrance, packet)

    run(rig, entrance, main, one)
    assert one.connects[0].client_id == "x" + client_id  # only logs are cut
    euro = r"\xE2\x82\xAC"
    assert rig.lines.access == [f"{euro * 512}|{'u' * 512}|x{euro * 511}|-|{'p' * 100}"]


def test_a_node_that_is_silent_keeps_a_client_no_longer_than_its_keep_alive(
    stream, entrance, broker, monkeypatch
):
    """Nothing but a Server Keep Alive is to be read from its CONNACK."""
    monkeypatch.setattr(mqtt_rules, "LEAST_ANSWER_MS", 100)
    silent = broker(None)
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{silent.port}; }}")

    async def main():
        before = time.monotonic()
        answer = await visit(entrance, connect("dev", keepalive=1), size=100)
        assert parse_connack(answer, version=5, limit=LIMIT).code == 0x88
        assert 1.4 < time.monotonic() - before < 7.5

    run(rig, entrance, main, silent)
    assert any("while waiting for its CONNACK" in line for _, line in rig.lines.errors)


@pytest.mark.parametrize(
    ("directives", "keepalive", "limit"),
    [
        ("mqtt_preread on;", 60, 90_000),
        ("mqtt_preread on;", 2, 10_000),
        ("mqtt_preread on;", 0, 0),
        ("mqtt_preread on; mqtt_keepalive_timeout off;", 60, 0),
        ("mqtt_preread on; mqtt_next_upstream 3;", 60, 90_000),
        ("mqtt_preread on; mqtt_next_upstream timeout;", 60, 10_000),
        ("mqtt_preread on; mqtt_next_upstream timeout; mqtt_connack_timeout 2s;", 0, 2_000),
    ],
)
def test_how_long_a_connack_may_take(stream, directives, keepalive, limit):
    rig = stream(f"server {{ listen 1; {directives} proxy_pass 127.0.0.1:1; }}")
    ((_, port),) = rig.prepared.ports
    assert port.server.mqtt.answer_ms(keepalive) == limit


def test_a_server_keep_alive_of_0_leaves_a_client_to_the_proxy_timeout(stream, entrance, broker):
    """The client asked for 1 s, but its node asks for nothing at all."""
    one = broker(b"\x20\x06\x00\x00\x03\x13\x00\x00")
    rig = stream(
        "server { listen 1; mqtt_preread on; proxy_timeout 3s;"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        before = time.monotonic()
        writer.write(connect("dev", keepalive=1))
        await reader.readexactly(8)
        assert await reader.read() == b""
        assert 2.9 < time.monotonic() - before < 15
        writer.close()

    run(rig, entrance, main, one)

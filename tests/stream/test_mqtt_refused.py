"""MQTT clients that are not served: why, in which words, and who is asked before."""

from __future__ import annotations

import asyncio
import socket
import zlib

import pytest

from lab.stream_mqtt import LIMIT, REFUSED, WELCOME, connect, run, text, visit
from tidegate.config.model import Level
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.mqtt.reason_codes import Reason
from tidegate.stream.mqtt_session import MqttSession
from tidegate.stream.refusals import read_passed, read_refusals

STATUS = "log_format f '$status'; access_log /dev/null f;"


@pytest.mark.parametrize("words", [b"", connect("dev")[:9]], ids=["nothing", "half a CONNECT"])
def test_who_leaves_before_the_choice_is_closed_and_logged_as_in_nginx(
    stream, entrance, broker, words
):
    one = broker()
    rig = stream(
        f"{STATUS} server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(words)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    run(rig, entrance, main, one)
    assert rig.lines.access == ["200"]
    assert one.connects == []


BAD_VALUES = {
    "control character": ("$mqtt_preread_username", {"username": "a\x01b"}),
    "too long": ("x$mqtt_preread_clientid", {}),
    "no UTF-8": ("$binary_remote_addr", {}),
}


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize(("field", "codes"), [("clientid", (0x85, 2)), ("username", (0x86, 4))])
@pytest.mark.parametrize("version", [5, 4])
def test_a_value_that_no_connect_may_hold_refuses_the_client(
    stream, entrance, broker, value, field, codes, version
):
    one = broker()
    template, more = BAD_VALUES[value]
    rig = stream(
        f"{STATUS} server {{ listen 1; mqtt on; mqtt_set_connect {field} {template};"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        client_id = "n" * 65_535 if value == "too long" else "dev"
        answer = await visit(entrance, connect(client_id, version=version, **more), size=100)
        assert parse_connack(answer, version=version, limit=LIMIT).code == codes[version == 4]

    run(rig, entrance, main, one)
    assert rig.lines.access == ["400"]
    assert one.connects == []
    assert read_refusals(rig.board.worker_counters(0))["value"] == 1


@pytest.mark.parametrize(
    ("status", "reason", "codes", "words"),
    [
        (400, Reason.CLIENT_IDENTIFIER_NOT_VALID, (0x85, 2), "client identifier not allowed"),
        (400, Reason.BAD_USER_NAME_OR_PASSWORD, (0x86, 4), "user name or password not allowed"),
        (403, None, (0x87, 5), "access denied"),
        (500, None, (0x88, 3), "internal error"),
        (502, None, (0x88, 3), "no node can be reached"),
        (503, None, (0x97, 3), "too many connections"),
    ],
)
@pytest.mark.parametrize("version", [5, 4])
def test_each_status_has_its_words_in_mqtt(
    stream, entrance, monkeypatch, status, reason, codes, words, version
):
    monkeypatch.setattr(MqttSession, "choose", lambda session: session.refuse(status, reason))
    rig = stream(f"{STATUS} server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:1; }}")

    async def main():
        answer = await visit(entrance, connect("dev", version=version), size=100)
        told = parse_connack(answer, version=version, limit=LIMIT)
        assert told.code == codes[version == 4]
        assert told.reason_string == (words if version == 5 else None)

    run(rig, entrance, main)
    assert rig.lines.access == [str(status)]


@pytest.mark.parametrize(
    ("most", "answer"),
    [
        (30, b"\x20\x1c\x00\x88\x19\x1f\x00\x16no node can be reached"),
        (29, b"\x20\x03\x00\x88\x00"),
        (4, b""),
    ],
)
def test_no_answer_is_larger_than_the_client_takes(stream, entrance, monkeypatch, most, answer):
    monkeypatch.setattr(MqttSession, "choose", lambda session: session.refuse(502))
    rig = stream("server { listen 1; mqtt_preread on; proxy_pass 127.0.0.1:1; }")
    properties = b"\x27" + most.to_bytes(4, "big")

    async def main():
        assert await visit(entrance, connect("dev", properties=properties), size=100) == answer

    run(rig, entrance, main)


MALFORMED = connect("dev") + b"!"
MALFORMED = MALFORMED[:1] + bytes([MALFORMED[1] + 1]) + MALFORMED[2:]


@pytest.mark.parametrize(
    ("most", "words"), [(None, "malformed CONNECT"), (25, "malformed CONNECT"), (24, None)]
)
def test_a_malformed_connect_is_told_so_within_the_size_that_it_names(
    stream, entrance, most, words
):
    """There is a byte behind the last field; what is before it can be read."""
    rig = stream("server { listen 1; mqtt_preread on; mqtt_require on; proxy_pass 127.0.0.1:1; }")
    packet = MALFORMED
    if most is not None:
        whole = connect("dev", properties=b"\x27" + most.to_bytes(4, "big"))
        packet = whole[:1] + bytes([whole[1] + 1]) + whole[2:] + b"!"

    async def main():
        answer = await visit(entrance, packet, size=100)
        told = parse_connack(answer, version=5, limit=LIMIT)
        assert (told.code, told.reason_string) == (0x81, words)

    run(rig, entrance, main)


PASSED_UNREAD = {
    "malformed": (MALFORMED, "malformed"),
    "of version 9": (b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00", "unsupported_version"),
    "not MQTT": (b"GET / HTTP/1.1\r\n\r\n", None),
}


@pytest.mark.parametrize("kind", PASSED_UNREAD)
def test_a_connect_that_is_passed_on_unread_leaves_a_trace(stream, entrance, kind):
    packet, reason = PASSED_UNREAD[kind]
    with socket.create_server(("127.0.0.1", 0)) as node:
        rig = stream(
            "server { listen 1; mqtt_preread on; proxy_timeout 100ms;"
            f" proxy_pass 127.0.0.1:{node.getsockname()[1]}; }}",
            level=Level.INFO,
        )

        async def main():
            assert await visit(entrance, packet, size=1) == b""

        run(rig, entrance, main)
    counters = rig.board.worker_counters(0)
    passed = {name: count for name, count in read_passed(counters).items() if count}
    assert passed == ({} if reason is None else {reason: 1})
    assert not any(read_refusals(counters).values())
    told = [level for level, line in rig.lines.errors if "passed on unread" in line]
    assert told == ([] if reason is None else ["info"])


@pytest.mark.parametrize("code", [1, 2, 4, 5])
@pytest.mark.parametrize("version", [3, 4])
def test_what_a_node_says_of_the_client_is_passed_on(stream, entrance, broker, version, code):
    bad, good = broker(encode_connack(version, code)), broker(encode_connack(version, 0))
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 3 error timeout; proxy_pass b; }"
    )

    async def main():
        answer = await visit(entrance, connect("dev", version=version), size=4)
        assert answer == encode_connack(version, code)

    run(rig, entrance, main, bad, good)
    assert good.connects == []
    assert rig.board.peer_row(0).fails == 0


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ("", 3),
        ("proxy_next_upstream_tries 2;", 2),
        ("proxy_next_upstream_tries 1;", 1),
        ("proxy_next_upstream off;", 1),
        ("proxy_next_upstream_timeout 10m;", 3),
    ],
)
def test_no_more_nodes_are_asked_than_proxy_next_upstream_allows(
    stream, entrance, broker, more, asked
):
    nodes = [broker(REFUSED) for _ in range(3)]
    servers = " ".join(f"server 127.0.0.1:{node.port};" for node in nodes)
    rig = stream(
        f"upstream b {{ {servers} }} server {{ listen 1; mqtt_preread on;"
        f" mqtt_next_upstream 0x9C; {more} proxy_pass b; }}"
    )

    async def main():
        assert await visit(entrance, connect("dev")) == REFUSED

    run(rig, entrance, main, *nodes)
    assert [len(node.connects) for node in nodes] == [1] * asked + [0] * (3 - asked)


def test_no_node_is_asked_when_the_time_for_that_is_over(stream, entrance, broker):
    silent, good = broker(None), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{silent.port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream timeout; proxy_pass b;"
        " mqtt_connack_timeout 200ms; proxy_next_upstream_timeout 100ms; }"
    )

    async def main():
        answer = await visit(entrance, connect("dev"), size=100)
        assert parse_connack(answer, version=5, limit=LIMIT).code == 0x88

    run(rig, entrance, main, silent, good)
    assert good.connects == []


def test_a_password_may_be_taken_out(stream, entrance, broker):
    one = broker()
    rig = stream(
        "server { listen 1; mqtt on; mqtt_set_connect password '';"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        await visit(entrance, connect("dev", username="me", password=b"secret"))

    run(rig, entrance, main, one)
    (hello,) = one.connects
    assert (hello.username, hello.password) == ("me", None)


def test_a_key_may_be_a_chain_of_what_connect_says(stream, entrance, broker):
    nodes = [broker(), broker()]
    servers = " ".join(f"server 127.0.0.1:{node.port};" for node in nodes)
    rig = stream(
        f"upstream b {{ hash $mqtt_user_property_tenant$mqtt_preread_clientid; {servers} }}"
        "server { listen 1; mqtt_preread on; proxy_pass b; }"
    )
    properties = b"\x26" + text("tenant") + text("blue")
    names = [f"dev-{number}" for number in range(8)]

    async def main():
        for name in names:
            await visit(entrance, connect(name, properties=properties))

    run(rig, entrance, main, *nodes)
    at = {name: (zlib.crc32(f"blue{name}".encode()) >> 16 & 0x7FFF) % 2 for name in names}
    assert set(at.values()) == {0, 1}
    for number, node in enumerate(nodes):
        assert [one.client_id for one in node.connects] == [n for n in names if at[n] == number]

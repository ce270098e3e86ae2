"""Sessions whose MQTT is read: what nodes get, what clients are told, who may be silent."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time

import pytest

from lab.engine import until
from lab.stream_mqtt import LIMIT, PINGREQ, PUBLISH, REFUSED, WELCOME, connect, run, text, visit
from tidegate.config.model import Level
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.stream.refusals import read_refusals

FORMAT = (
    "log_format f '$status|$mqtt_preread_clientid|$mqtt_preread_username|$mqtt_set_clientid|"
    "$mqtt_protocol_version|$mqtt_keepalive|$mqtt_clean_start|$mqtt_session_expiry|"
    "$mqtt_user_property_my_tenant|$mqtt_connack_code|$mqtt_session_present|"
    "$mqtt_assigned_clientid'; access_log /dev/null f;"
)


def test_what_mqtt_says_is_in_the_log_also_long_after(stream, entrance, broker):
    one = broker(b"\x20\x09\x01\x00\x06\x12\x00\x03own")
    rig = stream(
        f"{FORMAT} server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}"
    )
    properties = b"\x11\x00\x00\x00\x0a" + b"\x26" + text("My-Tenant") + text("blue")

    async def main():
        packet = connect("dev-1", username="user", properties=properties, keepalive=30)
        await visit(entrance, packet, size=11)

    run(rig, entrance, main, one)
    assert rig.lines.access == ["200|dev-1|user|-|5|30|1|10|blue|0|1|own"]


def test_without_mqtt_the_variables_are_not_there_and_bytes_pass(stream, entrance, broker):
    one = broker()
    rig = stream(
        f"{FORMAT} server {{ listen 1; mqtt_preread on;"
        " return 'no broker $mqtt_preread_clientid'; }"
    )

    async def main():
        assert await visit(entrance, b"GET / HTTP/1.1\r\n\r\n", size=10) == b"no broker "

    run(rig, entrance, main, one)
    assert rig.lines.access == ["200" + "|-" * 11]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_the_client_id_is_replaced_and_nothing_else(stream, entrance, broker, version):
    one = broker(encode_connack(version, 0))
    rig = stream(
        f"{FORMAT} server {{ listen 1; mqtt on; mqtt_set_connect clientid 'set-$mqtt_keepalive';"
        f" mqtt_set_connect username $mqtt_preread_clientid; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        packet = connect("mine", version=version, username="me", password=b"\x00secret")
        await visit(entrance, packet, size=4, more=PUBLISH)

    run(rig, entrance, main, one)
    (hello,) = one.connects
    assert (hello.client_id, hello.username, hello.password) == ("set-60", "mine", b"\x00secret")
    assert bytes(one.behind) == PUBLISH
    assert rig.lines.access[0].split("|")[1:4] == ["mine", "me", "set-60"]


@pytest.mark.parametrize(("version", "code"), [(5, 0x85), (4, 2), (3, 2)])
def test_an_empty_client_id_to_set_refuses_the_client(stream, entrance, broker, version, code):
    one = broker()
    rig = stream(
        f"server {{ listen 1; mqtt on; mqtt_set_connect clientid '$mqtt_will_topic';"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        answer = await visit(entrance, connect("mine", version=version), size=100)
        assert parse_connack(answer, version=version, limit=LIMIT).code == code

    run(rig, entrance, main, one)
    assert one.connects == []


@pytest.mark.parametrize(("version", "password"), [(4, None), (5, b"x")])
def test_an_empty_value_may_keep_the_client_id_and_removes_a_user_name(
    stream, entrance, broker, version, password
):
    """Before MQTT 5 the password goes with it."""
    one = broker(encode_connack(version, 0))
    rig = stream(
        "server { listen 1; mqtt on; mqtt_set_connect clientid '$mqtt_will_topic' if_empty=keep;"
        f" mqtt_set_connect username ''; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        packet = connect("mine", version=version, username="me", password=b"x")
        await visit(entrance, packet, size=4)

    run(rig, entrance, main, one)
    (hello,) = one.connects
    assert (hello.client_id, hello.username, hello.password) == ("mine", None, password)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_password_to_set_needs_a_user_name_before_mqtt_5(stream, entrance, broker, version):
    one = broker(encode_connack(version, 0))
    rig = stream(
        "log_format f '$status'; access_log /dev/null f; server { listen 1; mqtt on;"
        f" mqtt_set_connect password new; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        for username in ("me", None):
            answer = await visit(entrance, connect("d", version=version, username=username), size=4)
            if version == 5 or username:
                assert answer == encode_connack(version, 0)[:4]
            else:
                assert answer == encode_connack(version, 4)

    run(rig, entrance, main, one)
    assert {hello.password for hello in one.connects} == {b"new"}
    assert rig.lines.access == ["200", "200" if version == 5 else "400"]


@pytest.mark.parametrize(
    "packet",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
        b"\x10\x0f\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00\x00\x00",
    ],
    ids=["http", "version 9", "reserved flag"],
)
def test_where_a_client_id_is_set_nothing_unreadable_gets_past(stream, entrance, broker, packet):
    one = broker()
    rig = stream(
        "server { listen 1; mqtt on; mqtt_set_connect clientid x;"
        f" proxy_pass 127.0.0.1:{one.port}; }}",
        level=Level.INFO,
    )

    async def main():
        await visit(entrance, packet, size=100)

    run(rig, entrance, main, one)
    assert one.connects == []
    assert one.behind == b""
    assert any("no CONNECT that is allowed here" in line for _, line in rig.lines.errors)
    assert sum(read_refusals(rig.board.worker_counters(0)).values()) == 1


@pytest.mark.parametrize(
    ("packet", "answer", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"", "not_connect"),
        (
            b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
            b"\x20\x1e\x00\x84\x1b\x1f\x00\x18unknown protocol version",
            "unsupported_version",
        ),
        (b"\x10\x0c\x00\x06MQIsdp\x05\x02\x00\x3c", b"\x20\x02\x00\x01", "unsupported_version"),
        (
            b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x00",
            b"\x20\x17\x00\x81\x14\x1f\x00\x11malformed CONNECT",
            "malformed",
        ),
        (b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00", b"", "malformed"),
        (b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05", b"", "oversize"),
    ],
)
def test_with_mqtt_require_what_is_no_connect_is_refused_in_its_own_words(
    stream, entrance, broker, packet, answer, reason
):
    one = broker()
    rig = stream(
        f"server {{ listen 1; mqtt_require on; proxy_pass 127.0.0.1:{one.port}; }}",
    )

    async def main():
        assert await visit(entrance, packet, size=100) == answer

    run(rig, entrance, main, one)
    assert one.connects == []
    counts = read_refusals(rig.board.worker_counters(0))
    assert {name for name, count in counts.items() if count} == {reason}


@pytest.mark.parametrize(("version", "code"), [(5, 0x88), (4, 3), (3, 3)])
def test_when_no_node_is_left_the_client_is_told_in_mqtt(stream, entrance, version, code):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        rig = stream(
            "server { listen 1; mqtt_preread on;"
            f" proxy_pass 127.0.0.1:{closed.getsockname()[1]}; }}"
        )

        async def main():
            answer = await visit(entrance, connect("dev", version=version), size=100)
            assert parse_connack(answer, version=version, limit=LIMIT).code == code

        run(rig, entrance, main)
    level, line = rig.lines.errors[0]
    assert level == "error"
    assert 'clientid: "dev"' in line


def test_a_client_id_cannot_forge_a_line_of_the_error_log(stream, entrance):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        rig = stream(
            "server { listen 1; mqtt_preread on;"
            f" proxy_pass 127.0.0.1:{closed.getsockname()[1]}; }}"
        )

        async def main():
            await visit(entrance, connect('a", upstream: "evil' + "x" * 60_000)[:16384], size=1)
            await visit(entrance, connect('a", upstream: "evil' + "x" * 5_000), size=1)

        run(rig, entrance, main)
    (line,) = [line for _, line in rig.lines.errors if "clientid" in line]
    assert re.search(r'clientid: "a\\x22, upstream: \\x22evilx{109}", upstream: "127', line)


@pytest.mark.parametrize(
    ("answer", "directive"),
    [
        (REFUSED, "mqtt_next_upstream 0x9C;"),
        ("close", "mqtt_next_upstream error;"),
        (None, "mqtt_next_upstream timeout; mqtt_connack_timeout 100ms;"),
    ],
    ids=["refusing", "closing", "silent"],
)
def test_what_was_pipelined_behind_the_connect_arrives_once_at_the_node_that_accepts(
    stream, entrance, broker, answer, directive
):
    bad, good = broker(answer), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port}; }}"
        f"server {{ listen 1; mqtt_preread on; {directive} proxy_pass b; }}"
        "log_format f '$upstream_addr $mqtt_connack_code'; access_log /dev/null f;"
    )

    async def main():
        packet = connect("dev") + PUBLISH * 3
        assert await visit(entrance, packet, more=PUBLISH) == WELCOME

    run(rig, entrance, main, bad, good)
    assert bytes(good.behind) == PUBLISH * 4
    assert bad.behind == b""
    assert [hello.packet for hello in bad.connects + good.connects] == [connect("dev")] * 2
    assert rig.lines.access == [f"127.0.0.1:{bad.port}, 127.0.0.1:{good.port} 0"]


@pytest.mark.parametrize(("code", "fails"), [(0x9C, 1), (0x88, 1), (0x97, 0), (0x9F, 0)], ids=hex)
def test_a_refusal_for_a_limit_is_no_failure_of_the_node(stream, entrance, broker, code, fails):
    bad, good = broker(encode_connack(5, code)), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port} max_fails=9; server 127.0.0.1:{good.port}; }}"
        f"server {{ listen 1; mqtt_preread on; mqtt_next_upstream 0x{code:X}; proxy_pass b; }}"
    )

    async def main():
        assert await visit(entrance, connect("dev")) == WELCOME

    run(rig, entrance, main, bad, good)
    assert rig.board.peer_row(0).fails == fails


def test_a_refusal_goes_to_the_client_when_no_other_node_is_left(stream, entrance, broker):
    bad, worse = broker(REFUSED), broker(REFUSED)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{worse.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 0x9C; proxy_pass b; }"
    )

    async def main():
        assert await visit(entrance, connect("dev")) == REFUSED

    run(rig, entrance, main, bad, worse)
    assert len(bad.connects) == len(worse.connects) == 1


@pytest.mark.parametrize("code", [0x86, 0x9C], ids=["client's fault", "not asked for"])
def test_other_refusals_are_the_clients_to_hear(stream, entrance, broker, code):
    bad, good = broker(encode_connack(5, code)), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 0x88 error; proxy_pass b; }"
    )

    async def main():
        assert await visit(entrance, connect("dev")) == encode_connack(5, code)

    run(rig, entrance, main, bad, good)
    assert good.connects == []


def test_an_auth_exchange_passes_untouched(stream, entrance, broker):
    auth = b"\xf0\x09\x18\x07\x15\x00\x04SCRA"
    one = broker(auth)
    rig = stream(
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 0x9C error timeout;"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        assert await visit(entrance, connect("dev"), size=len(auth), more=auth) == auth

    run(rig, entrance, main, one)
    assert bytes(one.behind) == auth


async def publish_for_ever(writer):
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(PUBLISH)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("server_keepalive", [None, 1])
def test_a_silent_client_is_gone_after_one_and_a_half_keep_alives(
    stream, entrance, broker, server_keepalive
):
    """Keep alive 1 s; the broker publishes all the time, which does not count."""
    answer = WELCOME if server_keepalive is None else b"\x20\x06\x00\x00\x03\x13\x00\x01"
    one = broker(answer)
    one.talk = publish_for_ever
    keepalive = 1 if server_keepalive is None else 600
    rig = stream(
        f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}",
        level=Level.INFO,
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", keepalive=keepalive))
        await reader.readexactly(len(answer))
        before = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        assert 1.4 < time.monotonic() - before < 7.5
        writer.close()

    run(rig, entrance, main, one)
    assert any("timed out" in line for _, line in rig.lines.errors)


def test_a_client_that_pings_outlives_the_proxy_timeout(stream, entrance, broker):
    one = broker()
    rig = stream(
        "server { listen 1; mqtt_preread on; proxy_timeout 200ms;"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", keepalive=90))
        await reader.readexactly(5)
        await asyncio.sleep(1.2)
        writer.write(PINGREQ)
        await until(lambda: one.behind.endswith(PINGREQ))
        writer.close()

    run(rig, entrance, main, one)


@pytest.mark.parametrize(("keepalive", "directive"), [(0, ""), (90, "mqtt_keepalive_timeout off;")])
def test_without_a_keep_alive_the_proxy_timeout_rules(
    stream, entrance, broker, keepalive, directive
):
    one = broker()
    rig = stream(
        f"server {{ listen 1; mqtt_preread on; proxy_timeout 200ms; {directive}"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", keepalive=keepalive))
        await reader.readexactly(5)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    run(rig, entrance, main, one)


def test_a_connect_larger_than_the_buffer_is_nginxs_error(stream, entrance, broker):
    one = broker()
    rig = stream(
        "log_format f '$status'; access_log /dev/null f; server { listen 1; mqtt_preread on;"
        f" preread_buffer_size 100; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        assert await visit(entrance, connect("x" * 200), size=1) == b""
        assert await visit(entrance, connect("x" * 50)) == WELCOME

    run(rig, entrance, main, one)
    assert rig.lines.access == ["400", "200"]
    assert "preread buffer full" in rig.lines.errors[0][1]


def test_python_is_called_three_times_for_a_session_that_was_read(stream, entrance, broker):
    one = broker(encode_connack(4, 0))
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}")

    async def main():
        await visit(entrance, connect("dev", version=4), size=4, more=PUBLISH * 100)

    run(rig, entrance, main, one)
    calls = {kind: count for kind, count in rig.engine.calls.items() if count}
    assert calls == {"preread": 1, "connected": 1, "end": 1}


@pytest.mark.parametrize(("version", "code"), [(5, 0x88), (4, 3)])
def test_a_client_that_waits_for_its_connack_is_told_of_a_shutdown(
    stream, entrance, broker, version, code
):
    silent = broker(None)
    rig = stream(
        "server { listen 1; mqtt_preread on; mqtt_next_upstream timeout;"
        f" proxy_pass 127.0.0.1:{silent.port}; }}"
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", version=version))
        await until(lambda: silent.connects)
        rig.runtime.close_sessions()
        answer = await reader.read()
        assert parse_connack(answer, version=version, limit=LIMIT).code == code
        writer.close()

    run(rig, entrance, main, silent)


@pytest.mark.parametrize("words", [b"", connect("dev")[:9]], ids=["nothing", "half a CONNECT"])
def test_who_is_silent_before_the_choice_is_closed_and_logged(stream, entrance, broker, words):
    one = broker()
    rig = stream(
        "log_format f '$status $bytes_received $server_port'; access_log /dev/null f;"
        "server { listen 1; mqtt_preread on; preread_timeout 50ms;"
        f" proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        assert await visit(entrance, words) == b""

    run(rig, entrance, main, one)
    assert rig.lines.access == [f"200 {len(words)} {entrance.getsockname()[1]}"]
    assert one.connects == []


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_that_leaves_before_its_connack_takes_no_place(
    stream, entrance, broker, version, how
):
    """The node is silent; without this the session would wait for it for ten minutes."""
    silent = broker(None)
    rig = stream(
        "server { listen 1; mqtt_preread on; mqtt_next_upstream timeout; mqtt_connack_timeout 60s;"
        f" proxy_pass 127.0.0.1:{silent.port}; }}"
    )

    async def main():
        _, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", version=version))
        await until(lambda: silent.connects)
        if how == "end":
            writer.close()
        else:
            writer.transport.abort()
        await until(lambda: rig.engine.active == 0)

    run(rig, entrance, main, silent)


def test_a_client_that_leaves_behind_its_messages_is_heard_out(stream, entrance, broker):
    """CONNECT, PUBLISH and the end, all before the CONNACK."""
    bad, good = broker("close"), broker(WELCOME)
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{bad.port}; server 127.0.0.1:{good.port}; }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream error; proxy_pass b; }"
    )

    async def main():
        _, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev") + PUBLISH * 3)
        writer.write_eof()
        await until(lambda: good.behind == PUBLISH * 3)
        writer.close()

    run(rig, entrance, main, bad, good)


@pytest.mark.parametrize("answer", [REFUSED, "close"], ids=["refusing", "closing"])
def test_the_last_nodes_failure_counts_too(stream, entrance, broker, answer):
    bad, worse = broker(answer), broker(answer)
    servers = "".join(f"server 127.0.0.1:{one.port} max_fails=9;" for one in (bad, worse))
    rig = stream(
        f"upstream b {{ {servers} }}"
        "server { listen 1; mqtt_preread on; mqtt_next_upstream 0x9C error; proxy_pass b; }"
    )

    async def main():
        await visit(entrance, connect("dev"))

    run(rig, entrance, main, bad, worse)
    assert [rig.board.peer_row(row).fails for row in range(2)] == [1, 1]
    told = [line for level, line in rig.lines.errors if level == "error"]
    assert [f"127.0.0.1:{one.port}" in line for one, line in zip((bad, worse), told, strict=True)]


def test_a_node_that_closes_every_session_unheard_is_explained_in_mqtt_5_too(
    stream, entrance, broker
):
    one = broker("close")
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}")

    async def main():
        for _ in range(4):
            await visit(entrance, connect("dev"), size=1)

    run(rig, entrance, main, one)
    assert len([line for _, line in rig.lines.errors if "PROXY protocol or TLS" in line]) == 1


def test_other_fields_may_be_set_to_the_client_id_that_is_set(stream, entrance, broker):
    one = broker()
    rig = stream(
        "server { listen 1; mqtt on; mqtt_set_connect username $mqtt_set_clientid;"
        f" mqtt_set_connect clientid 'x-$mqtt_keepalive'; proxy_pass 127.0.0.1:{one.port}; }}"
    )

    async def main():
        await visit(entrance, connect("dev"))

    run(rig, entrance, main, one)
    (hello,) = one.connects
    assert (hello.client_id, hello.username) == ("x-60", "x-60")


def test_after_an_auth_exchange_no_keep_alive_is_assumed(stream, entrance, broker):
    """The node answers AUTH first, so what keep alive it grants is not seen."""
    auth = b"\xf0\x09\x18\x07\x15\x00\x04SCRA"
    one = broker(auth)
    rig = stream(f"server {{ listen 1; mqtt_preread on; proxy_pass 127.0.0.1:{one.port}; }}")

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("dev", keepalive=1))
        await reader.readexactly(len(auth))
        await asyncio.sleep(2)
        writer.write(PINGREQ)
        await until(lambda: one.behind.endswith(PINGREQ))
        writer.close()

    run(rig, entrance, main, one)

"""What variables were found to be holds for every try of a session, and for its log line."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest

from lab.engine import until
from lab.stream_mqtt import REFUSED, WELCOME, connect, run, visit
from tidegate.config.model import Level
from tidegate.stream import variables
from tidegate.stream.session import Session

GROUPS = r"map $remote_addr $oct { ~^127\.0\.(?<last>\d+)\.(\d)$ 5; default 9; }"
LOG = "log_format f '%s'; access_log /dev/null f;"


@pytest.fixture
def dead():
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def sources():
    """A node that notes where connections come from, and greets."""

    class Node:
        def __init__(self):
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
            self.seen = []

        async def __aenter__(self):
            async def serve(reader, writer):
                self.seen.append(writer.get_extra_info("peername")[0])
                writer.write(WELCOME)
                await reader.read()
                writer.close()

            self.server = await asyncio.start_server(serve, sock=self.sock)

        async def __aexit__(self, *_):
            self.server.close()

    node = Node()
    yield node
    node.sock.close()


BINDS = ["127.0.3.$last", "127.0.3.$2", "127.0.3.$x"]


@pytest.mark.parametrize("logged", ["$status", "$oct", "$oct$last"])
@pytest.mark.parametrize("bind", BINDS)
@pytest.mark.parametrize("mqtt", ["", "mqtt_preread on;"])
def test_the_next_node_sees_the_source_that_the_first_would(
    stream, entrance, dead, sources, logged, bind, mqtt
):
    rig = stream(
        f"{LOG % logged} {GROUPS} upstream nodes {{ server 127.0.0.1:{dead};"
        f" server 127.0.0.1:{sources.port}; }} server {{ listen 1; set $x $oct; {mqtt}"
        f" proxy_pass nodes; proxy_bind {bind}; }}",
        level=Level.ALERT,
    )
    kept = []

    async def main():
        for _ in range(2):  # one of them begins with the node that is dead
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            writer.write(connect("dev"))
            await reader.readexactly(len(WELCOME))
            kept.extend(session.values for session in sessions_of(rig))
            writer.close()
            await until(lambda: rig.engine.active == 0)

    run(rig, entrance, main, sources)
    wanted = {BINDS[0]: "127.0.3.0", BINDS[1]: "127.0.3.1", BINDS[2]: "127.0.3.5"}[bind]
    assert sources.seen == [wanted] * 2
    assert {len(rig.lines.access), len(set(rig.lines.access))} == {2, 1}
    if logged == "$status":
        assert kept == [None, None]  # once the relay runs
    else:
        assert all(one.running is None for one in kept)


def sessions_of(rig):
    server = rig.prepared.ports[0][1].server
    return [
        one for one in gc.get_objects() if isinstance(one, Session) and one.port.server is server
    ]


def test_after_a_connack_that_refuses_the_source_is_the_same(stream, entrance, broker):
    refusing, welcoming = broker(REFUSED), broker()
    came = []

    async def talk(writer):
        await asyncio.sleep(0)
        came.append(writer.get_extra_info("peername")[0])

    refusing.talk = welcoming.talk = talk
    rig = stream(
        f"{LOG % '$oct $status'} {GROUPS} upstream nodes {{ server 127.0.0.1:{refusing.port};"
        f" server 127.0.0.1:{welcoming.port}; }} server {{ listen 1; set $x $oct; proxy_pass nodes;"
        " mqtt_preread on; mqtt_next_upstream 0x9c; proxy_bind 127.0.3.$2; }",
        level=Level.ALERT,
    )

    async def main():
        for _ in range(2):
            assert await visit(entrance, connect("dev"), size=len(WELCOME)) == WELCOME

    run(rig, entrance, main, refusing, welcoming)
    assert set(came) == {"127.0.3.1"}
    assert len(refusing.connects) >= 1
    assert rig.lines.access == ["5 200", "5 200"]


def refused(rig, entrance, packet=b""):
    async def main():
        assert await visit(entrance, packet) in (b"", b"\x20\x03\x00\x84\x00")

    run(rig, entrance, main)


def test_a_client_that_is_refused_early_has_its_line_with_what_set_gives(stream, entrance):
    rig = stream(
        f"{LOG % '$status $p $q'} map $remote_addr $m {{ default $server_addr; }}"
        " server { listen 1; set $p $server_port; set $q $m; deny all; return x; }",
        level=Level.ALERT,
    )
    refused(rig, entrance)
    host, port = entrance.getsockname()
    assert rig.lines.access == [f"403 {port} {host}"]


def test_a_client_whose_limit_is_over_has_its_line_with_what_set_gives_of_mqtt(
    stream, entrance, broker
):
    one = broker()
    rig = stream(
        f"{LOG % '$status $who $what'} limit_conn_zone $mqtt_preread_username zone=u:64k;"
        " map $mqtt_preread_clientid $kind { ~^(?<what>\\w+)- $1; }"
        " server { listen 1; mqtt_preread on; limit_conn u 1;"
        " set $who $mqtt_preread_username-$kind;"
        f" proxy_pass 127.0.0.1:{one.port}; }}",
        level=Level.ALERT,
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("first-1", username="bob"))
        await reader.readexactly(len(WELCOME))
        answer = await visit(entrance, connect("second-1", username="bob"))
        assert answer[:1] == b"\x20"
        writer.close()

    run(rig, entrance, main, one)
    assert rig.lines.access == ["503 bob-second second", "200 bob-first first"]


def test_groups_that_an_early_limit_found_are_there_for_a_client_of_mqtt(stream, entrance, sources):
    rig = stream(
        f"{GROUPS} limit_conn_zone $oct zone=z:64k; server {{ listen 1; limit_conn z 5;"
        f" mqtt_preread on; proxy_bind 127.0.3.$2; proxy_pass 127.0.0.1:{sources.port}; }}",
        level=Level.ALERT,
    )

    async def main():
        assert await visit(entrance, connect("dev"), size=len(WELCOME)) == WELCOME

    run(rig, entrance, main, sources)
    assert sources.seen == ["127.0.3.1"]


def test_a_limit_by_a_group_waits_for_what_set_needs_of_mqtt(stream, entrance, broker):
    one = broker()
    rig = stream(
        f"{LOG % '$status'} map $mqtt_preread_clientid $kind {{ ~^(\\w+)- $1; }}"
        " limit_conn_zone $1 zone=z:64k; server { listen 1; mqtt_preread on; set $x $kind;"
        f" limit_conn z 1; proxy_pass 127.0.0.1:{one.port}; }}",
        level=Level.ALERT,
    )

    async def main():
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("a-1"))
        await reader.readexactly(len(WELCOME))
        assert (await visit(entrance, connect("a-2")))[3] == 0x97
        assert await visit(entrance, connect("b-2"), size=len(WELCOME)) == WELCOME
        writer.close()

    run(rig, entrance, main, one)


def test_a_variable_that_fails_costs_its_field_and_not_the_line(
    stream, entrance, monkeypatch, caplog
):
    def fail(_session):
        raise OSError(9, "gone")

    monkeypatch.setitem(variables.GETTERS, "pid", fail)
    rig = stream(f"{LOG % '$status $pid $protocol'} server {{ listen 1; return x; }}")

    async def main():
        for _ in range(2):
            await visit(entrance, b"")

    with caplog.at_level(logging.ERROR):
        run(rig, entrance, main)
    assert rig.lines.access == ["200 - TCP"] * 2
    assert [record.getMessage() for record in caplog.records] == [
        "a variable of log_format f failed"
    ]

"""A connection's life: which node it gets, and what the logs say of it, in nginx's words."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from lab.engine import until
from tidegate.config.model import Level
from tidegate.stream.session import client_text
from tidegate.stream.variables import GETTERS
from tidegate.variables import names


class Node:
    """A broker that answers what it hears first with its own port."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.sock = socket.create_server((address, 0))
        self.port = self.sock.getsockname()[1]
        self.heard: list[bytes] = []

    async def __aenter__(self):
        async def answer(reader, writer):
            self.heard.append(await reader.read(1000))
            writer.write(str(self.port).encode())
            await reader.read()
            writer.close()

        self.server = await asyncio.start_server(answer, sock=self.sock)
        return self

    async def __aexit__(self, *_):
        self.server.close()


@pytest.fixture
def node():
    """Make nodes; they serve while they are entered."""
    made = []

    def make():
        made.append(Node())
        return made[-1]

    yield make
    for one in made:
        one.sock.close()


@pytest.fixture
def refusing():
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def visit(sock, words=b"hello"):
    """Speak once and hear the answer."""
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(words)
    answer = await reader.read(100)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


def run(rig, entrance, main, *nodes):
    """Run `main` with the nodes serving, until every session has ended."""

    async def all_of_it():
        rig.serve(entrance)
        for one in nodes:
            await one.__aenter__()
        result = await main()
        await until(lambda: rig.engine.active == 0)
        for one in nodes:
            await one.__aexit__()
        return result

    return rig.run(all_of_it)


def test_every_name_that_a_configuration_may_use_has_a_value_and_no_other():
    assert set(GETTERS) == set(names.STREAM)


def test_nodes_take_turns_by_weight(stream, entrance, node):
    one, two, three = node(), node(), node()
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{one.port} weight=3; server 127.0.0.1:{two.port} weight=2;"
        f" server 127.0.0.1:{three.port}; }} server {{ listen 1; proxy_pass b; }}"
    )

    async def main():
        return [await visit(entrance) for _ in range(6)]

    a, b, c = (str(one.port), str(two.port), str(three.port))
    assert run(rig, entrance, main, one, two, three) == [a, b, a, c, b, a]


def test_a_dead_node_is_passed_over_logged_and_left_alone(stream, entrance, node, refusing):
    alive = node()
    rig = stream(
        "log_format f '$status $upstream_addr $upstream_connect_time $upstream_bytes_sent"
        " $upstream_bytes_received'; access_log /dev/null f;"
        f"upstream b {{ server 127.0.0.1:{refusing} weight=9; server 127.0.0.1:{alive.port}; }}"
        "server { listen 127.0.0.1:1; proxy_pass b; }"
    )

    async def main():
        return [await visit(entrance) for _ in range(3)]

    assert run(rig, entrance, main, alive) == [str(alive.port)] * 3
    details = (
        f', client: 127.0.0.1, server: 127.0.0.1:1, upstream: "127.0.0.1:{refusing}"'
        ", bytes from/to client:0/0, bytes from/to upstream:0/0"
    )
    assert rig.lines.errors == [
        (
            "error",
            "*1 connect() failed (111: Connection refused) while connecting to upstream" + details,
        ),
        (
            "warn",
            "*1 upstream server temporarily disabled while connecting to upstream" + details,
        ),
    ]
    first, *others = rig.lines.access
    assert re.fullmatch(
        rf"200 127\.0\.0\.1:{refusing}, 127\.0\.0\.1:{alive.port}"
        r" 0\.\d{3}, 0\.\d{3} 0, 5 0, 5",
        first.replace("-, ", "0.000, "),
    )
    for line in others:
        assert re.fullmatch(rf"200 127\.0\.0\.1:{alive.port} 0\.\d{{3}} 5 5", line)


@pytest.mark.parametrize(
    ("directives", "tried"),
    [
        ("", 3),
        ("proxy_next_upstream off;", 1),
        ("proxy_next_upstream_tries 2;", 2),
        ("proxy_next_upstream_timeout 1ms; proxy_next_upstream_tries 9;", 3),
    ],
)
def test_no_more_nodes_are_tried_than_allowed(stream, entrance, refusing, directives, tried):
    servers = "".join(f"server 127.0.0.{last}:{refusing} max_fails=0;" for last in (1, 2, 3))
    rig = stream(
        "log_format f '$status $upstream_addr'; access_log /dev/null f;"
        f"upstream b {{ {servers} }} server {{ listen 1; proxy_pass b; {directives} }}"
    )

    async def main():
        return await visit(entrance)

    assert run(rig, entrance, main) == ""
    (line,) = rig.lines.access
    status, *addresses = line.replace(",", "").split()
    assert status == "502"
    if "timeout" in directives:
        assert 1 <= len(addresses) <= tried
    else:
        assert len(addresses) == tried


def test_without_a_live_node_the_client_is_closed_and_the_upstream_named(
    stream, entrance, refusing
):
    rig = stream(
        "log_format f '$status $upstream_addr'; access_log /dev/null f;"
        f"upstream b {{ server 127.0.0.1:{refusing}; server 127.0.0.2:{refusing}; }}"
        "server { listen 1; proxy_pass b; }"
    )

    async def main():
        await visit(entrance)
        return await visit(entrance)

    assert run(rig, entrance, main) == ""
    assert rig.lines.access == [
        f"502 127.0.0.1:{refusing}, 127.0.0.2:{refusing}",
        "502 b",
    ]
    level, line = rig.lines.errors[-1]
    assert level == "error"
    assert line.startswith("*2 no live upstreams while connecting to upstream, client: 127.0.0.1")
    assert 'upstream: "b"' in line


def test_want_of_source_ports_is_blamed_on_nobody(stream, entrance, node):
    one = node()
    rig = stream(
        f"upstream b {{ server 127.0.0.1:{one.port}; server 127.0.0.1:{one.port}; }}"
        f"server {{ listen 1; proxy_pass b; proxy_bind 127.0.0.1:{one.port}; }}"
    )

    async def main():
        return await visit(entrance)

    # The port is taken by the node itself, so that our bind fails.
    assert run(rig, entrance, main, one) == ""
    ((level, line),) = rig.lines.errors
    assert level == "crit"
    assert f"bind(127.0.0.1:{one.port}) failed (98: Address already in use)" in line
    assert [rig.board.peer_row(row).fails for row in range(2)] == [0, 0]
    assert [rig.board.peer_row(row).conns for row in range(2)] == [0, 0]


def test_the_node_reads_who_the_client_is(stream, entrance, node):
    one = node()
    rig = stream(
        f"server {{ listen 1; proxy_pass 127.0.0.1:{one.port}; proxy_protocol on; }}"
        "log_format f '$remote_addr $remote_port $server_addr $server_port';"
        "access_log /dev/null f;"
    )

    async def main():
        return await visit(entrance)

    assert run(rig, entrance, main, one) == str(one.port)
    port = entrance.getsockname()[1]
    match = re.match(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 (\d+) (\d+)\r\n", one.heard[0])
    assert match
    assert int(match[2]) == port
    assert rig.lines.access == [f"127.0.0.1 {int(match[1])} 127.0.0.1 {port}"]


def test_return_sends_its_text_and_closes(stream, entrance):
    rig = stream(
        "server { listen 1; return 'you are $remote_addr, $protocol, é $upstream_addr|'; }"
        "log_format f '$status $bytes_sent $upstream_addr'; access_log /dev/null f;"
    )

    async def main():
        return await visit(entrance)

    assert run(rig, entrance, main) == "you are 127.0.0.1, TCP, é |"
    assert rig.lines.access == ["200 28 -"]


def test_a_session_is_told_from_begin_to_end_at_level_info(stream, entrance, node):
    one = node()
    rig = stream(
        f"server {{ listen 127.0.0.1:1; proxy_pass 127.0.0.1:{one.port}; }}", level=Level.INFO
    )

    async def main():
        return await visit(entrance)

    run(rig, entrance, main, one)
    shown = [re.sub(r"(?<=127.0.0.1:)(?!1\b)\d+", "N", line) for _, line in rig.lines.errors]
    assert shown == [
        "*1 client 127.0.0.1:N connected to 127.0.0.1:1",
        "*1 proxy 127.0.0.1:N connected to 127.0.0.1:N",
        "*1 client disconnected, bytes from/to client:5/5, bytes from/to upstream:5/5",
    ]


@pytest.mark.parametrize(
    ("directive", "cause"),
    [
        ("proxy_protocol on;", "its listener may not have PROXY protocol enabled"),
        ("", "it may expect PROXY protocol or TLS"),
    ],
)
def test_three_early_closes_in_a_row_are_told_once_with_their_likely_cause(
    stream, entrance, directive, cause
):
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
        rig = stream(f"server {{ listen 1; proxy_pass 127.0.0.1:{port}; {directive} }}")

        async def main():
            loop = asyncio.get_running_loop()
            closing.setblocking(False)
            for _ in range(5):
                visiting = asyncio.ensure_future(visit(entrance))
                far, _ = await loop.sock_accept(closing)
                await loop.sock_recv(far, 1000)
                far.close()
                assert await visiting == ""

        run(rig, entrance, main)
    hints = [line for level, line in rig.lines.errors if level == "warn"]
    assert len(hints) == 1
    assert hints[0].startswith("*3 ")
    assert cause in hints[0]
    assert f"127.0.0.1:{port}" in hints[0]


def test_a_fault_in_a_decision_ends_its_session_alone(stream, entrance, node, monkeypatch):
    one = node()
    rig = stream(f"server {{ listen 1; proxy_pass 127.0.0.1:{one.port}; }}")
    plans = iter([ZeroDivisionError("a fault")])
    (_, port), *_ = rig.prepared.ports
    real = type(port.server.proxy).plan

    def plan(self, session, peer):
        fault = next(plans, None)
        if fault is not None:
            raise fault
        return real(self, session, peer)

    monkeypatch.setattr(type(port.server.proxy), "plan", plan)

    async def main():
        return [await visit(entrance), await visit(entrance)]

    assert run(rig, entrance, main, one) == ["", str(one.port)]
    assert [repr(trouble) for trouble in rig.troubles] == ["ZeroDivisionError('a fault')"]
    rig.troubles.clear()
    assert rig.board.peer_row(0).conns == 0


def test_binary_addresses_are_logged_as_nginx_logs_them(stream, entrance):
    """nginx 1.22.1 was asked with the same address."""
    rig = stream(
        "server { listen 1; return ok; }log_format f '$binary_remote_addr'; access_log /dev/null f;"
    )

    async def main():
        reader, writer = await asyncio.open_connection(
            *entrance.getsockname(), local_addr=("127.200.0.1", 0)
        )
        assert await reader.read() == b"ok"
        writer.close()

    run(rig, entrance, main)
    assert rig.lines.access == [r"\x7F\xC8\x00\x01"]


def test_a_refused_client_is_not_said_to_have_left(stream, entrance, refusing):
    rig = stream(f"server {{ listen 1; proxy_pass 127.0.0.1:{refusing}; }}", level=Level.INFO)

    async def main():
        return await visit(entrance)

    run(rig, entrance, main)
    assert not any("disconnected" in line for _, line in rig.lines.errors)


@pytest.mark.parametrize(
    ("endpoint", "bare", "full"),
    [
        ((socket.AF_INET, "10.0.0.1", 5), "10.0.0.1", "10.0.0.1:5"),
        ((socket.AF_INET6, "::1", 5), "::1", "[::1]:5"),
        ((socket.AF_UNIX, "", 0), "unix:", "unix:"),
    ],
)
def test_clients_are_named_as_nginx_names_them(endpoint, bare, full):
    assert client_text(endpoint) == bare
    assert client_text(endpoint, port=True) == full

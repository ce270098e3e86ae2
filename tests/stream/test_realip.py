"""A PROXY protocol header names the client where its bringer is believed, and for every purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from lab import proxy_headers as headers
from lab.engine import until
from lab.packets import connect
from tidegate.config.model import Level

FIELDS = (
    "remote_addr",
    "remote_port",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "proxy_protocol_server_addr",
    "proxy_protocol_server_port",
    "realip_remote_addr",
    "realip_remote_port",
    "status",
    "bytes_received",
)
LOG = f"log_format f '{' '.join(f'${name}' for name in FIELDS)}'; access_log /dev/null f;"


class Visit:
    """What came of one connection: the answer, the access log by name, the error log."""

    def __init__(self, answer, client, access, errors):
        self.answer = answer
        self.client = client
        self.log = dict(zip(FIELDS, access.split(" "), strict=True))
        self.errors = errors


@pytest.fixture
def visit(stream, entrance):
    """Send bytes to a server that is made of directives; it says who the client is."""

    def send(data, directives="", *, more="", end=False, level=Level.WARN, listen="proxy_protocol"):
        rig = stream(
            f"{LOG} {more} server {{ listen 1 {listen}; return $remote_addr; {directives} }}",
            level=level,
        )

        async def main():
            rig.serve(entrance)
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            client = writer.get_extra_info("sockname")
            writer.write(data)
            if end:
                writer.write_eof()
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
            writer.close()
            await until(lambda: rig.lines.access)
            return Visit(answer.decode(), client, rig.lines.access[0], rig.lines.errors)

        return rig.run(main)

    return send


TRUST = "set_real_ip_from 127.0.0.0/8;"


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [
        ("127.0.0.0/8", True),
        ("127.0.0.1", True),
        ("0.0.0.0/0", True),
        ("localhost", True),
        ("127.0.0.2", False),
        ("10.0.0.0/8", False),
        ("::/0", False),
        ("unix:", False),
    ],
)
def test_only_those_trusted_name_the_client(visit, trusted, believed):
    seen = visit(headers.V1, f"set_real_ip_from {trusted};")
    host, port = seen.client
    assert seen.answer == ("203.0.113.7" if believed else host)
    assert (seen.log["remote_addr"], seen.log["remote_port"]) == (
        ("203.0.113.7", "4242") if believed else (host, str(port))
    )
    assert (seen.log["realip_remote_addr"], seen.log["realip_remote_port"]) == (host, str(port))
    assert seen.log["proxy_protocol_addr"] == "203.0.113.7"


def test_without_set_real_ip_from_nobody_is_believed(visit):
    seen = visit(headers.V2)
    assert seen.answer == seen.client[0]
    assert seen.log["proxy_protocol_addr"] == "203.0.113.7"


def test_a_server_s_own_list_stands_for_that_of_stream(visit):
    assert visit(headers.V1, more=TRUST).answer == "203.0.113.7"
    assert visit(headers.V1, "set_real_ip_from 10.0.0.1;", more=TRUST).answer == "127.0.0.1"
    several = "set_real_ip_from ::1; set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.1;"
    assert visit(headers.V1, several).answer == "203.0.113.7"


@pytest.mark.parametrize("name", headers.NAMING)
def test_each_kind_of_header_names_the_client(visit, name):
    seen = visit(headers.NAMING[name], TRUST)
    mapped = "::ffff:" * (name == "v2-mapped")
    six = "2001:db8::7"
    client = six if "6" in name or name in {"v1-capitals", "v1-mixed"} else f"{mapped}203.0.113.7"
    port = "" if "port-0" in name else "4242"
    assert seen.answer == client
    assert (seen.log["remote_addr"], seen.log["remote_port"]) == (client, port)
    written = "2001:DB8:0::7" if name == "v1-capitals" else client
    assert (seen.log["proxy_protocol_addr"], seen.log["proxy_protocol_port"]) == (written, port)
    assert seen.log["proxy_protocol_server_addr"] in {"198.51.100.1", "2001:db8::1", "::1"}
    assert seen.log["proxy_protocol_server_port"] == ("" if name == "v2-port-0" else "1883")
    assert (seen.log["status"], seen.log["bytes_received"]) == ("200", "0")
    assert seen.errors == []


@pytest.mark.parametrize("name", headers.SILENT)
def test_a_header_that_tells_nothing_changes_nothing(visit, name):
    seen = visit(headers.SILENT[name], TRUST)
    assert seen.answer == seen.log["remote_addr"] == seen.client[0]
    assert [seen.log[name] for name in FIELDS if name.startswith("proxy_")] == ["-"] * 4
    assert seen.log["status"] == "200"


def test_words_that_are_no_address_are_logged_and_not_believed(visit):
    seen = visit(headers.TELLING_NO_ADDRESS["v1-no-address"], TRUST)
    assert seen.answer == seen.client[0]
    assert seen.log["proxy_protocol_addr"] == "999.0.113.7"


@pytest.mark.parametrize("name", [*headers.BROKEN, *headers.BROKEN_2])
def test_what_is_no_header_is_400_and_in_the_log_as_nginx_says_it(visit, name):
    data, words = {**headers.BROKEN, **headers.BROKEN_2}[name]
    if name in headers.BROKEN:
        words = f'broken header: "{words}"'
    seen = visit(data, TRUST)
    assert seen.answer == ""
    assert seen.log["status"] == "400"
    server = ", server: 0.0.0.0:1"
    line = f"*1 {words} while reading PROXY protocol, client: 127.0.0.1{server}"
    assert seen.errors == [("error", line)]


@pytest.mark.parametrize("sent", [b"", headers.V1[:20], headers.V2[:13]], ids=["0", "20", "13"])
def test_a_client_that_ends_in_its_header_is_400(visit, sent):
    seen = visit(sent, TRUST, end=True)
    assert seen.log["status"] == "400"
    ((level, line),) = seen.errors
    assert level == "error"
    beginning = sent.split(b"\r")[0].decode()
    assert line.startswith(
        f'*1 broken header: "{beginning}" while reading PROXY protocol, client: '
    )


@pytest.mark.parametrize("sent", [b"", headers.V1[:20]], ids=["0", "20"])
@pytest.mark.parametrize("timeout", ["100ms", "0"])
def test_a_silent_client_has_its_time_and_a_line_at_info(visit, sent, timeout):
    seen = visit(sent, f"proxy_protocol_timeout {timeout}; {TRUST}", level=Level.INFO)
    assert seen.answer == ""
    assert seen.log["status"] == "200"
    assert [level for level, _ in seen.errors] == ["info"] * 2
    assert seen.errors[0][1].startswith("*1 client 127.0.0.1:")
    assert seen.errors[1][1] == (
        "*1 client timed out (110: Connection timed out) while reading PROXY protocol"
        ", client: 127.0.0.1, server: 0.0.0.0:1"
    )


def test_without_proxy_protocol_a_header_is_but_bytes(visit):
    seen = visit(headers.V1, "", listen="", more="")
    assert seen.log["proxy_protocol_addr"] == "-"
    assert seen.answer == seen.client[0]


class Nodes:
    """Nodes that answer a CONNECT; `order` and `heard` tell who was reached, and with what."""

    def __init__(self, count):
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.order = []
        self.heard = []

    def peers(self):
        return " ".join(f"server 127.0.0.1:{sock.getsockname()[1]};" for sock in self.sockets)

    async def start(self):
        self.servers = [
            await asyncio.start_server(self.server(index), sock=sock)
            for index, sock in enumerate(self.sockets)
        ]

    def close(self):
        for server in self.servers:
            server.close()

    def server(self, index):
        async def serve(reader, writer):
            self.order.append(index)
            self.heard.append(await reader.read(1000))
            writer.write(b"\x20\x02\0\0")
            writer.close()

        return serve


def reached(stream, entrance, *, upstream="", server, sent):
    """Connect once for each of `sent`; the nodes."""
    nodes = Nodes(4)
    rig = stream(
        f"{LOG} {TRUST} upstream a {{ {upstream} {nodes.peers()} }}"
        f" server {{ listen 1 proxy_protocol; proxy_pass a; {server} }}"
    )

    async def main():
        await nodes.start()
        rig.serve(entrance)
        for data in sent:
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            writer.write(data)
            assert await reader.readexactly(4)
            writer.close()
        await until(lambda: len(rig.lines.access) == len(sent))
        nodes.close()
        return nodes

    return rig.run(main)


def told(host):
    return headers.v2(headers.addresses(source=host)) + connect("x")


@pytest.mark.parametrize(
    "method",
    ["ip_hash;", "hash $remote_addr;", "hash $binary_remote_addr consistent;"],
)
@pytest.mark.parametrize("preread", ["", "mqtt_preread on;"])
def test_the_node_is_chosen_by_the_real_address(stream, entrance, method, preread):
    hosts = [f"203.0.{number}.7" for number in range(12)]
    nodes = reached(
        stream,
        entrance,
        upstream=method,
        server=preread,
        sent=[told(host) for host in hosts for _ in range(2)],
    )
    assert nodes.order[::2] == nodes.order[1::2]
    assert len(set(nodes.order)) > 1
    assert nodes.heard == [connect("x")] * 24


def test_the_node_is_told_the_real_address(stream, entrance):
    nodes = reached(
        stream,
        entrance,
        server="proxy_protocol on;",
        sent=[headers.V1 + b"x", headers.V2_SIX + b"x", headers.UNKNOWN + b"x"],
    )
    port = entrance.getsockname()[1]
    assert nodes.heard[:2] == [
        b"PROXY TCP4 203.0.113.7 127.0.0.1 4242 %d\r\nx" % port,
        b"PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 4242 %d\r\nx" % port,
    ]
    assert nodes.heard[2].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")


def test_limits_count_the_real_address(stream, entrance):
    nodes = Nodes(1)
    rig = stream(
        f"{LOG} {TRUST} limit_conn_zone $binary_remote_addr zone=addr:1m;"
        f" upstream a {{ {nodes.peers()} }}"
        " server { listen 1 proxy_protocol; proxy_pass a; limit_conn addr 1; }",
        level=Level.EMERG,
    )

    async def main():
        rig.serve(entrance)
        nodes.servers = [await asyncio.start_server(hold, sock=nodes.sockets[0])]
        one = await served(entrance, "203.0.113.1")
        other = await served(entrance, "203.0.113.2")
        assert await served(entrance, "203.0.113.1") is None
        for writer in (one, other):
            writer.close()
        await until(lambda: len(rig.lines.access) == 3)
        assert await served(entrance, "203.0.113.1", leave=True)
        await until(lambda: len(rig.lines.access) == 4)
        nodes.close()

    rig.run(main)
    assert sorted(line.split(" ")[8] for line in rig.lines.access) == ["200", "200", "200", "503"]


async def hold(reader, writer):
    """Greet, then keep the connection until the other side has ended."""
    writer.write(b"x")
    await reader.read()
    writer.close()


async def served(entrance, host, *, leave=False):
    """The writer of a client that the node has greeted; None for one that was sent away."""
    reader, writer = await asyncio.open_connection(*entrance.getsockname())
    writer.write(headers.v2(headers.addresses(source=host)))
    greeted = await reader.read(1)
    if not greeted or leave:
        writer.close()
    return writer if greeted else None


def test_lines_of_the_error_log_name_the_real_client(stream, entrance):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    rig = stream(
        f"{LOG} {TRUST} server {{ listen 1 proxy_protocol; proxy_pass 127.0.0.1:{dead}; }}",
    )

    async def main():
        rig.serve(entrance)
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(headers.V1)
        assert await reader.read() == b""
        writer.close()
        await until(lambda: rig.lines.access)
        return rig.lines.errors

    ((_, line),) = rig.run(main)
    assert ", client: 203.0.113.7, server: " in line


def test_one_that_needs_no_header_pays_no_call(stream, entrance):
    rig = stream(f"{LOG} {TRUST} server {{ listen 1; return hello; }}")

    async def main():
        rig.serve(entrance)
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        assert await reader.read() == b"hello"
        writer.close()
        await until(lambda: rig.lines.access)

    rig.run(main)
    assert {kind: count for kind, count in rig.engine.calls.items() if count} == {
        "pick": 1,
        "end": 1,
    }


TOLD = "log_format t '$proxy_protocol_tlv_authority $proxy_protocol_tlv_0x04'; "


@pytest.mark.parametrize("name", ["v2-tlvs", "v2", "v1"])
def test_what_a_header_adds_is_known_where_it_is_asked_for(stream, entrance, name):
    rig = stream(
        f"{TOLD} access_log /dev/null t; set_real_ip_from 127.0.0.0/8;"
        " map $proxy_protocol_tlv_0x02 $who { default none; ~(.+) $1; }"
        " server { listen 1 proxy_protocol; return $who; }"
    )

    async def main():
        rig.serve(entrance)
        reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(headers.NAMING[name])
        answer = await reader.read()
        writer.close()
        await until(lambda: rig.lines.access)
        return answer

    tells = name == "v2-tlvs"
    assert rig.run(main) == (b"example.org" if tells else b"none")
    assert rig.lines.access == ["example.org " + "\\x00" * 32 if tells else "- -"]
    assert rig.prepared.ports[0][1].server.tlvs == {0x02, 0x04}


def test_nothing_is_kept_that_nobody_asks_for(stream):
    rig = stream("server { listen 1 proxy_protocol; return $proxy_protocol_addr; }")
    assert rig.prepared.ports[0][1].server.tlvs == frozenset()

"""How often Python is called for a session: what the table in docs/internals.md says, by row."""

from __future__ import annotations

import itertools
import re
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.stream_mqtt import PUBLISH, REFUSED, connect, run, visit
from lab.tls import client_context
from tidegate.config.model import Level

pytestmark = pytest.mark.needs("openssl")

TABLE = re.search(
    r"^\| connection \| calls \|\n\|---\|---\|\n((?:\|.*\n)+)",
    (Path(__file__).parents[2] / "docs/internals.md").read_text(),
    re.MULTILINE,
)
# A call, perhaps with others that may stand in its place.
CHOICE = re.compile(r"`(\w+)`((?:,? \(?or `\w+`)*)")


def rows() -> dict[str, list[Counter[str]]]:
    """Each kind of connection with the calls that it may cost."""
    found = {}
    assert TABLE is not None
    for line in TABLE[1].splitlines():
        kind, cell = line.strip("| ").split(" | ")
        choices = [re.findall(r"\w+", first + " " + rest) for first, rest in CHOICE.findall(cell)]
        words = [[word for word in choice if word != "or"] for choice in choices]
        found[kind] = [Counter(picked) for picked in itertools.product(*words)]
    return found


ROWS = rows()


class World:
    """What a configuration and a visit are made of."""

    def __init__(self, broker, taken, pair) -> None:
        self.certificate, self.key = pair
        self.brokers = [broker(), broker(), broker(REFUSED), broker(REFUSED)]
        self.one, self.two, self.no, self.also_no = (one.port for one in self.brokers)
        self.dead = taken("127.0.0.1", listen=False)
        self.sources = f"127.0.0.2:{taken('127.0.0.2')} 127.0.0.3:{taken('127.0.0.3')} 127.0.0.4"


@pytest.fixture
def world(broker, server_pair):
    """Brokers, a node that refuses, source addresses whose ports are taken, and a certificate."""
    held = []

    def taken(host, *, listen=True):
        sock = socket.socket()
        sock.bind((host, 0))
        if listen:
            sock.listen()
        held.append(sock)
        return sock.getsockname()[1]

    yield World(broker, taken, server_pair)
    for sock in held:
        sock.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A session, and the rows of the table that are about it: the first, and what others add."""

    rows: tuple[str, ...]
    upstream: str = "server 127.0.0.1:{one};"
    listen: str = ""
    server: str = ""
    sends: bytes = b""
    level: Level = Level.WARN

    def conf(self, world: World) -> str:
        """The text of its `stream {}`."""
        upstream = self.upstream.format(**vars(world))
        server = self.server.format(**vars(world))
        return (
            f"upstream nodes {{ {upstream} }}"
            f" server {{ listen 1 {self.listen}; proxy_pass nodes; {server} }}"
        )


PLAIN = "plain TCP"
MQTT = "MQTT is read"
EARLY = "a PROXY header comes first, or rules hold before anything is read"
NO_PORT = "each source address without a free port that is found out"
VAIN = "each node tried in vain"
NEWS = (
    "the node has failures counted or a source address without ports, or the error log is at `info`"
)
BY_CONNECT = "the node is chosen by the time that connects take"
BY_FIRST_BYTE = "the node is chosen by the time of its first byte, and no MQTT is read"
ASKS_AGAIN = (
    "`proxy_bind` or `proxy_ssl_…` has variables that the configuration defines:"
    " every try is to find the same"
)
TOLD_BEFORE = (
    "the client comes in TLS, and the error log is at `info`: it is told of before its handshake"
)
STICKY = "its upstream has `sticky`, and no CONNECT is read"
NAMED = "variables name the certificate that the client is shown"
SHARED = "servers share the address, in TLS"
PASSED = "it is passed on to another `listen`"
SECURE = "ssl_certificate {certificate}; ssl_certificate_key {key};"
DEAD_FIRST = "server 127.0.0.1:{dead} weight=9; server 127.0.0.1:{one};"
LEARN = "sticky learn lookup=$remote_addr create=$remote_addr zone=clients:64k;"
MOVED_FIRST = "server 127.0.0.1:{no} weight=9; server 127.0.0.1:{also_no} weight=8;"
CASES = [
    Case(rows=(PLAIN,)),
    Case(rows=(MQTT,), server="mqtt_preread on;"),
    Case(rows=(MQTT,), server="mqtt_preread on; mqtt_next_upstream off;"),
    Case(
        rows=(PLAIN, EARLY), listen="proxy_protocol",
        sends=b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ),
    Case(rows=(MQTT, EARLY), server="deny 192.0.2.0/24; allow all; mqtt_preread on;"),
    Case(rows=(PLAIN, NO_PORT, NO_PORT, NEWS), server="proxy_bind {sources};"),
    Case(rows=(PLAIN, VAIN), upstream=DEAD_FIRST),
    Case(rows=(MQTT, VAIN), upstream=DEAD_FIRST, server="mqtt_preread on;"),
    Case(
        rows=(MQTT, VAIN, VAIN), upstream=MOVED_FIRST + "server 127.0.0.1:{one};",
        server="mqtt_preread on; mqtt_next_upstream 0x9C;",
    ),
    Case(rows=(PLAIN, NEWS), level=Level.INFO),
    Case(rows=(PLAIN, ASKS_AGAIN), server="set $from 127.0.0.5; proxy_bind $from;"),
    Case(rows=(PLAIN,), server="proxy_bind $remote_addr;"),
    Case(rows=(PLAIN, BY_CONNECT), upstream="least_time connect; server 127.0.0.1:{one};"),
    Case(rows=(PLAIN, BY_FIRST_BYTE), upstream="least_time first_byte; server 127.0.0.1:{one};"),
    Case(rows=(PLAIN,), upstream="least_time last_byte inflight; server 127.0.0.1:{one};"),
    Case(
        rows=(MQTT,), server="mqtt_preread on;",
        upstream="least_time first_byte inflight; server 127.0.0.1:{one}; server 127.0.0.1:{two};",
    ),
    Case(rows=(PLAIN,), listen="ssl", server=SECURE),
    Case(rows=(MQTT,), listen="ssl", server=SECURE + "mqtt_preread on;"),
    Case(rows=(PLAIN, NEWS, TOLD_BEFORE), listen="ssl", server=SECURE, level=Level.INFO),
    Case(rows=(PLAIN, STICKY), upstream=LEARN + "server 127.0.0.1:{one};"),
    Case(rows=(MQTT,), upstream=LEARN + "server 127.0.0.1:{one};", server="mqtt_preread on;"),
    Case(
        rows=(PLAIN, NAMED), listen="ssl",
        server="set $pem {certificate}; ssl_certificate $pem; ssl_certificate_key {key};",
    ),
    Case(
        rows=(PLAIN, SHARED), listen="ssl",
        server=SECURE + "}} server {{ listen 1; server_name other; return x;",
    ),
    Case(
        rows=(PLAIN, SHARED), listen="ssl",
        server=SECURE + "}} server {{ listen 1; server_name localhost; proxy_pass nodes;",
    ),
    Case(
        rows=(MQTT, SHARED), listen="ssl",
        server=SECURE + "}} server {{ listen 1; server_name localhost; proxy_pass nodes;"
        " mqtt_preread on;",
    ),
    Case(rows=(PLAIN, PASSED), server="pass 127.0.0.1:2; }} server {{ listen 2; proxy_pass nodes;"),
    Case(
        rows=(MQTT, PASSED),
        server="pass 127.0.0.1:2; }} server {{ listen 2; mqtt_preread on; proxy_pass nodes;",
    ),
]  # fmt: skip


def counted(rig):
    return Counter({kind: count for kind, count in rig.engine.calls.items() if count})


def possible(case):
    """The calls that the table allows."""
    found = [Counter()]
    for row in case.rows:
        found = [calls + more for calls in found for more in ROWS[row]]
    return found


def test_every_row_is_tried():
    assert {row for case in CASES for row in case.rows} == ROWS.keys()
    # What may stand in the place of another call is read too.
    assert [len(ROWS[row]) for row in (PLAIN, MQTT, VAIN)] == [1, 2, 2]


@pytest.mark.parametrize("case", CASES)
def test_a_session_costs_the_calls_of_the_table(stream, entrance, world, authority, case):
    rig = stream(case.conf(world), level=case.level)

    async def main():
        tls = client_context(authority) if case.listen == "ssl" else None
        packet = case.sends + connect("dev")
        answer = await visit(entrance, packet, more=PUBLISH * 100, tls=tls, name="localhost")
        assert answer[:2] == b"\x20\x03"

    run(rig, entrance, main, *world.brokers)
    assert counted(rig) in possible(case)

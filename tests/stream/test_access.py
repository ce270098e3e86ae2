"""Who is let in, and how many at once: `allow`, `deny`, `limit_conn` over a real engine."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from lab.engine import until
from lab.packets import CONNACK_OK, connect
from lab.waiting import PATIENCE
from tidegate.config.build_access import UNIX
from tidegate.config.model import AccessRule, Level
from tidegate.config.networks import parse_network
from tidegate.mqtt.connack import parse_connack
from tidegate.scoreboard.zone import Zone
from tidegate.stream import limit_conn
from tidegate.stream.access import Rules, compile_rules

LOG = (
    "log_format f '$remote_addr $status $limit_conn_status $mqtt_preread_clientid';"
    " access_log /dev/null f;"
)
REFUSED = b""
ADDR = "limit_conn_zone $binary_remote_addr zone=addr:1m;"
IDS = "limit_conn_zone $mqtt_preread_clientid zone=ids:1m;"


class World:
    """A server that answers each CONNECT of a client with CONNACK, behind the rules of a test."""

    def __init__(self, rig, entrance):
        self.rig = rig
        self.entrance = entrance
        self.clients = []

    async def come(self, source="127.0.0.1", packet=None):
        """Connect from an address; what the client hears: the node's words or the end."""
        target = self.entrance.getsockname()
        reader, writer = await asyncio.open_connection(*target[:2], local_addr=(source, 0))
        self.clients.append(writer)
        writer.write(connect("dev-1") if packet is None else packet)
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(reader.read(100), PATIENCE)
        return REFUSED

    async def leave(self, client):
        """End the session of the nth client and wait for its log line."""
        before = len(self.rig.lines.access)
        self.clients[client].close()
        await until(lambda: len(self.rig.lines.access) > before)

    @property
    def errors(self):
        return [line.partition(" ")[2] for _level, line in self.rig.lines.errors]

    @property
    def verdicts(self):
        return sorted(self.rig.lines.access)


@pytest.fixture
def play(stream, entrance):
    """Run a scene before a server with the directives `server`; `outside` stand around it."""

    def run(scene, server="", *, outside="", level=Level.WARN, entrance=entrance):
        async def node(reader, writer):
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):
                    writer.write(CONNACK_OK)
            writer.close()

        with socket.create_server(("127.0.0.1", 0)) as sock:
            rig = stream(
                f"{LOG} {outside} server {{ listen 1; {server}"
                f" proxy_pass 127.0.0.1:{sock.getsockname()[1]}; }}",
                level=level,
            )
            world = World(rig, entrance)

            async def main():
                rig.serve(entrance)
                serving = await asyncio.start_server(node, sock=sock)
                try:
                    await scene(world)
                finally:
                    for writer in world.clients:
                        writer.close()
                    await until(lambda: rig.engine.active == 0)
                    serving.close()
                # Whatever happened, nothing stays counted, in the zone or beside it.
                assert {name: zone.keys for name, zone in rig.zones.items() if zone.keys} == {}
                for _address, port in rig.prepared.ports:
                    assert port.server.limits is None or not port.server.limits._held  # noqa: SLF001

            rig.run(main)
            return world

    return run


def forbidden(address):
    return (
        f"access forbidden by rule while initializing session, client: {address}, server: 0.0.0.0:1"
    )


@pytest.mark.parametrize(
    ("rules", "let_in"),
    [
        ("", "1 2 3"),
        ("deny all;", ""),
        ("allow all; deny all;", "1 2 3"),
        ("deny 127.0.0.2;", "1 3"),
        ("allow 127.0.0.2; deny all;", "2"),
        ("deny 127.0.0.2; allow 127.0.0.0/30; deny all;", "1 3"),
        ("allow 127.0.0.2/31; deny 127.0.0.0/8;", "2 3"),
        ("deny unix:; deny ::/0;", "1 2 3"),
        ("allow ::1; deny all;", ""),
    ],
)
def test_the_first_rule_that_fits_decides(play, rules, let_in):
    async def scene(world):
        for last in "123":
            answer = await world.come(f"127.0.0.{last}")
            assert answer == (CONNACK_OK if last in let_in else REFUSED)

    world = play(scene, rules)
    kept_out = [f"127.0.0.{last}" for last in "123" if last not in let_in]
    assert world.errors == [forbidden(address) for address in kept_out]
    assert world.verdicts == [
        f"127.0.0.{last} {200 if last in let_in else 403} - -" for last in "123"
    ]


def test_rules_of_a_server_replace_those_around_it(play):
    async def denied(world):
        assert await world.come() == REFUSED

    async def let_in(world):
        assert await world.come() == CONNACK_OK

    play(denied, outside="deny all;")
    play(let_in, "allow 127.0.0.1;", outside="deny all;")


def rules(text):
    """Rules as `-10.0.0.0/8 +all`."""

    def network(word):
        if word == "all":
            return None
        return UNIX if word == "unix:" else parse_network(word)[0]

    return [AccessRule(deny=word[0] == "-", network=network(word[1:])) for word in text.split()]


@pytest.mark.parametrize(
    ("text", "family", "host", "denied"),
    [
        ("-unix:", socket.AF_UNIX, "/run/client", True),
        ("-unix:", socket.AF_UNIX, "", True),
        ("-unix:", socket.AF_INET, "0.0.0.0", False),
        ("-all", socket.AF_UNIX, "", True),
        ("+unix: -all", socket.AF_UNIX, "", False),
        ("-::1", socket.AF_INET6, "::1", True),
        ("-fe80::/10", socket.AF_INET6, "fe80::1%lo", True),
        ("-10.0.0.0/8 +all", socket.AF_INET6, "::ffff:10.1.2.3", True),
        ("-10.0.0.0/8 -::/0", socket.AF_INET6, "::ffff:11.1.2.3", False),
        ("-::ffff:0:0/96", socket.AF_INET6, "::ffff:10.1.2.3", True),
        ("-::ffff:0:0/96 +10.0.0.1", socket.AF_INET6, "::ffff:10.1.2.3", False),
    ],
)
def test_each_family_has_its_rules_as_in_nginx(text, family, host, denied):
    assert Rules(rules(text)).deny((family, host, 1)) is denied


def test_rules_that_keep_nobody_out_cost_nothing():
    assert compile_rules(rules("+10.0.0.0/8 +all")) is None


def test_no_more_connections_than_the_limit(play):
    async def scene(world):
        assert await world.come("127.0.0.1") == CONNACK_OK
        assert await world.come("127.0.0.1") == CONNACK_OK
        assert await world.come("127.0.0.1") == REFUSED
        assert await world.come("127.0.0.2") == CONNACK_OK
        await world.leave(0)
        assert await world.come("127.0.0.1") == CONNACK_OK

    world = play(scene, "limit_conn addr 2;", outside=ADDR)
    assert world.errors == [
        (
            'limiting connections by zone "addr" while initializing session,'
            " client: 127.0.0.1, server: 0.0.0.0:1"
        )
    ]
    assert world.verdicts == [
        *["127.0.0.1 200 PASSED -"] * 3,
        "127.0.0.1 503 REJECTED -",
        "127.0.0.2 200 PASSED -",
    ]


def test_connections_are_counted_by_the_key_of_the_zone(play):
    def scene(second):
        async def two(world):
            assert await world.come("127.0.0.1") == CONNACK_OK
            assert await world.come("127.0.0.2") == second

        return two

    zone = "limit_conn_zone {} zone=z:32k;"
    play(scene(REFUSED), "limit_conn z 1;", outside=zone.format("$server_port"))
    play(scene(CONNACK_OK), "limit_conn z 1;", outside=zone.format("$remote_addr"))
    play(scene(CONNACK_OK), "limit_conn z 1;", outside=zone.format('""'))


def test_the_limits_of_a_session_are_counted_all_or_not_at_all(play):
    """A client over the second limit leaves nothing in the zone of the first."""

    async def scene(world):
        assert await world.come("127.0.0.1") == CONNACK_OK
        assert await world.come("127.0.0.2") == REFUSED
        assert world.rig.zones["addr"].count(bytes([127, 0, 0, 2])) == 0
        assert world.rig.zones["addr"].keys == 1

    outside = f"{ADDR} limit_conn_zone $server_port zone=all:32k;"
    world = play(scene, "limit_conn addr 5; limit_conn all 1;", outside=outside)
    assert 'by zone "all"' in world.errors[0]


def test_a_client_that_the_rules_keep_out_was_counted_before(play):
    async def scene(world):
        assert await world.come("127.0.0.2") == REFUSED

    world = play(scene, "limit_conn addr 1; deny all;", outside=ADDR)
    assert world.verdicts == ["127.0.0.2 403 PASSED -"]


def test_a_dry_run_refuses_nobody(play):
    async def scene(world):
        assert await world.come() == CONNACK_OK
        assert await world.come() == CONNACK_OK
        assert world.rig.zones["addr"].count(bytes([127, 0, 0, 1])) == 1

    world = play(scene, "limit_conn addr 1; limit_conn_dry_run on;", outside=ADDR)
    assert world.errors[0].startswith('limiting connections, dry run, by zone "addr" while')
    assert world.verdicts == ["127.0.0.1 200 PASSED -", "127.0.0.1 200 REJECTED_DRY_RUN -"]

    async def refused(world):
        assert await world.come() == CONNACK_OK
        assert await world.come() == REFUSED

    play(refused, "limit_conn addr 1; limit_conn_dry_run off;", outside=ADDR)


@pytest.mark.parametrize("level", ["info", "notice", "warn", "error"])
def test_the_log_level_is_that_of_the_directive(play, level):
    async def scene(world):
        await world.come()
        await world.come()

    server = f"limit_conn addr 1; limit_conn_log_level {level};"
    world = play(scene, server, outside=ADDR, level=Level.INFO)
    limiting = [line for line in world.rig.lines.errors if "limiting" in line[1]]
    assert [one for one, _line in limiting] == [level]
    world = play(scene, server, outside=ADDR, level=Level.CRIT)
    assert world.errors == []


def test_a_full_zone_refuses_as_nginx_does(play):
    async def scene(world):
        zone = Zone.attach(world.rig.zones["addr"].fd, worker=1)
        entries = []
        while (entry := zone.take(len(entries).to_bytes(8, "big"), 1)) > 0:
            entries.append(entry)
        assert await world.come() == REFUSED
        zone.give_back(entries.pop())
        assert await world.come() == CONNACK_OK
        for one in entries:
            zone.give_back(one)

    outside = "limit_conn_zone $binary_remote_addr zone=addr:32k;"
    world = play(scene, "limit_conn addr 5;", outside=outside)
    assert world.rig.lines.errors[0][0] == "crit"
    told = 'ngx_slab_alloc() failed: no memory in limit_conn_zone "addr"'
    assert world.errors[0].startswith(told)
    assert world.verdicts == ["127.0.0.1 200 PASSED -", "127.0.0.1 503 REJECTED -"]


def test_a_key_that_is_too_long_is_told_of_and_not_counted(play):
    async def scene(world):
        assert await world.come() == CONNACK_OK
        assert await world.come() == CONNACK_OK

    key = "x" * 255
    world = play(scene, "limit_conn z 1;", outside=f"limit_conn_zone {key}$pid zone=z:32k;")
    told = f'the value of the "{key}$pid" key is more than 255 bytes: "{key[:128]}" while'
    assert len(world.errors) == 2
    assert world.errors[0].startswith(told)
    assert world.verdicts == ["127.0.0.1 200 - -"] * 2


# --- keys that MQTT gives ---

MQTT = "mqtt_preread on; limit_conn ids 1;"


@pytest.mark.parametrize(("version", "code"), [(4, 3), (5, 0x97)])
def test_a_client_over_a_limit_by_client_id_is_told_so(play, version, code):
    async def scene(world):
        packet = connect("dev-1", version=version)
        assert await world.come(packet=packet) == CONNACK_OK
        told = parse_connack(await world.come(packet=packet), version=version, limit=100)
        assert told.code == code
        assert await world.come(packet=connect("dev-2", version=version)) == CONNACK_OK
        await world.leave(0)
        assert await world.come(packet=packet) == CONNACK_OK

    world = play(scene, MQTT, outside=IDS)
    assert world.errors == [
        (
            'limiting connections by zone "ids" while prereading client data,'
            ' client: 127.0.0.1, server: 0.0.0.0:1, clientid: "dev-1"'
        )
    ]
    assert world.verdicts == [
        *["127.0.0.1 200 PASSED dev-1"] * 2,
        "127.0.0.1 200 PASSED dev-2",
        "127.0.0.1 503 REJECTED dev-1",
    ]


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("map $mqtt_preread_clientid $who { default $mqtt_preread_clientid; }", ""),
        ("split_clients $mqtt_preread_clientid $who { * $mqtt_preread_clientid; }", ""),
        ("", "set $who $mqtt_preread_clientid;"),
        # To ask for $who means to do every `set`, which is too early before the CONNECT.
        ("map $server_port $who { default one; }", "set $other $mqtt_preread_clientid;"),
    ],
    ids=["map", "split_clients", "set", "beside set"],
)
def test_a_computed_key_waits_for_the_connect_that_it_needs(play, outside, inside):
    async def scene(world):
        assert await world.come() == CONNACK_OK
        assert (await world.come())[:1] == b"\x20"

    zone = "limit_conn_zone $who zone=who:1m;"
    world = play(scene, f"mqtt_preread on; limit_conn who 1; {inside}", outside=outside + zone)
    assert "while prereading client data" in world.errors[0]


def test_a_client_without_the_value_of_the_key_is_not_counted(play):
    async def scene(world):
        for _ in range(2):
            assert await world.come(packet=connect("", version=5)) == CONNACK_OK

    assert play(scene, MQTT, outside=IDS).verdicts == ["127.0.0.1 200 - "] * 2


def test_a_server_that_does_not_look_never_counts_by_client_id(play):
    async def scene(world):
        assert await world.come() == CONNACK_OK
        assert await world.come() == CONNACK_OK

    assert play(scene, "limit_conn ids 1;", outside=IDS).verdicts == ["127.0.0.1 200 - -"] * 2


def test_limits_before_and_after_the_connect_are_given_back_together(play):
    async def scene(world):
        assert await world.come("127.0.0.1") == CONNACK_OK
        assert (await world.come("127.0.0.2"))[:1] == b"\x20"
        await until(lambda: len(world.rig.lines.access) == 1)
        assert world.rig.zones["addr"].keys == 1
        # Over the first limit nobody waits for the CONNECT to say so.
        assert await world.come("127.0.0.1", connect("dev-2")) == REFUSED

    world = play(scene, f"limit_conn addr 1; {MQTT}", outside=ADDR + IDS)
    assert [line.partition(" while ")[2][:12] for line in world.errors] == [
        "prereading c",
        "initializing",
    ]


def test_what_a_clients_id_says_cannot_forge_a_line(play):
    async def scene(world):
        name = 'a"\n2026/11/22 forged, client: "x\\'
        await world.come(packet=connect(name, version=5))
        await world.come(packet=connect(name, version=5))

    (line,) = play(scene, MQTT, outside=IDS).errors
    assert 'clientid: "a\\x22' in line
    assert line.count('"') == 4


def test_a_lock_that_is_not_to_be_had_refuses_and_is_settled_later(play, monkeypatch):
    """As when a worker was stopped while it counted."""
    monkeypatch.setattr(limit_conn, "AGAIN_SECONDS", 0.001)

    class Zoned:
        """A zone whose lock can be taken away."""

        def __init__(self, zone):
            self.zone = zone
            self.stuck = False
            self.asked = 0

        def take(self, key, most):
            return -3 if self.stuck else self.zone.take(key, most)

        def give_back(self, entry):
            self.asked += 1
            return False if self.stuck else self.zone.give_back(entry)

    async def scene(world):
        limits = world.rig.prepared.ports[0][1].server.limits
        (limit,) = limits._early  # noqa: SLF001
        zone = Zoned(limit.zone)
        limits._early = limits._limits = (limit._replace(zone=zone),)  # noqa: SLF001
        assert await world.come() == CONNACK_OK
        zone.stuck = True
        assert await world.come() == REFUSED
        await world.leave(0)
        await until(lambda: zone.asked > 3)
        assert zone.zone.keys == 1
        zone.stuck = False
        await until(lambda: zone.zone.keys == 0)

    world = play(scene, "limit_conn addr 5;", outside=ADDR)
    assert world.rig.lines.errors[0][0] == "alert"
    assert "the lock of limit_conn_zone" in world.errors[0]

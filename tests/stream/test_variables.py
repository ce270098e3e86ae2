"""Variables that a configuration defines: what sessions find them to be."""

from __future__ import annotations

import asyncio
import gc

import pytest

from lab.engine import until
from lab.stream_mqtt import WELCOME, Broker, connect
from tidegate.config.model import Level
from tidegate.stream.session import Session


@pytest.fixture
def say(stream, entrance):
    """What a server with `return TEXT` says to clients, one for each of `clients`."""

    def say(text, *, above="", server="", clients=("127.0.0.1",), level=Level.WARN):
        rig = stream(f"{above} server {{ listen 1; {server} return {text}; }}", level=level)

        async def visit(client):
            reader, writer = await asyncio.open_connection(
                *entrance.getsockname(), local_addr=(client, 0)
            )
            answer = await reader.read()
            writer.close()
            return answer.decode()

        async def main():
            rig.serve(entrance)
            answers = [await visit(client) for client in clients]
            await until(lambda: rig.engine.active == 0)
            return answers

        answers = rig.run(main)
        return (answers, rig) if level is not Level.WARN else answers

    return say


def test_split_clients(say):
    clients = [f"127.0.{number % 7}.{number}" for number in range(1, 120)]
    for share in (20, 80):
        above = f"split_clients $remote_addr $which {{ {share}% a; * b; }}"
        found = say("$which", above=above, clients=clients)
        assert set(found) == {"a", "b"}
        assert abs(found.count("a") * 100 / len(clients) - share) < 15


def test_a_share_that_is_nobodys_is_empty(say):
    above = "split_clients $remote_addr $which { 0.01% a; }"
    assert say('"<$which>"', above=above) == ["<>"]


def test_set(say):
    assert say("$a", server="set $a one;") == ["one"]
    assert say("$a-$b", server="set $a one; set $b $a-$remote_addr; set $a two;") == [
        "two-one-127.0.0.1"
    ]


def test_set_wins_over_a_definition(say):
    above = "split_clients x $a { * defined; }"
    assert say("$a", above=above) == ["defined"]
    assert say("$a", above=above, server="set $a assigned;") == ["assigned"]


def test_map(say):
    clients = ["127.0.0.1", "127.0.0.2", "127.1.0.3"]
    above = 'map $remote_addr $m { 127.0.0.1 one; ~^127\\.0\\.0\\.(\\d) "n$1"; default %s; }'
    assert say("$m", above=above % "x", clients=clients) == ["one", "n2", "x"]
    assert say("$m", above=above % "y", clients=clients) == ["one", "n2", "y"]


def test_geo(say):
    clients = ["127.0.0.1", "127.1.2.3"]
    above = "geo $m { 127.1.0.0/16 %s; default other; }"
    assert say("$m", above=above % "a", clients=clients) == ["other", "a"]
    assert say("$m", above=above % "b", clients=clients) == ["other", "b"]


class TestInASession:
    """What nginx's caching means for what a session sees."""

    def test_a_value_is_found_out_once(self, say):
        once = 'map $msec $m { ~(.*) "$1"; } map x $later { default "$m"; }'
        ((first, second),) = [one.split() for one in say('"$m $later"', above=once)]
        assert first == second

    def test_a_volatile_one_each_time(self, say):
        above = """
            map $a $now { volatile; ~(.*) "($1)"; }
            map x $before { default "$now"; }
        """
        server = "set $a one; set $b $now$before; set $a two;"
        assert say('"$b $now$before"', above=above, server=server) == ["(one)(one) (two)(one)"]

    def test_groups_are_those_of_the_last_match(self, say):
        above = r"""
            map ab $first { ~^(?<one>.)(.) "$2$1"; }
            map cd $second { ~^(.)(.) $2; ~^never(?<one>x) x; }
        """
        assert say('"[$1$one] $first [$1$one] $second [$1$one]"', above=above) == [
            "[] ba [aa] d [ca]"
        ]

    def test_an_expression_that_never_ends_is_given_up(self, say):
        above = f"map {'a' * 60}b $m {{ ~^(a+)+$ found; ~b later; default gave-up; }}"
        answers, rig = say("$m", above=above, level=Level.ERROR)
        assert answers == ["gave-up"]
        ((level, line),) = rig.lines.errors
        assert level == "alert"
        words = f'pcre2_match() failed: -47 on "{"a" * 60}b" using "^(a+)+$"'
        assert line.endswith(f"{words}, client: 127.0.0.1, server: 0.0.0.0:1")

    def test_a_cycle_that_a_value_leads_into_is_told_and_empty(self, say):
        above = 'map $remote_addr $a { default "a$b"; } map $remote_addr $b { default "b$a"; }'
        answers, rig = say("$a", above=above, level=Level.ERROR)
        assert answers == ["ab"]
        ((level, line),) = rig.lines.errors
        told = 'cycle while evaluating variable "a", client: 127.0.0.1, server: 0.0.0.0:1'
        assert (level, line.partition(" ")[2]) == ("error", told)


LOGGED = "log_format f '%s'; access_log /dev/null f;"


def test_a_log_has_the_values_that_the_session_had(say):
    above = LOGGED % "$used $unused $set" + (
        r'map $msec $used { ~(.*) "$1"; } map $status $unused { 200 good; default bad; }'
    )
    answers, rig = say("$used", above=above, server="set $set $used;", level=Level.ERROR)
    assert rig.lines.access == [f"{answers[0]} good {answers[0]}"]


def test_a_group_that_took_no_part_is_not_found(say):
    above = LOGGED % "$m $g" + r"map $remote_addr $m { ~^x(?<g>y) x; default d; }"
    _answers, rig = say("$m", above=above, level=Level.ERROR)
    assert rig.lines.access == ["d -"]


def relayed(rig, entrance, brokers, packets, look):
    """Connect a client for each packet and call `look` while all are relayed."""

    async def main():
        rig.serve(entrance)
        for broker in brokers:
            await broker.__aenter__()
        writers = []
        for packet in packets:
            reader, writer = await asyncio.open_connection(*entrance.getsockname())
            writer.write(packet)
            await reader.readexactly(len(WELCOME))
            writers.append(writer)
        look()
        for writer in writers:
            writer.close()
        await until(lambda: rig.engine.active == 0)
        for broker in brokers:
            await broker.__aexit__()

    rig.run(main)


def sessions_of(rig):
    server = rig.prepared.ports[0][1].server
    return [
        one for one in gc.get_objects() if isinstance(one, Session) and one.port.server is server
    ]


@pytest.fixture
def brokers():
    made = [Broker(WELCOME), Broker(WELCOME)]
    yield made
    for one in made:
        one.sock.close()


GROUPS = r"""
    map $mqtt_preread_clientid $kind { ~^(?<what>[a-z]+)- $what; }
    map $kind $group { gate one; default 127.0.0.1:%d; }
    upstream one { server 127.0.0.1:%d; }
"""


def test_clients_go_where_a_map_of_their_client_id_says(stream, entrance, brokers):
    one, two = brokers
    rig = stream(
        "log_format f '$kind $group $what $mqtt_connack_code'; access_log /dev/null f;"
        f"{GROUPS % (two.port, one.port)}"
        "server { listen 1; mqtt_preread on; set $before $kind; proxy_pass $group; }"
    )
    packets = [connect(name) for name in ("gate-1", "dev-1", "gate-2", "dev-2", "x")]
    relayed(rig, entrance, brokers, packets, lambda: None)
    assert (len(one.connects), len(two.connects)) == (2, 3)
    address = f"127.0.0.1:{two.port}"
    assert sorted(rig.lines.access) == [
        f" {address} - 0",
        f"dev {address} dev 0",
        f"dev {address} dev 0",
        "gate one gate 0",
        "gate one gate 0",
    ]


@pytest.mark.parametrize(("logged", "kept"), [("$status", None), ("$what", {"what": "gate"})])
def test_a_relayed_session_keeps_only_what_its_log_names(stream, entrance, brokers, logged, kept):
    one, two = brokers
    rig = stream(
        f"{LOGGED % logged} {GROUPS % (two.port, one.port)}"
        "server { listen 1; mqtt_preread on; set $before $kind; proxy_pass $group; }"
    )
    seen = []

    def look():
        seen.extend(one.values and one.values.known for one in sessions_of(rig))

    relayed(rig, entrance, brokers, [connect("gate-1"), connect("gate-2")], look)
    assert seen == [kept, kept]

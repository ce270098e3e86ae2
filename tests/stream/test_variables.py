"""Variables that a configuration defines: what sessions find them to be."""

from __future__ import annotations

import asyncio

import pytest

from lab.engine import until
from tidegate.config.model import Level


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

"""A client that is known goes to its node, where that may be chosen; what is learned, and when."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine import until
from lab.stream_mqtt import REFUSED, WELCOME, connect, run, visit
from tidegate.balance.placement import allot
from tidegate.config.load import load
from tidegate.scoreboard.learned import Learned
from tidegate.stream import sticky
from tidegate.stream.sticky import Living, node_number

KEY = "$mqtt_preread_clientid"
LEARN = f"sticky learn zone=t:64k lookup={KEY} create={KEY}"
HOUR = 3600
HOLD = Path(__file__).parents[1] / "scoreboard/hold_table.py"
AUTH = b"\xf0\x02\x18\x00"


def assigned(name):
    """A CONNACK of MQTT 5 that gives the client a name."""
    properties = b"\x12" + len(name).to_bytes(2, "big") + name
    body = b"\0\0" + bytes([len(properties)]) + properties
    return b"\x20" + bytes([len(body)]) + body


def conf(brokers, learn=LEARN, *, server="mqtt_preread on;", upstream="", more=None):
    words = more or [""] * len(brokers)
    servers = " ".join(
        f"server 127.0.0.1:{one.port} max_fails=0 {word};"
        for one, word in zip(brokers, words, strict=True)
    )
    return (
        f"upstream nodes {{ {upstream} {servers} {learn}; }}"
        f" server {{ listen 1; proxy_pass nodes; {server} }}"
    )


def node_of(rig, key):
    """The index of the node that the table says, None for none."""
    number = rig.tables["t"].find(key, HOUR)
    peers = rig.prepared.stream.upstreams[0].peers
    return next((at for at, peer in enumerate(peers) if node_number(peer) == number), None)


def teach(rig, key, index):
    peer = rig.prepared.stream.upstreams[0].peers[index]
    assert rig.tables["t"].learn(key, node_number(peer), timeout=HOUR)


def counts(brokers):
    return [len(one.connects) for one in brokers]


def test_a_client_that_is_known_takes_nobodys_turn(stream, entrance, broker):
    brokers = [broker() for _ in range(3)]
    rig = stream(conf(brokers))

    async def main():
        teach(rig, b"known", 2)
        for name in ("known", "one", "known", "two", "known", "three"):
            await visit(entrance, connect(name))

    run(rig, entrance, main, *brokers)
    assert [[one.client_id for one in node.connects] for node in brokers] == [
        ["one"],
        ["two"],
        ["known"] * 3 + ["three"],
    ]


def test_the_first_of_several_keys_that_is_there_counts(stream, entrance, broker):
    brokers = [broker() for _ in range(3)]
    learn = (
        "sticky learn zone=t:64k lookup=$mqtt_preread_username lookup=$mqtt_preread_clientid"
        " create=$mqtt_preread_username create=$mqtt_preread_clientid"
    )
    rig = stream(conf(brokers, learn))

    async def main():
        teach(rig, b"user", 1)
        teach(rig, b"device", 2)
        await visit(entrance, connect("device", username="user"))
        await visit(entrance, connect("device"))
        await visit(entrance, connect("stranger", username="somebody"))

    run(rig, entrance, main, *brokers)
    assert counts(brokers) == [1, 1, 1]
    assert node_of(rig, b"somebody") == 0
    assert node_of(rig, b"stranger") is None


def test_without_a_key_the_method_chooses_and_nothing_is_learned(stream, entrance, broker):
    brokers = [broker() for _ in range(2)]
    rig = stream(conf(brokers))

    async def main():
        for _ in range(4):
            await visit(entrance, connect(""))

    run(rig, entrance, main, *brokers)
    assert counts(brokers) == [2, 2]
    assert rig.tables["t"].entries == 0


@pytest.mark.parametrize("word", ["down", "max_conns=1"])
def test_a_node_that_may_not_be_chosen_loses_the_client(stream, entrance, broker, word):
    brokers = [broker() for _ in range(2)]
    rig = stream(conf(brokers, more=[word, ""]))

    async def main():
        teach(rig, b"known", 0)
        if word == "down":
            await visit(entrance, connect("known"))
            return
        # The other one has the only place.
        teach(rig, b"other", 0)
        first = asyncio.create_task(stay(entrance, connect("other"), brokers))
        await until(lambda: brokers[0].connects)
        await visit(entrance, connect("known"))
        await first

    run(rig, entrance, main, *brokers)
    assert "known" in [one.client_id for one in brokers[1].connects]
    assert node_of(rig, b"known") == 1


async def stay(sock, packet, brokers):
    """A client that leaves only when the second node had one."""
    _reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(packet)
    await until(lambda: brokers[1].connects)
    writer.close()


def test_a_backup_is_found_again_and_left_when_it_fails(stream, entrance, broker):
    brokers = [broker(), broker()]
    rig = stream(conf(brokers, more=["", "backup"]))

    async def main():
        teach(rig, b"known", 1)
        await visit(entrance, connect("known"))
        assert counts(brokers) == [0, 1]
        brokers[1].server.close()
        await brokers[1].server.wait_closed()
        # The primaries are alive.
        assert await visit(entrance, connect("known")) == WELCOME

    run(rig, entrance, main, *brokers)
    assert counts(brokers) == [1, 1]
    assert node_of(rig, b"known") == 0


def test_a_node_that_refuses_hands_the_client_over(stream, entrance, broker):
    brokers = [broker(REFUSED), broker()]
    rig = stream(conf(brokers, server="mqtt_preread on; mqtt_next_upstream 0x9C;"))

    async def main():
        teach(rig, b"known", 0)
        assert await visit(entrance, connect("known")) == WELCOME

    run(rig, entrance, main, *brokers)
    assert node_of(rig, b"known") == 1


@pytest.mark.parametrize("answer", [REFUSED, "close", AUTH], ids=["refused", "closed", "auth"])
def test_what_is_no_welcome_teaches_nothing(stream, entrance, broker, answer):
    node = broker(answer)
    rig = stream(conf([node]))

    async def main():
        await visit(entrance, connect("new"), size=4 if answer == AUTH else 5)

    run(rig, entrance, main, node)
    assert len(node.connects) == 1
    assert rig.tables["t"].entries == 0


def test_a_name_that_the_node_gives_is_learned(stream, entrance, broker):
    brokers = [broker(), broker(assigned(b"named"))]
    learn = f"sticky learn zone=t:64k lookup={KEY} create=$mqtt_assigned_clientid create={KEY}"
    rig = stream(conf(brokers, learn))

    async def main():
        await visit(entrance, connect("other"))
        await visit(entrance, connect(""), size=13)
        assert node_of(rig, b"named") == 1
        for _ in range(3):
            await visit(entrance, connect("named"))

    run(rig, entrance, main, *brokers)
    assert counts(brokers) == [1, 4]


def test_a_client_that_is_no_mqtt_is_learned_as_it_connects(stream, entrance, broker):
    node = broker()
    learn = "sticky learn zone=t:64k lookup=$remote_addr create=$remote_addr"
    rig = stream(conf([node], learn))

    async def main():
        _reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(b"GET / HTTP/1.1\r\n")
        await until(lambda: rig.tables["t"].entries)
        writer.close()

    run(rig, entrance, main, node)
    assert node_of(rig, b"127.0.0.1") == 0


def test_keys_may_be_made_of_variables_of_ones_own(stream, entrance, broker):
    brokers = [broker() for _ in range(2)]
    fleet = "map $mqtt_preread_clientid $fleet { ~^(\\w+)- $1; }"
    learn = 'sticky learn zone=t:64k lookup="f:$fleet" create="f:$fleet"'
    rig = stream(f"{fleet} {conf(brokers, learn)}")

    async def main():
        for name in ("a-1", "b-1", "a-2", "b-2", "b-3", "b-4"):
            await visit(entrance, connect(name))

    run(rig, entrance, main, *brokers)
    assert [[one.client_id for one in node.connects] for node in brokers] == [
        ["a-1", "a-2"],
        ["b-1", "b-2", "b-3", "b-4"],
    ]


def test_a_way_by_variables_has_the_table_too(stream, entrance, broker):
    brokers = [broker() for _ in range(2)]
    text = conf(brokers).replace("proxy_pass nodes", "proxy_pass $to")
    rig = stream(f"map $server_port $to {{ default nodes; }} {text}")

    async def main():
        for _ in range(3):
            await visit(entrance, connect("client"))

    run(rig, entrance, main, *brokers)
    assert counts(brokers) == [3, 0]


def test_a_table_whose_lock_is_held_costs_a_line_and_no_session(stream, entrance, broker):
    brokers = [broker() for _ in range(2)]
    rig = stream(conf(brokers))
    fd = rig.tables["t"].fd
    holder = subprocess.Popen(
        [sys.executable, HOLD, str(fd)],
        pass_fds=[fd],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"

        async def main():
            assert await visit(entrance, connect("client")) == WELCOME

        run(rig, entrance, main, *brokers)
    finally:
        holder.kill()
        holder.communicate()
    said = [line.partition(",")[0] for _level, line in rig.lines.errors]
    assert said == ['*1 the lock of sticky zone "t" was not to be had'] * 2


@pytest.mark.parametrize("refresh", ["", "norefresh"])
def test_norefresh_lets_an_entry_age_from_its_beginning(stream, entrance, broker, refresh):
    node = broker()
    rig = stream(conf([node], f"{LEARN} {refresh}"))
    times = []

    async def main():
        teach(rig, b"known", 0)
        await until(lambda: not rig.tables["t"].find(b"known", 1))
        await visit(entrance, connect("known"))
        times.append(rig.tables["t"].find(b"known", 1))

    run(rig, entrance, main, node)
    assert bool(times[0]) is not bool(refresh)


def flood(table):
    for number in range(table.cells):
        table.learn(b"stranger%d" % number, 1, timeout=HOUR)


@pytest.mark.parametrize("name", ["client", "c" * 200])
def test_a_client_that_strangers_pushed_out_is_known_again_when_it_leaves(
    stream, entrance, broker, name
):
    brokers = [broker() for _ in range(2)]
    rig = stream(conf(brokers))
    table, key = rig.tables["t"], name.encode()

    async def main():
        _reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect(name))
        await until(lambda: table.entries)
        flood(table)
        assert node_of(rig, key) is None
        writer.close()
        await until(lambda: node_of(rig, key) == 0)

    run(rig, entrance, main, *brokers)


def test_a_key_that_is_not_to_be_learned_is_not_kept_either(stream, entrance, broker):
    node = broker()
    rig = stream(conf([node], LEARN.replace(f"create={KEY}", "create=$mqtt_assigned_clientid")))

    async def main():
        await visit(entrance, connect("client"))

    run(rig, entrance, main, node)
    assert len(node.connects) == 1
    assert rig.tables["t"].entries == 0


def test_sessions_go_on_keeping_their_entries_after_a_reload(stream, entrance, broker, tmp_path):
    """In the table, and by the timeout, of the configuration that is in force then."""
    node = broker()
    rig = stream(conf([node], f"{LEARN} timeout=1d"))
    text = conf([node], f"{LEARN.replace('64k', '128k')} timeout=1s")
    later = Learned.create(128 << 10)

    async def main():
        _reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("client"))
        await until(lambda: rig.tables["t"].entries)
        reload(rig, text, tmp_path, tables={"t": later})
        await until(lambda: later.find(b"client", 1))
        before = later.changes
        await until(lambda: later.changes > before + 3)
        later.sweep(0)
        writer.close()
        await until(lambda: later.find(b"client", 1))

    run(rig, entrance, main, node)


def reload(rig, text, folder, *, tables):
    """Put another configuration in force, with these tables."""
    file = folder / "later.conf"
    file.write_text(f"events {{}} stream {{ {text} }}")
    model = load(str(file), prefix=str(folder)).model
    placement = allot(model, rig.board, rig.placement, generation=2)
    rig.prepared = rig.runtime.prepare(model.stream, placement, {}, {}, tables=tables, generation=2)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        rig.serve(sock)


async def test_a_table_that_is_not_to_be_had_holds_a_worker_up_once_in_a_while():
    table = Unavailable()
    living = Living(table, 1)
    for handle in range(100):
        living.hold(handle, 1, b"client%d" % handle, again=True)
    turns = 3
    await until(lambda: len(table.asked) >= turns)
    # Each of them waits for the lock: not all of them at once.
    assert len(set(table.asked[:turns])) == turns
    assert max(table.at_once) == 1
    table.free = True
    await until(lambda: len(set(table.asked)) == len(living._held))  # noqa: SLF001
    for handle in range(100):
        living.leave(handle)


async def test_with_a_long_timeout_entries_of_sessions_that_live_are_touched_often(monkeypatch):
    monkeypatch.setattr(sticky, "LONGEST_PAUSE", 0.01)
    table = Learned.create(4096)
    living = Living(table, 30 * 24 * HOUR)
    living.hold(1, 7, b"client", again=True)
    flood(table)
    await until(lambda: table.find(b"client", HOUR) == 7)
    living.leave(1)


class Unavailable:
    """A table whose lock nobody gets until it is free; how often each turn of the loop asked."""

    def __init__(self):
        self.asked = []
        self.at_once = []
        self.free = False
        self._turn = None

    def touch(self, key, _node, **_how):
        if self._turn is None:
            self.at_once.append(0)
            self._turn = asyncio.get_running_loop().call_soon(self._over)
        if not self.free:
            self.at_once[-1] += 1
        self.asked.append(key)
        return self.free

    def _over(self):
        self._turn = None


def test_sessions_that_live_keep_their_entries(stream, entrance, broker):
    node = broker()
    rig = stream(conf([node], f"{LEARN} timeout=1s"))
    table = rig.tables["t"]

    async def main():
        _reader, writer = await asyncio.open_connection(*entrance.getsockname())
        writer.write(connect("client"))
        await until(lambda: table.entries)
        before = table.changes
        await until(lambda: table.changes > before + 3)
        writer.close()

    run(rig, entrance, main, node)
    assert table.entries == 1

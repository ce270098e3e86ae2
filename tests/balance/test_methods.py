"""What the methods promise beside being nginx's, in one process and over several."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tidegate.balance.ip_hash import key_of
from tidegate.balance.placement import allot
from tidegate.balance.upstream import Attempt, place
from tidegate.config.model import Hash, IpHash, LeastConn, LeastTime, Random, RoundRobin
from tidegate.scoreboard.board import Board
from tidegate.variables.template import Template

HASH = Hash(key=Template(()), consistent=False)
CONSISTENT = Hash(key=Template(()), consistent=True)
METHODS = {
    "round robin": RoundRobin(),
    "hash": HASH,
    "consistent": CONSISTENT,
    "ip_hash": IpHash(),
    "least_conn": LeastConn(),
    "random": Random(two=False),
    "random two": Random(two=True),
    "least_time": LeastTime(by="connect", inflight=False),
    "least_time inflight": LeastTime(by="first_byte", inflight=True),
    "random two least_time": Random(two=True, by="first_byte"),
}
WORKERS = 3
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@pytest.fixture
def at_once(model):
    """Let several processes open sessions of one upstream at the same time.

    Gives what each of them picked, and the board's rows afterwards.
    """
    script = Path(__file__).with_name("open_sessions.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = []

    def at_once(*peers, method, sessions):
        board = Board.create(workers=WORKERS, upstreams=1, peers=len(peers))
        made = model(method=method, emqx=peers)
        placement = allot(made, board, None)
        text = pickle.dumps((made.stream.upstreams[0], placement)).hex()
        for worker in range(WORKERS):
            process = subprocess.Popen(
                [sys.executable, script, *map(str, (board.fd, worker, sessions))],
                pass_fds=(board.fd,),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            process.stdin.write(text + "\n")
            process.stdin.flush()
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        picked = [list(map(int, process.stdout.read().split())) for process in started]
        unlocked = board.upstream_row(0).unlocked
        return picked, [board.peer_row(row) for row in range(len(peers))], unlocked

    yield at_once
    for process in started:
        process.kill()
        process.communicate()


@each_method
def test_max_conns_is_exact_over_all_workers(at_once, peer, method):
    peers = [peer(0, max_conns=20), peer(1, max_conns=70, weight=3), peer(2, max_conns=10)]
    picked, rows, unlocked = at_once(*peers, method=method, sessions=50)
    counts = Counter(index for indexes in picked for index in indexes)
    assert [row.conns for row in rows] == [counts[index] for index in range(3)]
    if not unlocked:
        assert counts == {0: 20, 1: 70, 2: 10, -1: WORKERS * 50 - 100}


def test_least_conn_never_takes_a_node_that_has_more_for_its_weight(at_once, peer):
    weights = 3, 2, 1
    peers = [peer(number, weight=weight) for number, weight in enumerate(weights)]
    _, rows, unlocked = at_once(*peers, method=LeastConn(), sessions=700)
    assert sum(row.conns for row in rows) == WORKERS * 700
    for one, weight in zip(rows, weights, strict=True):
        for other, other_weight in zip(rows, weights, strict=True):
            # The last one that came had no more than the other then.
            assert (one.conns - 1 - unlocked) * other_weight <= other.conns * weight


def test_random_two_keeps_two_nodes_level(at_once, peer):
    _, rows, unlocked = at_once(peer(0), peer(1), method=Random(two=True), sessions=700)
    assert sum(row.conns for row in rows) == WORKERS * 700
    # In one of 2**20 sessions the second node is never drawn, and the turn decides.
    assert abs(rows[0].conns - rows[1].conns) <= 3 + 2 * unlocked


def test_random_two_never_takes_the_worst_node(peer, upstreams):
    loads = 4, 9, 2, 7
    board, (upstream,) = upstreams(*map(peer, range(4)), method=Random(two=True))
    for index, load in enumerate(loads):
        for _ in range(load):
            assert upstream.group.pick_this(index)
    chosen = Counter()
    for _ in range(2000):
        index = upstream.pick(Attempt())
        chosen[index] += 1
        upstream.release(index, failed=False)
    assert chosen.keys() == {0, 2, 3}
    assert chosen[2] > chosen[0] > chosen[3]
    assert [board.peer_row(row).conns for row in range(4)] == list(loads)


def test_random_follows_the_weights(peer, upstreams):
    weights = 1, 3, 6
    _, (upstream,) = upstreams(
        *(peer(number, weight=weight) for number, weight in enumerate(weights)),
        method=Random(two=False),
    )
    chosen = Counter(upstream.pick(Attempt()) for _ in range(5000))
    for index, weight in enumerate(weights):
        # More than eight standard deviations away from the mean.
        assert abs(chosen[index] - 500 * weight) < 300


def test_the_addresses_of_a_hashed_name_take_turns_in_all_workers(peer, upstreams):
    same = [peer(number, name="emqx.io:1883") for number in range(2)]
    _, ours = upstreams(*same, peer(2), workers=2, method=CONSISTENT)
    key = next(key for key in map(b"%d".__mod__, range(99)) if ours[0].pick(Attempt(key)) < 2)
    order = [ours[number // 2 % 2].pick(Attempt(key)) for number in range(8)]
    assert order in ([0, 1] * 4, [1, 0] * 4)


@pytest.mark.parametrize("method", [HASH, CONSISTENT], ids=["hash", "consistent"])
def test_without_a_key_sessions_take_turns(peer, upstreams, method):
    _, (upstream,) = upstreams(*map(peer, range(3)), method=method)
    assert [upstream.pick(Attempt()) for _ in range(6)] == [0, 1, 2] * 2


@pytest.mark.parametrize("method", [HASH, CONSISTENT, IpHash()], ids=["hash", "ring", "ip_hash"])
def test_a_client_keeps_its_node_in_every_worker_and_after_a_restart(peer, upstreams, method):
    keys = [bytes((7, number, number)) for number in range(200)]
    _, ours = upstreams(*map(peer, range(5)), workers=2, method=method)
    _, (restarted,) = upstreams(*map(peer, range(5)), method=method)
    one, other, third = (
        [upstream.pick(Attempt(key)) for key in keys] for upstream in (*ours, restarted)
    )
    assert one == other == third
    assert set(one) == set(range(5))


@each_method
def test_a_session_is_given_each_live_node_once(peer, upstreams, method):
    peers = [*map(peer, range(4)), peer(4, down=True)]
    for number in range(20):
        _, (upstream,) = upstreams(*peers, method=method)
        attempt = Attempt(b"%03d" % number)
        seen = []
        while (index := upstream.pick(attempt)) >= 0:
            seen.append(index)
            upstream.release(index, failed=True)
        assert sorted(seen) == [0, 1, 2, 3]
        assert upstream.tries == 4


@each_method
def test_a_dead_node_is_left_out_and_comes_back(peer, upstreams, method):
    _, (upstream,) = upstreams(*map(peer, range(2)), method=method)
    upstream.group.clock = 100
    assert upstream.group.pick_this(0)
    assert upstream.release(0, failed=True)
    assert {upstream.pick(Attempt(b"%03d" % number)) for number in range(50)} == {1}
    upstream.group.clock = 200
    assert 0 in {upstream.pick(Attempt(b"%03d" % number)) for number in range(50)}


@each_method
def test_one_node_alone_is_never_out_of_service(peer, upstreams, method):
    _, (upstream,) = upstreams(peer(0, max_conns=2), method=method)
    for _ in range(3):
        assert upstream.pick(Attempt(b"key")) == 0
        assert upstream.release(0, failed=True) is False
    assert [upstream.pick(Attempt(b"key")) for _ in range(3)] == [0, 0, -1]


@each_method
def test_a_session_with_one_try_remembers_no_list(peer, upstreams, method):
    _, (upstream,) = upstreams(*map(peer, range(3)), method=method)
    attempt = Attempt(b"key")
    assert upstream.pick(attempt) == attempt.last >= 0
    assert attempt.tried is None


@each_method
def test_a_new_configuration_keeps_the_counts(peer, model, method):
    board = Board.create(workers=1, upstreams=1, peers=4)
    first = model(emqx=(peer(0), peer(1), peer(2)))
    before = allot(first, board, None)
    old = place(first.stream.upstreams[0], placement=before, board=board, worker=0)
    assert [old.pick(Attempt()) for _ in range(6)] == [0, 1, 2] * 2
    second = model(method=method, emqx=(peer(1, max_conns=3), peer(2, max_conns=3)))
    after = allot(second, board, before)
    new = place(second.stream.upstreams[0], placement=after, board=board, worker=0)
    picked = [new.pick(Attempt(b"%03d" % number)) for number in range(20)]
    assert Counter(picked) == {0: 1, 1: 1, -1: 18}


@pytest.mark.parametrize(
    ("family", "host", "key"),
    [
        (socket.AF_INET, "10.1.2.3", b"\x0a\x01\x02"),
        (socket.AF_INET6, "2001:db8::1", bytes.fromhex("20010db8" + "0" * 23 + "1")),
        (socket.AF_INET6, "fe80::1%eth0", bytes.fromhex("fe80" + "0" * 27 + "1")),
        (socket.AF_INET6, "::ffff:10.1.2.3", bytes(10) + b"\xff\xff\x0a\x01\x02\x03"),
        (socket.AF_UNIX, "/run/client.sock", bytes(3)),
        (socket.AF_UNIX, "", bytes(3)),
    ],
)
def test_what_of_an_address_counts(family, host, key):
    assert key_of(family, host) == key

"""Each method against a restatement of nginx's rules: the same peer in every situation."""

from __future__ import annotations

import random as chance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import restated
from lab.compare import EVENTS, PEERS, Both, peer_numbers
from tidegate.balance import random
from tidegate.balance.upstream import Attempt
from tidegate.config.model import Hash, IpHash, LeastConn, Random
from tidegate.variables.template import Template

KEY = Template(())
FIELDS = "name", "weight", "max_conns", "max_fails", "fail_timeout", "down", "backup"
PRIMARIES = st.lists(peer_numbers(backup=st.just(False)), min_size=1, max_size=6)
# Few names for many peers: some have several addresses, some stand there twice.
SERVERS = st.lists(
    peer_numbers(
        backup=st.just(False),
        weight=st.integers(1, 3),
        name=st.sampled_from(["a.test:1883", "b.test:1883", "10.0.0.1:1883", "unix:/c.sock"]),
    ),
    min_size=1,
    max_size=6,
)
KEYS = st.lists(st.text(max_size=20).map(str.encode), min_size=1, max_size=10)
NETWORKS = st.lists(
    st.binary(min_size=3, max_size=3) | st.binary(min_size=16, max_size=16),
    min_size=1,
    max_size=10,
)


@pytest.fixture(scope="session")
def compare(peer, upstreams):
    def compare(peers, nginx, *, method, events, keys=(b"",)):
        made = [peer(number, **numbers) for number, numbers in enumerate(peers)]
        board, ours = upstreams(*made, workers=2, method=method)
        Both(board, ours, nginx, keys=keys).go(events)

    return compare


MANY = settings(max_examples=150, deadline=None)


@MANY
@given(PRIMARIES, KEYS, EVENTS)
def test_hash(compare, peers, keys, events):
    method = Hash(key=KEY, consistent=False)
    compare(peers, restated.NginxHash(peers), method=method, events=events, keys=keys)


@MANY
@given(SERVERS, KEYS, EVENTS)
def test_hash_consistent(compare, peers, keys, events):
    method = Hash(key=KEY, consistent=True)
    compare(peers, restated.NginxConsistent(peers), method=method, events=events, keys=keys)


@MANY
@given(PRIMARIES, NETWORKS, EVENTS)
def test_ip_hash(compare, peers, keys, events):
    compare(peers, restated.NginxIpHash(peers), method=IpHash(), events=events, keys=keys)


@MANY
@given(PEERS, EVENTS)
def test_least_conn_with_backups(compare, peers, events):
    compare(peers, restated.NginxLeastConn(peers), method=LeastConn(), events=events)


@MANY
@given(PRIMARIES, EVENTS, st.booleans(), st.integers(0, 1000))
def test_random(compare, peers, events, two, seed):
    draws = chance.Random(seed).random
    nginx = (restated.NginxRandomTwo if two else restated.NginxRandom)(peers, draws)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "random", chance.Random(seed).random)
        compare(peers, nginx, method=Random(two=two), events=events)


@pytest.mark.parametrize(
    ("method", "nginx"),
    [
        (Hash(key=KEY, consistent=False), restated.NginxHash),
        (Hash(key=KEY, consistent=True), restated.NginxConsistent),
        (IpHash(), restated.NginxIpHash),
    ],
    ids=["hash", "consistent", "ip_hash"],
)
def test_the_21st_vain_try_leaves_it_to_round_robin(peer, upstreams, method, nginx):
    servers = [{"down": True, "weight": 12}, {"weight": 1}, {"weight": 1}]
    made = [peer(number, **words) for number, words in enumerate(servers)]
    _, (upstream,) = upstreams(*made, method=method)
    theirs = nginx([{field: getattr(one, field) for field in FIELDS} for one in made])
    tries = set()
    for number in range(4000):
        session = theirs.open(number.to_bytes(3, "big"))
        assert upstream.pick(Attempt(session.key)) == theirs.pick(session, 0)
        tries.add(session.tries)
    assert {0, 19, 20, 21} <= tries

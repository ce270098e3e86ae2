"""The ring of `hash … consistent` by numbers that real nginx was seen to use."""

from __future__ import annotations

from collections import Counter

import pytest

from tidegate.balance.ring import POINTS, Ring, server_key, server_numbers
from tidegate.balance.upstream import Attempt
from tidegate.config.model import Hash
from tidegate.variables.template import Template

CLUSTER = [f"emqx{number}-cluster.emqx.io:1883" for number in (1, 2, 3)]


@pytest.fixture
def cluster(peer):
    return [peer(number, name=name) for number, name in enumerate(CLUSTER)]


def owner(ring, key):
    return ring.servers[ring.find(key) % len(ring.servers)]


def test_three_servers_have_480_points_where_nginx_has_them(cluster):
    ring = Ring(cluster)
    assert len(ring.places) == len(ring.servers) == 3 * POINTS == 480
    assert list(zip(ring.places, ring.servers, strict=True))[:3] == [
        (1593674, 0),
        (6004115, 2),
        (17256729, 0),
    ]
    assert list(ring.places) == sorted(ring.places)


@pytest.mark.parametrize(
    ("key", "consistent", "plain"),
    [
        (b"mqttx_7db1709c_1", 2, 3),
        (b"device-0001", 1, 3),
        (b"sensor/42", 1, 1),
        (b"a" * 40, 3, 3),
    ],
)
def test_client_ids_come_to_the_nodes_that_nginx_chooses(
    cluster, upstreams, key, consistent, plain
):
    for expected, ring in ((consistent, True), (plain, False)):
        method = Hash(key=Template(()), consistent=ring)
        _, (upstream,) = upstreams(*cluster, method=method)
        assert upstream.pick(Attempt(key)) == expected - 1


def test_a_key_behind_the_last_point_belongs_to_the_first(cluster, upstreams):
    ring = Ring(cluster)
    key = next(
        key for key in map(b"%d".__mod__, range(100_000)) if ring.find(key) == len(ring.places)
    )
    _, (upstream,) = upstreams(*cluster, method=Hash(key=Template(()), consistent=True))
    assert upstream.pick(Attempt(key)) == ring.servers[0]


def test_a_fourth_node_takes_its_share_and_moves_no_other_client(cluster, peer):
    small, large = Ring(cluster), Ring([*cluster, peer(3, name="emqx4-cluster.emqx.io:1883")])
    ids = [b"mqttx_%08x" % (number * 2_654_435_761 % 2**32) for number in range(3000)]
    moved = Counter(owner(large, key) for key in ids if owner(small, key) != owner(large, key))
    assert moved.keys() == {3}
    assert 0.15 < moved[3] / len(ids) < 0.30


def test_a_weight_adds_points_and_moves_none(peer):
    light = Ring([peer(0, name=CLUSTER[0])])
    heavy = Ring([peer(0, name=CLUSTER[0], weight=3)])
    assert len(heavy.places) == 3 * len(light.places)
    assert set(light.places) < set(heavy.places)


def test_all_addresses_of_a_name_share_its_points(cluster, peer):
    twice = [cluster[0], peer(7, name=CLUSTER[0]), *cluster[1:]]
    assert Ring(twice).places == Ring(cluster).places
    assert Ring(twice).servers == Ring(cluster).servers


def test_a_name_written_again_with_more_weight_has_the_points_of_both(peer):
    again = Ring([peer(0, name=CLUSTER[0]), peer(0, name=CLUSTER[0], weight=2)])
    assert again.places == Ring([peer(0, name=CLUSTER[0], weight=2)]).places


def test_a_point_costs_six_bytes(cluster):
    ring = Ring(cluster)
    assert ring.places.itemsize + ring.servers.itemsize == 6


def test_servers_that_are_down_keep_their_points_and_backups_have_none(cluster, peer):
    down = [*cluster[:2], peer(2, name=CLUSTER[2], down=True)]
    assert Ring(down).places == Ring(cluster).places
    backup = [*cluster[:2], peer(2, name=CLUSTER[2], backup=True)]
    assert Ring(backup).places == Ring(cluster[:2]).places


@pytest.mark.parametrize(
    ("server", "key"),
    [
        (b"10.0.0.1:1883", b"10.0.0.1\x001883"),
        (b"[::1]:1883", b"[::1]\x001883"),
        (b"emqx.io", b"emqx.io\0"),
        (b"emqx.io:", b"emqx.io\0"),
        (b"emqx.io:mqtt", b"emqx.io:mqtt\0"),
        (b"::1", b":\x001"),
        (b"unix:/run/broker.sock", b"/run/broker.sock\0"),
        (b"UNIX:/run/broker:1", b"/run/broker:1\0"),
    ],
)
def test_host_and_port_are_told_apart_as_nginx_does(server, key):
    assert server_key(server) == key


def test_servers_are_numbered_by_their_text(cluster, peer):
    assert server_numbers([*cluster, peer(9, name=CLUSTER[1])]) == {
        name: number for number, name in enumerate(CLUSTER)
    }

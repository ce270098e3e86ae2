"""`upstream {}` becomes peers: one for each address of each server."""

import pytest

CONFLICT = 'the size 1048576 of shared memory zone "z" conflicts'


def upstream(folder, text):
    (group,) = folder.stream(f"upstream brokers {{ {text} }}").upstreams
    return group


def test_defaults_are_nginx_s(folder):
    group = upstream(folder, "server emqx1:1883;")
    (peer,) = group.peers
    assert (group.name, group.zone, group.implicit) == ("brokers", None, False)
    assert (peer.name, peer.address.text) == ("emqx1:1883", "10.0.0.1:1883")
    assert (peer.weight, peer.max_conns, peer.max_fails, peer.fail_timeout) == (1, 0, 1, 10)
    assert (peer.down, peer.backup) == (False, False)


def test_every_parameter(folder):
    group = upstream(
        folder,
        "zone z 64k; server emqx1:1 weight=3 max_conns=7 max_fails=2 fail_timeout=1m down;"
        " server unix:/run/b.sock backup;",
    )
    assert group.zone == "z"
    one, two = group.peers
    assert (one.weight, one.max_conns, one.max_fails, one.fail_timeout) == (3, 7, 2, 60)
    assert (one.down, one.backup) == (True, False)
    assert (two.address.text, two.down, two.backup) == ("unix:/run/b.sock", False, True)


def test_a_name_with_several_addresses_makes_a_peer_of_each_in_order(folder):
    group = upstream(folder, "server both:1883 weight=2; server pair:1; server [FD00::9]:1;")
    assert [(peer.name, peer.address.text, peer.weight) for peer in group.peers] == [
        ("both:1883", "10.0.0.3:1883", 2),
        ("both:1883", "[fd00::3]:1883", 2),
        ("pair:1", "10.0.0.4:1", 1),
        ("pair:1", "10.0.0.5:1", 1),
        ("[FD00::9]:1", "[fd00::9]:1", 1),
    ]


@pytest.mark.parametrize(
    ("first", "second", "errors"),
    [
        ("z 64k", "z 64k", []),
        ("z 64k", "z", []),
        ("z 64k", "other 128k", []),
        ("z 64k", "z 1m", [f"{CONFLICT} with already declared size 65536"]),
        ("z 31k", "other 64k", ['zone "z" is too small']),
        ("z", "z", ['zero size shared memory zone "z"']),
    ],
)
def test_the_groups_of_a_zone_agree_on_its_size(folder, first, second, errors):
    text = (
        f"upstream one {{ zone {first}; server emqx1:1; }}"
        f"upstream two {{ zone {second}; server emqx2:1; }}"
    )
    assert folder.errors(f"events {{}} stream {{ {text} }}") == errors


@pytest.mark.parametrize("target", ["10.0.0.8:1883", "both:1883", "unix:/run/b.sock"])
def test_an_address_in_proxy_pass_makes_a_group_of_its_own(folder, target):
    stream = folder.stream(
        f"server {{ listen 1; proxy_pass {target}; }} server {{ listen 2; proxy_pass {target}; }}"
    )
    (group,) = stream.upstreams
    assert (group.name, group.implicit) == (target, True)
    assert [server.content.upstream for server in stream.servers] == [target, target]
    assert len(group.peers) == (2 if target.startswith("both") else 1)
    assert {peer.name for peer in group.peers} == {target}
    assert (group.peers[0].max_fails, group.peers[0].fail_timeout) == (1, 10)


def test_a_group_may_stand_behind_the_server_that_names_it_in_any_letters(folder):
    stream = folder.stream(
        "server { listen 1; proxy_pass BROKERS; } upstream Brokers { server emqx1:1; }"
    )
    (group,) = stream.upstreams
    assert not group.implicit
    assert stream.servers[0].content.upstream == group.name == "Brokers"


def test_two_ports_of_one_host_are_two_groups(folder):
    stream = folder.stream(
        "server { listen 1; proxy_pass emqx1:1; } server { listen 2; proxy_pass emqx1:2; }"
    )
    assert [group.name for group in stream.upstreams] == ["emqx1:1", "emqx1:2"]


def test_a_group_without_its_servers_is_complained_of_once(folder):
    errors = folder.errors(
        "events {} stream { upstream a { server emqx1; least_time conect; }"
        " server { listen 1; proxy_pass a; } }"
    )
    assert errors == [
        'no port in upstream "emqx1"',
        'invalid value "conect"',
    ]


@pytest.mark.parametrize("weight", ["1000001", "99999999999999999999"])
def test_a_weight_has_a_bound(folder, weight):
    text = f"events {{}} stream {{ upstream a {{ server emqx1:1 weight={weight}; }} }}"
    assert folder.errors(text) == [f'invalid parameter "weight={weight}"']


def test_a_misspelt_group_is_recognised(folder):
    loaded = folder.load(
        "events {} stream { upstream brokers { server emqx1:1; }"
        " server { listen 1; proxy_pass broker; } }"
    )
    assert loaded.first_error.message == 'no port in upstream "broker"'
    assert loaded.first_error.hint == 'did you mean the upstream "brokers"?'

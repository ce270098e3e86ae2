"""A node found dead by one worker is skipped by all, `down`, `backup` and `max_conns` hold."""

import contextlib

import pytest

from lab import sockets
from lab.nodes import greet
from lab.waiting import wait_until


def greeting(port) -> bytes:
    """What the chosen node says first; b"" when the balancer closes."""
    with sockets.open_raw(port) as client:
        return sockets.receive(client, 1)


def test_a_refusing_node_is_tried_once_by_all_workers_together(lab):
    dead, living = lab.node(greet(b"d")), lab.node(greet(b"l"))
    balancer, port = lab.in_front(dead, living, workers=4)
    with dead.refusing():
        assert [greeting(port) for _ in range(24)] == [b"l"] * 24
    balancer.wait_sessions(24)
    assert balancer.errors().count("connect() failed (111: Connection refused)") == 1
    assert balancer.errors().count("upstream server temporarily disabled") == 1


def test_max_fails_2_allows_two_failures(lab):
    dead, living = lab.node(greet(b"d")), lab.node(greet(b"l"))
    balancer, port = lab.in_front(f"{dead.address} max_fails=2", living, workers=2)
    with dead.refusing():
        assert [greeting(port) for _ in range(12)] == [b"l"] * 12
    assert balancer.errors().count("connect() failed (111: Connection refused)") == 2


def test_max_fails_0_never_gives_up(lab):
    dead, living = lab.node(greet(b"d")), lab.node(greet(b"l"))
    balancer, port = lab.in_front(f"{dead.address} max_fails=0", living)
    with dead.refusing():
        assert [greeting(port) for _ in range(8)] == [b"l"] * 8
    assert balancer.errors().count("connect() failed (111: Connection refused)") == 4
    assert "temporarily disabled" not in balancer.errors()


def test_a_connect_may_take_proxy_connect_timeout(lab):
    hole, short, long = lab.hole(), lab.ports.free(), lab.ports.free()
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{long}; proxy_pass {hole.address};"
        " proxy_connect_timeout 30s; }"
        f"server {{ listen 127.0.0.1:{short}; proxy_pass {hole.address};"
        " proxy_connect_timeout 200ms; }"
    )
    with sockets.open_raw(long) as waits, sockets.open_raw(short) as client:
        assert sockets.receive_all(client) == b""
        [session] = balancer.wait_sessions(1)
        assert session["status"] == "502"
        assert 0.2 <= float(session["session_time"]) < 5
        waits.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waits.recv(1)
    assert len(balancer.sessions()) == 1


def test_a_node_that_does_not_answer_is_left_after_the_time_out(lab):
    hole, living = lab.hole(), lab.node(greet(b"l"))
    balancer, port = lab.in_front(hole, living, more="proxy_connect_timeout 300ms;")
    assert [greeting(port) for _ in range(3)] == [b"l"] * 3
    [first, *_] = balancer.wait_sessions(3)
    assert first["upstream_addr"] == f"{hole.address}, {living.address}"
    assert balancer.errors().count("upstream timed out (110: Connection timed out)") == 1


def test_a_node_is_tried_again_after_fail_timeout(lab):
    node, other = lab.node(greet(b"n")), lab.node(greet(b"o"))
    _, port = lab.in_front(f"{node.address} fail_timeout=1s", other, workers=2)
    with node.refusing():
        assert {greeting(port) for _ in range(4)} == {b"o"}
    wait_until(lambda: greeting(port) == b"n", "the node is used again")
    got = [greeting(port) for _ in range(8)]
    assert got.count(b"n") == got.count(b"o") == 4


@pytest.mark.parametrize(("value", "first", "status"), [("off", b"", "502"), ("on", b"l", "200")])
def test_next_upstream_off_ends_the_session(lab, value, first, status):
    dead, living = lab.node(greet(b"d")), lab.node(greet(b"l"))
    balancer, port = lab.in_front(dead, living, more=f"proxy_next_upstream {value};")
    with dead.refusing():
        assert greeting(port) == first
        assert greeting(port) == b"l"
    assert balancer.wait_sessions(2)[0]["status"] == status


@pytest.mark.parametrize(("tries", "said"), [(2, b""), (3, b"l"), (0, b"l")])
def test_next_upstream_tries_bound_the_search(lab, tries, said):
    nodes = [lab.node(greet(b"d")), lab.node(greet(b"d")), lab.node(greet(b"l"))]
    balancer, port = lab.in_front(*nodes, more=f"proxy_next_upstream_tries {tries};")
    with nodes[0].refusing(), nodes[1].refusing():
        assert greeting(port) == said
    [session] = balancer.wait_sessions(1)
    tried = [node.address for node in nodes[: tries or 3]]
    assert session["upstream_addr"] == ", ".join(tried)


@pytest.mark.parametrize(("value", "searches"), [("100ms", False), ("1m", True), ("0", True)])
def test_next_upstream_timeout_bounds_the_search(lab, value, searches):
    hole, living = lab.hole(), lab.node(greet(b"l"))
    balancer, port = lab.in_front(
        hole, living, more=f"proxy_connect_timeout 400ms; proxy_next_upstream_timeout {value};"
    )
    assert greeting(port) == (b"l" if searches else b"")
    [session] = balancer.wait_sessions(1)
    tried = f"{hole.address}, {living.address}" if searches else hole.address
    assert session["upstream_addr"] == tried


def test_no_living_node_is_said_and_ends_the_session(lab):
    dead = [lab.node() for _ in range(2)]
    balancer, port = lab.in_front(*dead)
    with dead[0].refusing(), dead[1].refusing():
        assert greeting(port) == b""
        assert greeting(port) == b""
    assert [session["status"] for session in balancer.wait_sessions(2)] == ["502", "502"]
    assert balancer.sessions()[1]["upstream_addr"] == "nodes"
    assert "no live upstreams while connecting to upstream" in balancer.errors()


def test_a_single_node_is_never_given_up(lab):
    node = lab.node(greet(b"n"))
    balancer, port = lab.in_front(node)
    with node.refusing():
        assert [greeting(port) for _ in range(3)] == [b""] * 3
    assert greeting(port) == b"n"
    assert "temporarily disabled" not in balancer.errors()


def test_down_gets_nothing_and_backup_only_in_need(lab):
    first, down, backup = (lab.node(greet(name)) for name in (b"f", b"d", b"b"))
    _, port = lab.in_front(
        f"{first.address} fail_timeout=1s",
        f"{down.address} down",
        f"{backup.address} backup",
        workers=2,
    )
    assert [greeting(port) for _ in range(6)] == [b"f"] * 6
    with first.refusing():
        assert [greeting(port) for _ in range(6)] == [b"b"] * 6
    wait_until(lambda: greeting(port) == b"f", "the first node is used again")
    assert down.accepted == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_max_conns_counts_over_all_workers(lab, workers):
    small, large = lab.node(greet(b"s")), lab.node(greet(b"l"))
    balancer, port = lab.in_front(
        f"{small.address} max_conns=2", f"{large.address} max_conns=3", workers=workers
    )
    with contextlib.ExitStack() as held:

        def hold():
            client = held.enter_context(sockets.open_raw(port))
            return sockets.receive(client, 1)

        got = [hold() for _ in range(7)]
        assert sorted(got) == [b"", b"", b"l", b"l", b"l", b"s", b"s"]
        assert got[-2:] == [b"", b""]
    balancer.wait_sessions(7)
    assert sorted(greeting(port) for _ in range(2)) == [b"l", b"s"]

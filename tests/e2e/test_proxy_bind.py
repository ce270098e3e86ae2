"""`proxy_bind` chooses the address that a node sees."""

import pytest

from lab import sockets


async def say_peer(session):
    await session.send(session.sock.getpeername()[0].encode())


def seen(port, source="127.0.0.1") -> bytes:
    with sockets.open_raw(port, source=source) as client:
        return sockets.receive_all(client)


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("127.0.0.9", b"127.0.0.9"),
        ("$remote_addr", b"127.0.0.7"),
        ("off", b"127.0.0.1"),
    ],
)
def test_the_node_sees_the_address(lab, bind, address):
    _, port = lab.in_front(lab.node(say_peer), more=f"proxy_bind {bind};")
    assert seen(port, "127.0.0.7") == address


def test_a_server_may_turn_off_what_it_inherits(lab):
    node, first, second = lab.node(say_peer), lab.ports.free(), lab.ports.free()
    lab.balancer(
        f"proxy_bind 127.0.0.9; {lab.upstream(node)}"
        f"server {{ listen 127.0.0.1:{first}; proxy_pass nodes; }}"
        f"server {{ listen 127.0.0.1:{second}; proxy_pass nodes; proxy_bind off; }}"
    )
    assert (seen(first), seen(second)) == (b"127.0.0.9", b"127.0.0.1")


def test_an_address_that_is_not_ours_ends_the_session_and_blames_no_node(lab):
    nodes = [lab.node(say_peer) for _ in range(2)]
    balancer, port = lab.in_front(*nodes, more="proxy_bind 203.0.113.1;")
    assert seen(port) == b""
    [session] = balancer.wait_sessions(1)
    assert session["status"] == "500"
    assert "bind(203.0.113.1) failed (99: Cannot assign requested address)" in balancer.errors()
    assert "temporarily disabled" not in balancer.errors()
    assert [node.accepted for node in nodes] == [0, 0]

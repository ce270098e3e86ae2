"""A port that is taken is said with what to do; the instance that has it goes on."""

import socket

from lab import balancer as balancers
from lab import sockets
from lab.nodes import greet


def server(port, node) -> str:
    return f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; }}"


def test_a_port_taken_by_another_instance(lab):
    node, port = lab.node(greet(b"!")), lab.ports.free()
    first = lab.balancer(server(port, node))
    second = lab.idle_balancer(balancers.whole(server(port, node), program=first.program)).start()
    assert second.wait(30) == 1
    said = second.output()
    assert f"bind() to 127.0.0.1:{port} failed (98: Address already in use)" in said
    assert "still could not bind()" in said
    with sockets.open_raw(port) as client:
        assert sockets.receive(client, 1) == b"!"


def test_a_port_taken_by_another_program(lab):
    node = lab.node()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        conf = balancers.whole(server(port, node), program=lab.program)
        second = lab.idle_balancer(conf).start()
        assert second.wait(30) == 1
    assert f"bind() to 127.0.0.1:{port} failed (98: Address already in use)" in second.output()

"""Directives about sockets reach the sockets: options are read from the worker's own."""

import contextlib
import os
import re
import socket

import pytest

from lab import sockets
from lab.borrow import session_sockets
from lab.nodes import greet
from lab.waiting import wait_until

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def options(lab, directives, option, *, listen="") -> list[bool]:
    """An option of the client's and of the node's socket of a session."""
    port = lab.ports.free()
    node = lab.node(greet(b"!"))
    balancer = lab.balancer(
        f"{lab.upstream(node)}"
        f"server {{ listen 127.0.0.1:{port} {listen}; proxy_pass nodes; {directives} }}"
    )
    with sockets.open_raw(port) as client, contextlib.ExitStack() as borrowed:
        assert sockets.receive(client, 1) == b"!"
        both = session_sockets(balancer.workers()[0], port)
        for sock in both:
            borrowed.enter_context(sock)
        return [bool(sock.getsockopt(*option)) for sock in both]


@pytest.mark.parametrize(("value", "expected"), [("on", True), ("off", False)])
def test_tcp_nodelay(lab, value, expected):
    assert options(lab, f"tcp_nodelay {value};", NODELAY) == [expected, expected]


@pytest.mark.parametrize(("value", "expected"), [("on", True), ("off", False)])
def test_proxy_socket_keepalive(lab, value, expected):
    got = options(lab, f"proxy_socket_keepalive {value};", KEEPALIVE)
    assert got == [False, expected]


@pytest.mark.parametrize(("value", "expected"), [("on", True), ("off", False)])
def test_so_keepalive_of_a_listener(lab, value, expected):
    got = options(lab, "", KEEPALIVE, listen=f"so_keepalive={value}")
    assert got == [expected, False]


@pytest.mark.needs("strace")
@pytest.mark.parametrize(("size", "largest"), [("1k", 1024), ("32k", 32_768)])
def test_proxy_buffer_size_bounds_one_read(lab, size, largest):
    data = os.urandom(300_000)
    node = lab.node(greet(data))
    balancer, port = lab.in_front(node, more=f"proxy_buffer_size {size};")
    [worker] = balancer.workers()
    tracer = lab.running(
        ["strace", "-e", "trace=recvfrom,recvmsg,read", "-p", worker], name="strace"
    )
    tracer.wait_for_output("attached")
    with sockets.open_raw(port) as client:
        assert sockets.receive(client, len(data)) == data
    balancer.wait_sessions(1)
    read = re.compile(r"^recv\w+\(.* = (\d+)$", re.MULTILINE)
    sizes = wait_until(lambda: [int(n) for n in read.findall(tracer.output())], "reads are seen")
    assert largest // 2 < max(sizes) <= largest

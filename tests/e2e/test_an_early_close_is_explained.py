"""A node that closes sessions before its first byte: one line says the likely cause."""

import contextlib

import pytest

from lab import sockets
from lab.nodes import close_at_once
from lab.waiting import wait_until

WITHOUT = "it may expect PROXY protocol or TLS"
WITH = "its listener may not have PROXY protocol enabled"


def visit(balancer, port, count):
    """Sessions one after the other, each to its end."""
    before = len(balancer.sessions())
    for number in range(1, count + 1):
        with sockets.open_raw(port) as client:
            client.sendall(b"hello")
            with contextlib.suppress(ConnectionResetError):
                sockets.receive(client, 2)
        balancer.wait_sessions(before + number)


@pytest.mark.parametrize(
    ("directive", "cause", "other"),
    [("proxy_protocol off;", WITHOUT, WITH), ("proxy_protocol on;", WITH, WITHOUT)],
    ids=["without-proxy-protocol", "with-proxy-protocol"],
)
def test_three_in_a_row_are_explained_once(lab, directive, cause, other):
    node = lab.node(close_at_once)
    balancer, port = lab.in_front(node, more=directive, workers=2)
    visit(balancer, port, 2)
    assert cause not in balancer.errors()
    visit(balancer, port, 1)
    wait_until(lambda: cause in balancer.errors(), "the cause is named")
    visit(balancer, port, 4)
    lines = [line for line in balancer.errors().splitlines() if cause in line]
    assert len(lines) == 1
    assert node.address in lines[0]
    assert other not in balancer.errors()


def test_an_answer_in_between_ends_the_row(lab):
    async def mostly_closing(session):
        if session.node.accepted % 3 == 0:
            await session.send(b"hi")

    balancer, port = lab.in_front(lab.node(mostly_closing))
    visit(balancer, port, 8)
    assert WITHOUT not in balancer.errors()


def test_a_client_that_leaves_first_is_no_sign(lab):
    balancer, port = lab.in_front(lab.node())
    for number in range(4):
        sockets.open_raw(port).close()
        balancer.wait_sessions(number + 1)
    assert WITHOUT not in balancer.errors()

"""Everything that came before a reset arrives; then the other side sees a normal end."""

import asyncio
import os

import pytest

from lab import sockets
from lab.nodes import collect
from lab.waiting import wait_until

DATA = os.urandom(100_000)  # fits into the balancer's receive queue while nobody reads


def _taken(sock):
    wait_until(lambda: sockets.unsent(sock) == 0, "the balancer's kernel has all")


@pytest.mark.parametrize("rcvbuf", [None, 4096], ids=["reader", "slow-reader"])
def test_from_the_node_to_the_client(lab, rcvbuf):
    async def send_and_reset(session):
        await session.send(DATA)
        await asyncio.to_thread(_taken, session.sock)
        session.reset()

    node = lab.node(send_and_reset)
    _, port = lab.in_front(node)
    with sockets.open_raw(port, rcvbuf=rcvbuf) as client:
        wait_until(lambda: node.sessions and node.active == 0, "the node has reset the session")
        assert sockets.receive_all(client) == DATA


@pytest.mark.parametrize("slow", [False, True], ids=["reader", "slow-reader"])
def test_from_the_client_to_the_node(lab, slow):
    go = asyncio.Event()

    async def read_later(session):
        if slow:
            await go.wait()
        await collect(session)

    node = lab.node(read_later, rcvbuf=4096 if slow else None)
    _, port = lab.in_front(node)
    client = sockets.open_raw(port)
    client.sendall(DATA)
    _taken(client)
    wait_until(lambda: node.sessions, "the node was connected")
    sockets.reset(client)
    node.call(go.set)
    wait_until(lambda: node.active == 0, "the node sees the end")
    assert node.sessions[0].received == DATA
    assert node.sessions[0].ended == "end"

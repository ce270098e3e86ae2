"""`proxy_half_close`: an end closes both sides, or is passed on while the other direction lives."""

import asyncio

import pytest

from lab import sockets
from lab.nodes import collect
from lab.waiting import wait_until


async def answer_after_the_end(session):
    await collect(session)
    await asyncio.sleep(0.05)
    await session.send(b"got " + str(session.total).encode())


@pytest.mark.parametrize(("value", "answer"), [("on", b"got 300000"), ("off", b"")])
def test_on_lets_the_node_answer_after_the_clients_end(lab, value, answer):
    node = lab.node(answer_after_the_end)
    _, port = lab.in_front(node, more=f"proxy_half_close {value};")
    with sockets.open_raw(port) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(1)
        assert sockets.receive_all(client) == answer


def test_on_lets_the_client_go_on_after_the_nodes_end(lab):
    async def end_first(session):
        await session.send(b"bye")
        session.finish()
        await collect(session)

    node = lab.node(end_first)
    balancer, port = lab.in_front(node, more="proxy_half_close on;")
    with sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b"bye"
        client.sendall(b"x" * 300_000)
    wait_until(lambda: node.sessions and node.sessions[0].total == 300_000, "the node gets all")
    assert balancer.wait_sessions(1)[0]["bytes_received"] == "300000"


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_off_closes_both_when_the_client_ends(lab, size):
    node = lab.node(answer_after_the_end)
    balancer, port = lab.in_front(node)
    with sockets.open_raw(port) as client:
        client.sendall(b"x" * size)
        client.shutdown(1)
        assert sockets.receive_all(client) == b""
    wait_until(
        lambda: node.sessions and node.sessions[0].ended == "end", "the node sees a normal end"
    )
    assert node.sessions[0].total == size
    balancer.wait_sessions(1)


def test_off_closes_both_when_the_node_ends(lab):
    async def speak_and_end(session):
        await session.send(b"x" * 300_000)

    _, port = lab.in_front(lab.node(speak_and_end))
    with sockets.open_raw(port) as client:
        assert len(sockets.receive_all(client)) == 300_000

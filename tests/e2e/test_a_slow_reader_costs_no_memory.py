"""A side that does not read holds up its sender, not the balancer's memory; nothing is lost."""

import asyncio
import hashlib
import os
import threading

import pytest

from lab import packets, proc, sockets
from lab.clients import Client
from lab.nodes import collect
from lab.waiting import wait_until

MIB = 1 << 20
PAGE = "proxy_buffer_size 3M;"  # as the page has it: a bound, never an allocation per session
ALLOWED_KIB = 16 * 1024


@pytest.mark.needs("mosquitto")
def test_slow_subscribers_get_every_mebibyte(lab):
    balancer, port = lab.in_front(lab.mosquitto(), more=PAGE)
    payloads = [os.urandom(MIB) for _ in range(8)]
    [worker] = balancer.workers()
    readers = [packets.open_mqtt(port, f"slow-{n}", rcvbuf=4096) for n in range(10)]
    for reader in readers:
        reader.sendall(packets.subscribe("big"))
        assert sockets.receive(reader, 5) == b"\x90\x03\x00\x01\x00"
    before = proc.own_kib(worker)
    with Client(port, "writer") as writer:
        for payload in payloads:
            writer.publish("big", payload, qos=1)
        peak = proc.own_kib(worker)
        expected = hashlib.sha256(b"".join(packets.publish("big", p) for p in payloads)).hexdigest()
        size = sum(len(packets.publish("big", p)) for p in payloads)
        for reader in readers:
            data = sockets.receive(reader, size)
            assert hashlib.sha256(data).hexdigest() == expected
            peak = max(peak, proc.own_kib(worker))
            reader.close()
    assert peak - before < ALLOWED_KIB  # 80 MiB waited


def test_a_broker_that_does_not_read_holds_up_the_client(lab):
    go = asyncio.Event()

    async def later(session):
        await go.wait()
        await collect(session)

    node = lab.node(later)
    balancer, port = lab.in_front(node, more=PAGE)
    [worker] = balancer.workers()
    data = os.urandom(32 * MIB)
    client = sockets.open_raw(port)
    before = proc.own_kib(worker)
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    sent = _settled(lambda: len(data) - sockets.unsent(client))
    peak = proc.own_kib(worker)
    assert sender.is_alive(), "the client was not held up"
    node.call(go.set)
    sender.join()
    client.close()
    wait_until(lambda: node.sessions[0].ended, "the node sees the end")
    assert node.sessions[0].received == data
    assert peak - before < ALLOWED_KIB
    assert sent > 0


def _settled(value):
    """The value once it has stayed the same for a while."""
    seen = []

    def steady():
        seen.append(value())
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    wait_until(steady, "the flow comes to a stand")
    return seen[-1]

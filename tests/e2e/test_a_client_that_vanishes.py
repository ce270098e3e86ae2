"""A client that goes in the middle of a packet leaves nothing behind and harms nobody."""

import pytest

from lab import packets, proc, sockets
from lab.clients import Client
from lab.sockets import reset
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("leave", [lambda sock: sock.close(), reset], ids=["close", "reset"])
@pytest.mark.parametrize("cut", [1, 9, 1000])
def test_a_client_vanishes_in_the_middle_of_a_packet(lab, leave, cut):
    broker = lab.mosquitto()
    balancer, port = lab.in_front(broker)
    [worker] = balancer.workers()
    before = len(proc.descriptors(worker))
    with Client(port, "neighbour") as neighbour:
        neighbour.subscribe("n")
        sock = packets.open_mqtt(port, "victim")
        sock.sendall(packets.publish("n", b"x" * 5000)[:cut])
        leave(sock)
        balancer.wait_sessions(1)
        wait_until(
            lambda: len(proc.descriptors(worker)) == before + 2, "its descriptors are closed"
        )
        neighbour.publish("n", b"fine")
        assert neighbour.receive().payload == b"fine"
    assert [s["status"] for s in balancer.wait_sessions(2)] == ["200", "200"]


def test_a_client_that_goes_before_it_says_anything(lab):
    balancer, port = lab.in_front(lab.mosquitto())
    sockets.open_raw(port).close()
    [session] = balancer.wait_sessions(1)
    assert (session["status"], session["bytes_received"]) == ("200", "0")

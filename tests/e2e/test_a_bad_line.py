"""A slow line slows, a cut line ends by time-out, and a mended one serves again."""

import pytest

from lab.clients import V5, Client

pytestmark = pytest.mark.needs("mosquitto")


def test_a_slow_line_loses_nothing(lab):
    gate = lab.gate(lab.mosquitto())
    _, port = lab.in_front(gate)
    with Client(port, "far-away", version=V5) as client:
        client.subscribe("a", 2)
        with gate.delaying(0.05):
            for number in range(5):
                client.publish("a", f"{number}", qos=2)
            got = [client.receive().payload for _ in range(5)]
    assert got == [b"%d" % number for number in range(5)]


def test_a_cut_line_ends_by_proxy_timeout_and_a_mended_one_serves(lab):
    gate = lab.gate(lab.mosquitto())
    balancer, port = lab.in_front(gate, more="proxy_timeout 1s;")
    with Client(port, "cut-off") as client, gate.dropping():
        client.publish("a", b"lost")
        assert client.lost()
    [session] = balancer.wait_sessions(1)
    assert session["status"] == "200"
    with Client(port, "later") as client:
        client.subscribe("a", 1)
        client.publish("a", b"found", qos=1)
        assert client.receive().payload == b"found"

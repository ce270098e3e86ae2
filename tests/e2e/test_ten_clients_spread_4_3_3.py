"""Ten clients over three equal brokers are 4/3/3, with any number of workers."""

import contextlib

import pytest

from lab.clients import V5, V311, Client

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize(("workers", "version"), [(1, V311), (4, V5)])
def test_ten_clients_spread_4_3_3(lab, workers, version):
    brokers = [lab.mosquitto() for _ in range(3)]
    balancer, port = lab.in_front(*brokers, workers=workers)
    with contextlib.ExitStack() as clients:
        for number in range(10):
            clients.enter_context(Client(port, f"client-{number}", version=version))
        assert [len(broker.clients()) for broker in brokers] == [4, 3, 3]
        (group,) = balancer.told("upstreams")["upstreams"]
        assert [(peer["active"], peer["total"]) for peer in group["peers"]] == [
            (4, 4),
            (3, 3),
            (3, 3),
        ]


def test_the_order_of_brokers_is_that_of_the_file(lab):
    brokers = [lab.mosquitto() for _ in range(3)]
    balancer, port = lab.in_front(*brokers, workers=2)
    for number in range(4):
        Client(port, f"client-{number}").close()
        balancer.wait_sessions(number + 1)
    expected = [brokers[index].address for index in (0, 1, 2, 0)]
    assert [session["upstream_addr"] for session in balancer.sessions()] == expected

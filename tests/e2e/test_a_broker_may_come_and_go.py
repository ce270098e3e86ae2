"""A broker that is killed loses its own sessions only, is skipped, and is used again when back."""

import pytest

from lab.clients import Client
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto")


def test_a_killed_broker_ends_its_sessions_and_no_others(lab):
    first, second = lab.mosquitto(), lab.mosquitto()
    _, port = lab.in_front(first, second)
    with Client(port, "on-first") as lost, Client(port, "on-second") as kept:
        first.kill()
        assert lost.lost()
        kept.subscribe("still/here")
        kept.publish("still/here", b"yes")
        assert kept.receive().payload == b"yes"


def test_clients_go_to_the_living_and_come_back(lab):
    first, second = lab.mosquitto(), lab.mosquitto()
    _, port = lab.in_front(f"{first.address} fail_timeout=1s", second, workers=2)
    first.kill()
    for number in range(6):
        Client(port, f"meanwhile-{number}").close()
    assert len(second.clients()) == 6
    first.start()

    def back():
        Client(port, "again").close()
        return "again" in first.clients()

    wait_until(back, "the restarted broker gets a client")


def test_the_error_log_says_which_broker_refused(lab):
    first, second = lab.mosquitto(), lab.mosquitto()
    balancer, port = lab.in_front(first, second)
    first.kill()
    Client(port, "device").close()
    line = wait_until(
        lambda: next((ln for ln in balancer.errors().splitlines() if "connect() failed" in ln), ""),
        "a line about the refusal",
    )
    assert "(111: Connection refused) while connecting to upstream" in line
    assert f'upstream: "{first.address}"' in line
    assert "client: 127.0.0.1" in line
    assert f"server: 127.0.0.1:{port}" in line

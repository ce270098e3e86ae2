"""The page's TCP configurations do what the page says, with its names and ports."""

import os

import pytest

from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto", "iproute2")


def spread(page, brokers, count):
    """How many of `count` staying clients each broker has."""
    for number in range(count):
        page.subscribe(f"client-{number}", brokers)
    return [len(broker.clients()) for broker in brokers]


def test_05_ten_clients_are_4_3_3(page):
    brokers = page.brokers()
    page.run("05")
    assert spread(page, brokers, 10) == [4, 3, 3]


def test_05_messages_flow(page):
    brokers = page.brokers()
    page.run("05")
    client = page.subscribe("reader", brokers, topic="hello")
    for _ in brokers:  # one of the three is the reader's broker
        page.publish("hello", "world")
    client.wait_for_output("world")


def test_06_twelve_clients_are_6_4_2(page):
    brokers = page.brokers()
    page.run("06")
    assert spread(page, brokers, 12) == [6, 4, 2]


def test_11_ten_clients_are_4_3_3_with_a_worker_per_core(page):
    brokers = page.brokers()
    page.run("11", workers=len(os.sched_getaffinity(0)))
    assert spread(page, brokers, 10) == [4, 3, 3]


@pytest.mark.needs("haproxy")
def test_01_down_backup_and_proxy_headers(page):
    addresses = list(page.networks.addresses.values())
    brokers = [
        page.lab.mosquitto(port=port, prefix=page.networks.cluster) for port in (11883, 21883)
    ]
    readers = [
        page.lab.haproxy(ports=[(host, 1883)], target=broker.address, prefix=page.networks.cluster)
        for host, broker in zip((addresses[0], addresses[2]), brokers, strict=True)
    ]
    down = page.lab.mosquitto(host=addresses[1], port=1883, prefix=page.networks.cluster)
    page.run("01")
    for number in range(3):
        page.subscribe(f"client-{number}", brokers)
    assert [len(broker.clients()) for broker in brokers] == [3, 0]
    readers[0].stop()
    for number in range(3, 6):
        page.subscribe(f"client-{number}", brokers)
    assert [len(broker.clients()) for broker in brokers] == [3, 3]
    assert down.clients() == []
    told = wait_until(readers[0].told, "haproxy logs what it was told")
    assert {client.partition(":")[0] for client, _ in told} == {"127.0.0.1"}
    assert {target for _, target in told} == {"127.0.0.1:1883"}

"""A cluster with the page's names and ports, and the balancer in front of it."""

import os
import subprocess

import pytest

from lab import balancer as balancers
from lab.waiting import PATIENCE

NODES = [f"emqx{number}-cluster.emqx.io" for number in (1, 2, 3)]
PORT = 1883


class Page:
    """The page's cluster: nodes in a network of their own, `listen 1883` in another."""

    def __init__(self, lab):
        self.lab = lab
        self.networks = lab.networks(NODES)

    def brokers(self):
        """A mosquitto on port 1883 of each name."""
        return [
            self.lab.mosquitto(host=host, port=PORT, prefix=self.networks.cluster)
            for host in self.networks.addresses.values()
        ]

    def run(self, number, *, workers=1):
        """Start the balancer with `NN.conf` as it is."""
        with open(os.path.join(os.path.dirname(__file__), f"{number}.conf")) as file:
            conf = file.read()
        more = "daemon off; pid balancer.pid; error_log error.log info;"
        if self.lab.program == "nginx":
            more += f"load_module {balancers.STREAM_MODULE};"
        balancer = self.lab.idle_balancer(conf, directives=more, prefix=self.networks.front)
        return balancer.start().wait_ready([PORT], workers)

    def subscribe(self, client_id, brokers, *, topic="#"):
        """A client that stays; returns when one of the brokers has it."""
        client = self.lab.running(
            ["mosquitto_sub", "-i", client_id, "-t", topic, "-p", PORT],
            name=client_id,
            prefix=self.networks.front,
        )
        client.wait_until(
            lambda: any(client_id in broker.clients() for broker in brokers), "is connected"
        )
        return client

    def publish(self, topic, payload):
        """A client that comes and goes."""
        subprocess.run(
            [
                *self.networks.front,
                "mosquitto_pub",
                "-q",
                "1",
                "-p",
                str(PORT),
                "-t",
                topic,
                "-m",
                payload,
            ],
            check=True,
            timeout=PATIENCE,
            capture_output=True,
        )


@pytest.fixture
def page(lab):
    """The page's world."""
    return Page(lab)

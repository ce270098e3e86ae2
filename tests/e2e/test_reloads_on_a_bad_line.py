"""Reloads while the cable to the node is pulled out again and again: nothing is lost."""

import signal
import time

from lab import balancer as balancers
from lab.traffic import Traffic
from lab.waiting import wait_until

SESSIONS = 50
CUTS = 8
CUT_SECONDS = 0.3


def test_what_the_line_loses_comes_later_and_in_order(lab):
    networks = lab.networks(["node"])
    address = networks.addresses["node"]
    node = lab.foreign_node(networks.cluster, address, 1883, keep=False)
    port = 18830
    conf = balancers.whole(
        f"upstream u {{ server {address}:1883 weight=1; }}"
        f" server {{ listen {networks.gateway}:{port}; proxy_pass u; }}",
        workers=2,
        level="notice",
    )
    balancer = lab.idle_balancer(conf, prefix=networks.front)
    balancer.start().wait_ready([port], 2)
    traffic = Traffic((networks.gateway, port), SESSIONS, network=networks.front)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken")
        for count in range(CUTS):
            networks.cut()
            weight = 1 + count % 2
            with open(balancer.conf, "w", encoding="utf-8") as file:
                file.write(conf.replace("weight=1", f"weight={weight + 1}"))
            balancer.send_signal(signal.SIGHUP)
            time.sleep(CUT_SECONDS)  # so long the line loses all there is
            networks.plug_in()
            before = list(traffic.turns)
            wait_until(
                lambda then=before: all(
                    now > was for now, was in zip(traffic.turns, then, strict=True)
                ),
                "every session goes on",
                timeout=30,
                context=lambda: str(traffic.broken[:5]),
            )
        assert traffic.broken == []
    finally:
        traffic.close()
    assert balancer.errors().count(": generation ") == CUTS
    assert node.accepted == SESSIONS

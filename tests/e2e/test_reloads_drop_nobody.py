"""Reloads, one after the other, with traffic running: no session ends, no connect is refused."""

import os
import signal
import time

from lab.balancer import whole
from lab.traffic import Prober, Traffic
from lab.waiting import wait_until

SECONDS = float(os.environ.get("TIDEGATE_SOAK_SECONDS", "10"))
SESSIONS = int(os.environ.get("TIDEGATE_SOAK_SESSIONS", "200"))
MESSAGES = 4000  # per second, of all sessions


def stream(port, *, nodes, extra=""):
    """An upstream of these nodes (weight, node) behind a port."""
    servers = "".join(f"server {node.address} weight={weight};" for weight, node in nodes)
    return f"upstream u {{ {servers} }} server {{ listen 127.0.0.1:{port}; proxy_pass u; }} {extra}"


def run(lab, versions, *, gap):
    """Reload these versions (stream text, workers) in turn, one every `gap` seconds."""
    port = lab.ports.free()
    texts = [
        whole(text.replace("PORT", str(port)), workers=workers, connections=4096, level="notice")
        for text, workers in versions
    ]
    balancer = lab.idle_balancer(texts[0])
    balancer.start()
    balancer.wait_ready([port], versions[0][1])
    # The traffic is one thread of Python: so many messages a second and no more.
    traffic = Traffic(("127.0.0.1", port), SESSIONS, pause=SESSIONS / MESSAGES)
    prober = Prober(("127.0.0.1", port), rate=300)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken")
        reloads = 0
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            reloads += 1
            # In one step: a reload that is not done yet may be reading.
            with open(f"{balancer.conf}.new", "w", encoding="utf-8") as file:
                file.write(texts[reloads % len(texts)])
            os.replace(f"{balancer.conf}.new", balancer.conf)
            balancer.send_signal(signal.SIGHUP)
            time.sleep(gap)  # the pace of the reloads, nothing is waited for
        before = list(traffic.turns)
        wait_until(
            lambda: all(now > then for now, then in zip(traffic.turns, before, strict=True)),
            "every session goes on",
            context=lambda: f"{traffic.broken[:5]}\n{balancer.errors()[-2000:]}",
        )
        done = prober.done
        wait_until(lambda: prober.done > done + 50, "the prober goes on")
    finally:
        prober.close()
        traffic.close()
    assert traffic.broken == []
    assert prober.faults == []
    assert balancer.errors().count(": generation ") >= 5
    assert "[emerg]" not in balancer.errors()
    assert "[alert]" not in balancer.errors()
    return balancer


def test_the_same_file_again_and_again(lab):
    node = lab.node(keep=False)
    run(lab, [(stream("PORT", nodes=[(1, node)]), 2)], gap=0.1)


def test_nodes_and_weights_change(lab):
    first, second, third = (lab.node(keep=False) for _ in range(3))
    run(
        lab,
        [
            (stream("PORT", nodes=[(1, first), (1, second)]), 2),
            (stream("PORT", nodes=[(3, first), (1, third)]), 2),
            (stream("PORT", nodes=[(1, second), (2, third)]), 2),
        ],
        gap=0.2,
    )
    assert min(node.accepted for node in (first, second, third)) > 0


def test_listeners_and_workers_come_and_go(lab):
    node = lab.node(keep=False)
    more = f"server {{ listen 127.0.0.1:{lab.ports.free()}; return x; }}"
    plain, wider = stream("PORT", nodes=[(1, node)]), stream("PORT", nodes=[(1, node)], extra=more)
    run(lab, [(plain, 1), (wider, 3), (wider, 2), (plain, 2)], gap=0.5)


def test_methods_change(lab):
    first, second = lab.node(keep=False), lab.node(keep=False)
    plain = stream("PORT", nodes=[(1, first), (1, second)])
    methods = ("", "hash $remote_addr consistent;", "least_conn;", "random two;")
    run(
        lab,
        [(plain.replace("upstream u {", f"upstream u {{ {method}"), 2) for method in methods],
        gap=0.3,
    )

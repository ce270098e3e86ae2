"""SIGKILL of the master with many sessions: none ends, and a new start takes the ports at once."""

import os
import signal

from lab import proc
from lab.balancer import whole
from lab.traffic import Prober, Traffic
from lab.waiting import wait_until

SESSIONS = 2000


def test_no_session_ends_and_a_new_start_takes_the_ports(lab, many_descriptors):
    assert many_descriptors > 2 * SESSIONS
    node, port = lab.node(keep=False), lab.ports.free()
    balancer = lab.idle_balancer(
        whole(
            f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; }}",
            workers=2,
            connections=3 * SESSIONS,
            level="notice",
        )
    )
    balancer.start()
    balancer.wait_ready([port], 2)
    orphans = balancer.workers()
    # The traffic is one thread of Python: each session speaks twice a second.
    traffic = Traffic(("127.0.0.1", port), SESSIONS, pause=0.5)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken", timeout=60)
        balancer.kill()
        # It is not waited for that the orphans stop listening.
        balancer.start()
        balancer.wait_ready([port], 2)
        assert not set(balancer.workers()) & set(orphans)
        prober = Prober(("127.0.0.1", port), rate=50)
        before = list(traffic.turns)
        wait_until(
            lambda: all(now > then for now, then in zip(traffic.turns, before, strict=True)),
            "every session goes on",
            timeout=60,
            context=lambda: str(traffic.broken[:5]),
        )
        wait_until(lambda: prober.done > 20, "new ones are served")
        prober.close()
        assert prober.faults == []
        assert traffic.broken == []
        assert balancer.errors().count("the master process is gone") == len(orphans)
        assert "[emerg]" not in balancer.errors()
    finally:
        traffic.close()
    try:
        wait_until(lambda: not any(map(proc.alive, orphans)), "the orphans end with their sessions")
    finally:
        for pid in filter(proc.alive, orphans):
            os.kill(pid, signal.SIGKILL)

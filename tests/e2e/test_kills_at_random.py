"""SIGKILL of one worker after the other, with traffic: only its sessions end, counts stay right."""

import os
import random
import signal

from lab import proc
from lab.traffic import Traffic
from lab.waiting import wait_until

SESSIONS = 120
KILLS = int(os.environ.get("TIDEGATE_SOAK_KILLS", "8"))
WORKERS = 4


def test_only_the_sessions_of_the_killed_end(lab):
    nodes = [lab.node(keep=False) for _ in range(2)]
    balancer, port = lab.in_front(*nodes, workers=WORKERS, level="notice")
    traffic = Traffic(("127.0.0.1", port), SESSIONS)
    try:
        wait_until(lambda: all(traffic.turns), "every session has spoken")
        ended = set()
        for _ in range(KILLS):
            workers = balancer.workers()
            victim = random.choice(workers)
            owners = proc.served_by(workers, port)
            his = {at for at, number in traffic.ports.items() if owners.get(number) == victim}
            os.kill(victim, signal.SIGKILL)
            ended |= his
            wait_until(
                lambda gone=his: {index for index, _why in traffic.broken} >= gone,
                "his sessions end",
            )
            wait_until(
                lambda gone=victim: len(set(balancer.workers()) - {gone}) == WORKERS,
                "the worker is replaced",
                context=balancer.errors,
            )
        assert {index for index, _why in traffic.broken} == ended
        living = SESSIONS - len(ended)
        wait_until(
            lambda: sum(one["sessions"] for one in balancer.told("status")["workers"]) == living,
            "the workers' counts are those of the sessions that live",
        )
        (group,) = balancer.told("upstreams")["upstreams"]
        assert sum(peer["active"] for peer in group["peers"]) == living
        before = list(traffic.turns)
        wait_until(
            lambda: all(
                now > then or index in ended
                for index, (now, then) in enumerate(zip(traffic.turns, before, strict=True))
            ),
            "the others go on",
        )
    finally:
        traffic.close()

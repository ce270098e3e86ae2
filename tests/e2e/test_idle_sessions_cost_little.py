"""Two thousand idle sessions are held, answer pings, and cost a few KiB each."""

import pytest

from lab import proc
from lab.packets import Crowd
from lab.waiting import wait_until

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.usefixtures("many_descriptors")]

COUNT = 2_000


async def test_two_thousand_idle_sessions(lab):
    balancer, port = lab.in_front(*(lab.mosquitto() for _ in range(2)), connections=2 * COUNT + 100)
    [worker] = balancer.workers()
    before, descriptors = proc.own_kib(worker), len(proc.descriptors(worker))
    crowd = Crowd(port)
    await crowd.connect(COUNT)
    await crowd.ping()
    per_session = (proc.own_kib(worker) - before) / COUNT
    assert len(proc.descriptors(worker)) - descriptors == 2 * COUNT
    await crowd.close()
    wait_until(lambda: len(proc.descriptors(worker)) <= descriptors, "all sessions are closed")
    balancer.wait_sessions(COUNT)
    assert per_session < 16  # nginx: 9.8 KiB

"""A worker gets no more memory: who is there does not notice, who comes waits for some."""

import contextlib
import resource

from lab import sockets
from lab.waiting import wait_until

HELD = 100
AT_A_TIME = 50
MOST = 3000
ALLOWED_LOSSES = 5  # who was on the way when a decision found no memory


def address_space(pid) -> int:
    """Bytes that the process has mapped."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def echoes(client) -> bool:
    """Whether the client is served; False where it was sent away."""
    with contextlib.suppress(OSError):
        client.sendall(b"again")
        return sockets.receive(client, 5) == b"again"
    return False


def test_sessions_go_on_and_clients_wait(lab):
    node = lab.node(keep=False)
    balancer, port = lab.in_front(node, connections=19000, workers=1)
    (worker,) = balancer.workers()

    def open_one():
        return stack.enter_context(sockets.open_raw(port))

    with contextlib.ExitStack() as stack:
        held = [open_one() for _ in range(HELD)]
        assert all(map(echoes, held))
        usual = resource.prlimit(worker, resource.RLIMIT_AS)
        resource.prlimit(worker, resource.RLIMIT_AS, (address_space(worker), usual[1]))
        crowd = []
        while "Cannot allocate memory), accepting paused" not in balancer.errors():
            assert len(crowd) < MOST
            crowd += [open_one() for _ in range(AT_A_TIME)]
        assert all(map(echoes, held))
        resource.prlimit(worker, resource.RLIMIT_AS, usual)
        lost = sum(not echoes(client) for client in crowd)
        assert all(map(echoes, held))
        assert lost <= ALLOWED_LOSSES
    wait_until(lambda: "accepting resumed" in balancer.errors(), "all is well again")
    assert balancer.workers() == [worker]

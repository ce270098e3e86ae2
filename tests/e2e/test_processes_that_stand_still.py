"""SIGSTOP of a broker and of a worker: whoever has nothing to do with it is served as before."""

import contextlib
import os
import signal
import socket

from lab import proc, sockets
from lab.packets import PINGREQ, PINGRESP, open_mqtt
from lab.traffic import Prober, Traffic
from lab.waiting import wait_until

CLIENTS = 8


@contextlib.contextmanager
def standing_still(pid):
    """Within the block the process does not run."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ping(client) -> bool:
    """Whether the broker answers."""
    client.sendall(PINGREQ)
    return sockets.receive(client, 2) == PINGRESP


def test_a_broker_that_stands_still_keeps_its_sessions_and_gets_no_others(lab):
    first, second = lab.mosquitto(), lab.mosquitto()
    _, port = lab.in_front(
        first,
        second,
        more="mqtt_next_upstream 3 error timeout; mqtt_connack_timeout 500ms;",
        level="notice",
    )
    clients = [open_mqtt(port, f"client{number}") for number in range(CLIENTS)]
    held = [
        client
        for client, name in zip(clients, range(CLIENTS), strict=True)
        if f"client{name}" in first.clients()
    ]
    others = [client for client in clients if client not in held]
    assert len(held) == len(others) == CLIENTS // 2
    with standing_still(first.pid):
        assert all(map(ping, others))
        # The kernel takes connects for it; it is the CONNACK that does not come.
        late = [open_mqtt(port, f"late{number}") for number in range(CLIENTS)]
        assert all(map(ping, late + others))
        assert sum(name.startswith("late") for name in second.clients()) == CLIENTS
        for client in held:
            client.sendall(PINGREQ)
    assert all(sockets.receive(client, 2) == PINGRESP for client in held)
    for client in clients + late:
        client.close()


def shared_traffic(balancer, port, worker):
    """Sessions of which this worker has some and not all; and which ones.

    Who takes a client is the kernel's choice: it may give one worker all that come slowly.
    """
    found = []

    def shared():
        traffic = Traffic(("127.0.0.1", port), 40)
        wait_until(lambda: all(traffic.turns), "every session has spoken")
        owners = proc.served_by(balancer.workers(), port)
        his = {at for at, number in traffic.ports.items() if owners.get(number) == worker}
        if 0 < len(his) < len(traffic.turns):
            found.append((traffic, his))
        else:
            traffic.close()
        return found

    wait_until(shared, "both workers have sessions")
    return found[0]


def test_a_worker_that_stands_still_costs_nobody_else_a_connection(lab):
    balancer, port = lab.in_front(lab.node(keep=False), workers=2, level="notice")
    victim = balancer.workers()[0]
    traffic, his = shared_traffic(balancer, port, victim)
    prober = None
    try:
        with standing_still(victim):
            prober = Prober(("127.0.0.1", port), rate=200)
            before = list(traffic.turns)
            wait_until(lambda: prober.done > 200, "others are served")
            wait_until(
                lambda: all(traffic.turns[at] > before[at] for at in set(range(40)) - his),
                "the sessions of the other worker go on",
            )
        before = list(traffic.turns)
        wait_until(
            lambda: all(now > then for now, then in zip(traffic.turns, before, strict=True)),
            "his sessions go on",
        )
        prober.close()
        assert (traffic.broken, prober.faults) == ([], [])
    finally:
        if prober is not None:
            prober.close()
        traffic.close()


def test_clients_wait_while_all_workers_stand_still(lab):
    balancer, port = lab.in_front(lab.node(), workers=2, level="notice")
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as stopped:
            for pid in balancer.workers():
                stopped.enter_context(standing_still(pid))
            clients = [stack.enter_context(sockets.open_raw(port)) for _ in range(100)]
            for client in clients:
                client.sendall(b"hello")
            # A graceful stop serves those, too, whom nobody has accepted yet.
            balancer.quit()
            wait_until(lambda: "(SIGQUIT)" in balancer.errors(), "the master shuts down")
        for client in clients:
            assert sockets.receive(client, 5) == b"hello"
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
    assert balancer.wait() == 0
    assert len(balancer.sessions()) == 100

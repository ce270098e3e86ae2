"""Stopping while sessions are on their way: to a node that does not answer, or in a handshake."""

import contextlib
import os
import signal

import pytest

from lab import proc, sockets
from lab.waiting import wait_until

CLIENTS = 5
HELLO = b"\x16\x03\x01\x02\x00"  # the first bytes of a ClientHello; the rest does not come


@pytest.fixture
def hole_port(instance, lab):
    """A running instance with a port whose node never answers a connect."""
    port = lab.ports.free()
    instance.configure(
        stream=f"server {{ listen 127.0.0.1:{port}; proxy_pass {lab.hole().address};"
        " proxy_connect_timeout 2s; }"
    )
    instance.start()
    return port


@contextlib.contextmanager
def clients_of(instance, port, *, first=b""):
    """Clients that have been accepted, and not served yet."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(sockets.open_raw(port)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(first)
        wait_until(lambda: accepted(instance) == CLIENTS, "all are accepted")
        yield clients


def accepted(instance) -> int:
    return instance.log.count(" connected to 127.0.0.1:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_a_connect(instance, hole_port, number):
    master, workers = instance.master, instance.workers()
    with clients_of(instance, hole_port) as clients:
        os.kill(master, number)
        instance.wait_gone(master, *workers)
        assert [client.recv(1) for client in clients] == [b""] * CLIENTS
    assert "timed out" not in instance.log
    assert "Traceback" not in instance.log


def test_a_quit_waits_until_a_connect_has_come_to_nothing(instance, hole_port):
    master, workers = instance.master, instance.workers()
    with clients_of(instance, hole_port) as clients:
        os.kill(master, signal.SIGQUIT)
        instance.wait_for("gracefully shutting down")
        assert [client.recv(1) for client in clients] == [b""] * CLIENTS
    instance.wait_gone(master, *workers)
    assert instance.log.count("upstream timed out") == CLIENTS


def test_a_reload_leaves_those_who_connect_alone(instance, hole_port):
    with clients_of(instance, hole_port) as clients:
        instance.configure()  # without that port
        os.kill(instance.master, signal.SIGHUP)
        instance.wait_for(f"- listener 127.0.0.1:{hole_port}")
        assert instance.log.count("upstream timed out") == 0
        assert [client.recv(1) for client in clients] == [b""] * CLIENTS
    assert instance.log.count("upstream timed out") == CLIENTS


@pytest.mark.parametrize("how", ["stop", "quit"])
def test_a_stop_during_tls_handshakes(instance, lab, server_pair, how):
    certificate, key = server_pair
    port = lab.ports.free()
    instance.configure(
        stream=f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate};"
        f" ssl_certificate_key {key}; ssl_handshake_timeout 3s; proxy_pass {instance.node.address};"
        " }"
    )
    instance.start()
    master, workers = instance.master, instance.workers()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(sockets.open_raw(port)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(HELLO)
        wait_until(lambda: len(proc.served_by(workers, port)) == CLIENTS, "all are accepted")
        assert instance.run("-s", how).returncode == 0
        assert [client.recv(1) for client in clients] == [b""] * CLIENTS
        instance.wait_gone(master, *workers)
    assert "Traceback" not in instance.log

"""Lines to a syslog server: the same datagrams as from the installed nginx, and nobody waits."""

import contextlib
import os
import re
import socket

import pytest

from lab import sockets
from lab.waiting import PATIENCE, wait_until


@contextlib.contextmanager
def server(address):
    """A syslog server on "host:port" or a Unix socket's path."""
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        host, _, port = address.rpartition(":")
        sock.bind(address if family == socket.AF_UNIX else (host, int(port)))
        yield sock


def place(lab, kind):
    if kind == "unix":
        return os.path.join(lab.folder, "log.sock")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def written(address):
    return f"unix:{address}" if address.startswith("/") else address


def visit(port):
    with sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b"x"


def logging(lab, address, program="tidegate", more=",tag=gate"):
    """A balancer whose lines all go to a server."""
    port = lab.ports.free()
    balancer = lab.balancer(
        f"log_format short 'from $remote_addr $status';"
        f" server {{ listen 127.0.0.1:{port}; return x;"
        f" access_log syslog:server={written(address)},severity=notice,facility=cron{more} short;"
        f" error_log syslog:server={written(address)}{more} info; }}",
        program=program,
    )
    return balancer, port


def plain(packet):
    """A datagram without what differs from run to run."""
    text = packet.decode()
    text = re.sub(r">[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d ", ">TIME ", text)
    text = re.sub(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "STAMP", text)
    text = re.sub(r"\d+#\d+: \*\d+", "PID: *N", text)
    return re.sub(r":\d{4,5}\b", ":PORT", text).replace(socket.gethostname(), "HOST")


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("kind", ["udp", "unix"])
@pytest.mark.parametrize("more", [",tag=gate", ",tag=gate,nohostname"])
def test_the_datagrams_of_a_session(lab, kind, more):
    said = []
    for program in ("nginx", "tidegate"):
        address = place(lab, kind)
        with server(address) as sock:
            _, port = logging(lab, address, program, more)
            visit(port)
            said.append({plain(sock.recv(4096)) for _ in range(2)})
        if kind == "unix":
            os.unlink(address)
    assert said[1] == said[0]
    assert any("<125>TIME" in one and "gate: from 127.0.0.1 200" in one for one in said[1])
    assert any("<190>TIME" in one and "gate: STAMP [info] PID: *N client" in one for one in said[1])


def test_a_server_that_is_away_costs_lines_alone_and_is_found_again(lab):
    address = place(lab, "unix")
    balancer, port = logging(lab, address)
    visit(port)
    balancer.wait_until(lambda: "lines are lost" in balancer.errors(), "the loss is told")
    with server(address) as sock:
        visit(port)
        assert b"lines of this log were lost" in sock.recv(4096)
        heard = {plain(sock.recv(4096)) for _ in range(2)}
        assert any("from 127.0.0.1 200" in one for one in heard)
    os.unlink(address)
    with server(address) as sock:
        visit(port)
        assert plain(sock.recv(4096))


def test_a_server_that_reads_nothing_holds_up_nobody(lab):
    address = place(lab, "unix")
    with server(address):
        balancer, port = logging(lab, address)
        for _ in range(40):  # a Unix socket takes some ten datagrams
            visit(port)
        wait_until(lambda: "lines are lost" in balancer.errors(), "the loss is told")
        visit(port)

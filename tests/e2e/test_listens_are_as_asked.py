"""Addresses are listened on as `listen` says: options are read from the worker's own sockets."""

import os
import socket
import struct

import pytest

from lab import proc, sockets
from lab.borrow import borrow

TCP = socket.IPPROTO_TCP
SACKED = 28  # offset of tcpi_sacked in tcp_info: the length of the queue, for one that listens


def backlog(sock):
    return struct.unpack_from("I", sock.getsockopt(TCP, socket.TCP_INFO, 64), SACKED)[0]


def option(level, name):
    return lambda sock: sock.getsockopt(level, name)


keepalive = option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
idle, interval, probes = (
    option(TCP, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
)
rcvbuf = option(socket.SOL_SOCKET, socket.SO_RCVBUF)
sndbuf = option(socket.SOL_SOCKET, socket.SO_SNDBUF)
only_ipv6 = option(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
deferred = option(TCP, socket.TCP_DEFER_ACCEPT)
fastopen = option(TCP, socket.TCP_FASTOPEN)


@pytest.mark.parametrize(
    ("words", "read", "expected"),
    [
        ("", backlog, 511),
        ("backlog=17", backlog, 17),
        ("", keepalive, 0),
        ("so_keepalive=on", keepalive, 1),
        (
            "so_keepalive=31s:7s:3",
            lambda sock: (idle(sock), interval(sock), probes(sock)),
            (31, 7, 3),
        ),
        # The kernel doubles these.
        ("rcvbuf=30000", rcvbuf, 60_000),
        ("rcvbuf=20k", rcvbuf, 40_960),
        ("sndbuf=30000", sndbuf, 60_000),
        ("sndbuf=20k", sndbuf, 40_960),
        ("", lambda sock: deferred(sock) > 0, False),
        ("deferred", lambda sock: deferred(sock) > 0, True),
        ("", fastopen, 0),
        ("fastopen=5", fastopen, 5),
    ],
    ids=lambda value: value.replace("=", "-") if isinstance(value, str) else None,
)
def test_an_option_of_listen_reaches_the_socket(lab, words, read, expected):
    port = lab.ports.free()
    balancer = lab.balancer(f"server {{ listen 127.0.0.1:{port} {words}; return x; }}")
    assert read_listening(balancer, port, read) == expected


@pytest.mark.parametrize(("words", "number"), [("", 1), ("reuseport", 3)])
def test_reuseport_gives_each_worker_a_socket(lab, words, number):
    port = lab.ports.free()
    lab.balancer(f"server {{ listen 127.0.0.1:{port} {words}; return x; }}", workers=3)
    assert len(proc.listening_inodes(port)) == number


@pytest.mark.parametrize(("words", "expected"), [("", 1), ("ipv6only=off", 0)])
def test_ipv6only_decides_whether_ipv4_comes_in_too(lab, words, expected):
    port = lab.ports.free()
    balancer = lab.balancer(f"server {{ listen [::]:{port} {words}; return x; }}")
    assert read_listening(balancer, port, only_ipv6) == expected
    with sockets.open_raw(port, host="::1") as client:
        assert sockets.receive_all(client) == b"x"
    if expected:
        with pytest.raises(ConnectionRefusedError):
            sockets.open_raw(port)
    else:
        with sockets.open_raw(port) as client:
            assert sockets.receive_all(client) == b"x"


def test_each_address_has_its_own_server(lab):
    port, other = lab.ports.free(), lab.ports.free()
    path = os.path.join(lab.folder, "in.sock")
    lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; listen 127.0.0.1:{other}; return v4; }}"
        f"server {{ listen [::1]:{port}; return v6; }}"
        f"server {{ listen unix:{path}; return path; }}"
    )

    def says(target, **options):
        with sockets.open_raw(target, **options) as client:
            return sockets.receive_all(client)

    assert [says(port), says(other), says(port, host="::1"), says(path)] == [
        b"v4",
        b"v4",
        b"v6",
        b"path",
    ]


def read_listening(balancer, port, read):
    """What `read` gives for the only worker's listening socket."""
    [worker] = balancer.workers()
    links = {f"socket:[{inode}]" for inode in proc.listening_inodes(port)}
    [fd] = [fd for fd, target in proc.descriptors(worker).items() if target in links]
    with borrow(worker, fd) as sock:
        return read(sock)

"""Each session is one line in each access log that its server has."""

import os

import pytest

from lab import sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until


def test_each_session_is_one_line_with_what_happened(lab):
    node = lab.node(greet(b"hello"))
    balancer, port = lab.in_front(node)
    with sockets.open_raw(port) as client:
        client.sendall(b"abc")
        assert sockets.receive(client, 8) == b"helloabc"
    [line] = balancer.wait_sessions(1)
    seconds = line.pop("session_time")
    assert line == {
        "remote_addr": "127.0.0.1",
        "status": "200",
        "upstream_addr": node.address,
        "bytes_received": "3",
        "bytes_sent": "8",
        "upstream_bytes_sent": "3",
        "upstream_bytes_received": "8",
    }
    assert 0 <= float(seconds) < 15


def test_off_several_and_inherited_logs(lab):
    node = lab.node(greet(b"!"))
    ports = [lab.ports.free() for _ in range(3)]
    words = ["", "access_log off;", "access_log own.log short; access_log both.log short;"]
    servers = [
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; {word} }}"
        for port, word in zip(ports, words, strict=True)
    ]
    balancer = lab.balancer("log_format short '$server_port';" + "\n".join(servers))
    for port in reversed(ports):
        with sockets.open_raw(port) as client:
            assert sockets.receive(client, 1) == b"!"
    balancer.wait_sessions(1)
    for name in ("own.log", "both.log"):
        path = os.path.join(balancer.folder, name)
        wait_until(lambda path=path: read(path) == f"{ports[2]}\n", f"{name} has its line")
    assert len(balancer.sessions()) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("'$status $upstream_addr'", "200 {folder}/no\\x22de\n"),
        ("escape=default '$status' ' to $upstream_addr'", "200 to {folder}/no\\x22de\n"),
        ("""escape=json '{"to":"$upstream_addr"}'""", '{{"to":"{folder}/no\\"de"}}\n'),
        ("escape=none $upstream_addr", '{folder}/no"de\n'),
    ],
)
def test_a_line_is_as_its_format_says(lab, words, line):
    node, port = lab.node(greet(b"!"), path=f'{lab.folder}/no"de'), lab.ports.free()
    balancer = lab.balancer(
        f"log_format own {words}; server {{ listen 127.0.0.1:{port};"
        f" proxy_pass '{node.address}'; access_log own.log own; }}"
    )
    with sockets.open_raw(port) as client:
        sockets.receive(client, 1)
    path = os.path.join(balancer.folder, "own.log")
    wait_until(lambda: read(path), "the line")
    assert read(path) == line.format(folder=f"unix:{lab.folder}")

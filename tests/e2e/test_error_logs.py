"""`error_log` of the main level, of `stream` and of a server: each session is told of in one."""

import os

import pytest

from lab import sockets
from lab.process import read
from lab.waiting import wait_until


def visit(port):
    with sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b"x"


def test_the_innermost_log_gets_the_lines_of_a_session(lab):
    inherits, own = lab.ports.free(), lab.ports.free()
    balancer = lab.balancer(
        "error_log stream.log info;"
        f"server {{ listen 127.0.0.1:{inherits}; return x; }}"
        f"server {{ listen 127.0.0.1:{own}; return x; error_log own.log info;"
        " error_log second.log info; }",
        level="notice",
    )
    visit(inherits)
    visit(own)
    logs = {
        name: os.path.join(balancer.folder, name)
        for name in ("error.log", "stream.log", "own.log", "second.log")
    }
    for name, port in (("stream.log", inherits), ("own.log", own), ("second.log", own)):
        line = f"connected to 127.0.0.1:{port}"
        wait_until(lambda name=name, line=line: line in read(logs[name]), f"{line} in {name}")
        assert read(logs[name]).count(" connected to ") == 1
    assert "start worker process" in read(logs["error.log"])
    assert " connected to " not in read(logs["error.log"])


@pytest.mark.parametrize(("level", "told"), [("info", True), ("notice", False)])
def test_a_log_gets_what_is_of_its_level_or_worse(lab, level, told):
    node, port = lab.node(), lab.ports.free()
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address};"
        f" error_log own.log {level}; }}"
    )
    with node.refusing(), sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b""
    path = os.path.join(balancer.folder, "own.log")
    wait_until(lambda: "[error]" in read(path), "the refusal is told")
    assert ("[info]" in read(path)) == told

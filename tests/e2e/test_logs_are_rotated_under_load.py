"""USR1 while clients come and go: each session has exactly one line, in one of the files."""

import os
import signal
import threading

import pytest

from lab import sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until

ROUNDS = 8
CLIENTS = 3


@pytest.mark.parametrize("buffer", ["", "buffer=32k flush=50ms"])
def test_no_line_is_lost_or_doubled(lab, buffer):
    node, port = lab.node(greet(b"x")), lab.ports.free()
    balancer = lab.balancer(
        f"log_format own '$pid $connection $status'; server {{ listen 127.0.0.1:{port};"
        f" proxy_pass {node.address}; access_log own.log own {buffer}; }}",
        workers=2,
        level="notice",
    )
    path = os.path.join(balancer.folder, "own.log")
    over = threading.Event()
    counts = [0] * CLIENTS

    def visit(number):
        while not over.is_set():
            with sockets.open_raw(port) as client:
                assert sockets.receive(client, 1) == b"x"
            counts[number] += 1

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(ROUNDS):
            wait_until(lambda: read(path).count("\n") > 20, "some lines", context=balancer.tail)
            os.rename(path, f"{path}.{turn}")
            assert balancer.send("reopen").returncode == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert balancer.stop(signal.SIGQUIT) == 0
    files = [path, *(f"{path}.{turn}" for turn in range(ROUNDS))]
    assert all(read(file) for file in files)
    lines = [line for file in files for line in read(file).splitlines()]
    assert len(lines) == sum(counts)
    assert len(set(lines)) == len(lines)

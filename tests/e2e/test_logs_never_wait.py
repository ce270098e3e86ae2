"""A log that takes no more costs lines, which are counted; it costs no session any time."""

import os
import re
import signal
import subprocess

import pytest

from lab import sockets
from lab.balancer import MODULES
from lab.process import read
from lab.waiting import PATIENCE, wait_until

# So long that a few hundred fill a pipe and what a worker keeps for it.
LONG = "x" * 2000
SESSIONS = 400
LOST = re.compile(r'"[^"]*" is written again, (\d+) lines were lost')


def visit(port, count=SESSIONS):
    for _ in range(count):
        with sockets.open_raw(port) as client:
            assert sockets.receive_all(client) == b"x"


def drained(fd):
    """What is in a pipe now."""
    try:
        return os.read(fd, 1 << 20)
    except BlockingIOError:
        return b""


def test_an_access_log_may_be_a_fifo_that_nobody_reads(lab):
    port, fifo = lab.ports.free(), os.path.join(lab.folder, "fifo")
    os.mkfifo(fifo)
    balancer = lab.balancer(
        f"log_format long '$connection {LONG}';"
        f"server {{ listen 127.0.0.1:{port}; return x; access_log {fifo} long; }}"
    )
    visit(port)
    begun = f'nobody reads "{fifo}" fast enough, lines are lost'
    wait_until(lambda: begun in balancer.errors(), "the loss is told")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    heard = bytearray()

    def told():
        heard.extend(drained(reader))
        if not LOST.search(balancer.errors()):
            visit(port, 1)
        return LOST.search(balancer.errors())

    lost = int(wait_until(told, "the end of it is told")[1])
    balancer.stop(signal.SIGQUIT)
    heard.extend(drained(reader))
    os.close(reader)
    lines = heard.decode().splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert all(line.endswith(f" {LONG}") for line in lines)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == len(lines) + lost
    assert balancer.errors().count("lines are lost") == 1


@pytest.mark.parametrize("buffer", ["", "buffer=4k"])
def test_a_full_disk_stops_nobody(lab, buffer):
    port = lab.ports.free()
    balancer = lab.balancer(
        f"log_format long '{LONG}';"
        f"server {{ listen 127.0.0.1:{port}; return x; access_log /dev/full long {buffer}; }}"
    )
    visit(port, 50)
    balancer.stop(signal.SIGQUIT)
    failed = 'write() to "/dev/full" failed (28: No space left on device), lines are lost'
    assert balancer.errors().count(failed) == 1
    assert '50 lines for "/dev/full" were lost' in balancer.errors()


def test_an_error_log_may_be_a_fifo_that_nobody_reads(lab):
    port, fifo = lab.ports.free(), os.path.join(lab.folder, "fifo")
    os.mkfifo(fifo)
    lab.balancer(
        f"error_log {fifo} info; server {{ listen 127.0.0.1:{port}; return x; }}", level="notice"
    )
    visit(port, 1500)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    heard = drained(reader)
    visit(port, 1)
    wait_until(lambda: b"lines of this log were lost" in drained(reader), "it tells how many")
    os.close(reader)
    assert heard.count(b" connected to ") > 100


def test_standard_output_may_be_a_pipe_that_nobody_reads(lab):
    """Whoever started the program has its output in a pipe, and reads no more."""
    port = lab.ports.free()
    idle = lab.idle_balancer(
        "daemon off; pid t.pid; error_log stderr info; events {}"
        f"stream {{ log_format long '{LONG}'; access_log /dev/stdout long;"
        f" server {{ listen 127.0.0.1:{port}; return x; }} }}"
    )
    with subprocess.Popen(
        idle.argv,
        cwd=idle.folder,
        env={**os.environ, "PYTHONPATH": MODULES},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            seen = b""
            while b"start worker process " not in seen:
                seen += os.read(process.stdout.fileno(), 65536)
            visit(port)
            assert os.get_blocking(process.stdout.fileno())
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def test_what_waits_for_a_fifo_survives_the_reopening_of_logs(lab):
    port, fifo = lab.ports.free(), os.path.join(lab.folder, "fifo")
    os.mkfifo(fifo)
    balancer = lab.balancer(
        f"log_format long '$connection {LONG}';"
        f"server {{ listen 127.0.0.1:{port}; return x; access_log {fifo} long; }}"
    )
    visit(port, 60)
    assert balancer.send("reopen").returncode == 0
    wait_until(lambda: "reopening logs" in read(balancer.error_log), "the worker reopens")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    heard = bytearray()

    def all_there():
        heard.extend(drained(reader))
        return heard.count(b"\n") == 60

    wait_until(all_there, "sixty lines")
    os.close(reader)
    assert [int(line.split()[0]) for line in heard.splitlines()] == list(range(1, 61))

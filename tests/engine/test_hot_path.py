"""What a message costs: no Python, no allocation, and no system call more than it needs."""

from __future__ import annotations

import array
import ctypes
import gc
import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lab.engine import Forward
from lab.packets import connect
from lab.process import read
from lab.sockets import open_raw, receive

ENGINE = Path(__file__).parents[2] / "src/tidegate/engine"
# `cdef inline void name(` at the left edge, up to the colon that ends the declaration.
FUNCTION = re.compile(
    r"^cdef (?:inline )?[\w ]+?[ *]+(?P<name>\w+)\((?P<rest>.*?)(?P<end>[^()\n]*):\n",
    re.MULTILINE | re.DOTALL,
)
CALL = re.compile(r"\b(\w+)\(")
TAKES_GIL = re.compile(r"\bwith gil\b")


def compiled_functions(room: Path = ENGINE) -> dict[str, tuple[str, str]]:
    """Every cdef function of a room: what stands behind its arguments, and its body."""
    found = {}
    for path in room.glob("*.pyx"):
        text = path.read_text()
        matches = list(FUNCTION.finditer(text))
        for match in matches:
            body = re.split(r"^\S", text[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]
            found[match["name"]] = (match["end"].strip(), body)
    return found


def reached(functions: dict[str, tuple[str, str]], start: str) -> dict[str, set[str]]:
    """What `start` calls, directly or not: each function with the names it calls."""
    found: dict[str, set[str]] = {}
    left = [start]
    while left:
        name = left.pop()
        if name in found:
            continue
        found[name] = set(CALL.findall(functions[name][1]))
        left += found[name] & functions.keys()
    return found


def test_all_from_epoll_wait_to_send_runs_without_python():
    functions = compiled_functions()
    path = reached(functions, "run")
    assert {"relay", "hold_back", "on_event", "accept_from", "on_deadline"} <= path.keys()
    called = set.union(*path.values())
    assert {"epoll_wait", "recv", "send", "accept4", "clock_gettime"} <= called
    with_python = {name: functions[name][0] for name in path}
    assert {name: end for name, end in with_python.items() if end != "noexcept nogil"} == {}
    taking = {name for name in path if TAKES_GIL.search(functions[name][1])}
    assert taking == set()
    loop = (ENGINE / "loop.pyx").read_text()
    assert re.search(r"with nogil:\n\s+\w+ = run\(", loop), "run() is called with the GIL held"


@pytest.mark.parametrize("room", ["engine", "bench", "scoreboard"])
def test_no_function_without_python_takes_it_inside(room):
    functions = compiled_functions(ENGINE.parent / room)
    without = {name: body for name, (end, body) in functions.items() if end.endswith("nogil")}
    assert without
    assert {name for name, body in without.items() if TAKES_GIL.search(body)} == set()


def test_all_system_calls_are_declared_to_need_no_python():
    text = (ENGINE / "linux.pxd").read_text()
    blocks = re.findall(r"^cdef extern from .*:$", text, re.MULTILINE)
    assert blocks
    assert [block for block in blocks if not block.endswith(" nogil:")] == []


# A client and a node beside the engine's process, so that nothing of theirs is counted: it opens
# both ends, and for each number on stdin it sends so many messages there and back.
TRAFFIC = """
import os, socket, sys
node = socket.create_server(("127.0.0.1", 0))
os.write(1, b"%d\\n" % node.getsockname()[1])
client = socket.create_connection(("127.0.0.1", int(sys.stdin.readline())))
end, _ = node.accept()
for line in sys.stdin:
    for _ in range(int(line)):
        client.sendall(b"m" * 64)
        assert len(end.recv(64, socket.MSG_WAITALL)) == 64
        end.sendall(b"r" * 64)
        assert len(client.recv(64, socket.MSG_WAITALL)) == 64
    os.write(1, b"done\\n")
"""


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in ["a", "b", "c", "d", "e", "f", "g", "used", "h", "i"]
    ]


MALLINFO = ctypes.CDLL(None).mallinfo2
MALLINFO.restype = Mallinfo


def native_bytes_in_use() -> int:
    """What malloc has given out and not got back, that of Python's own allocator left out."""
    return MALLINFO().used


@pytest.fixture
def traffic():
    command = [sys.executable, "-c", TRAFFIC]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    with subprocess.Popen(command, **pipes) as process:
        yield process
        process.stdin.close()
        process.wait(10)


def serve_until_said(rig, traffic) -> bytes:
    """Turn the engine, without asyncio, which keeps a block more or less; the traffic's word."""
    while True:
        for fd, _ in rig.engine.select(20.0):
            if fd == rig.engine.wake_fd:
                rig.engine.serve()
            else:
                return os.read(traffic.stdout.fileno(), 100)


def test_messages_leave_no_block_allocated_and_call_nobody(rig, traffic, request):
    messages = 10_000
    # In no list: a number that is kept is a block itself.
    blocks, native = array.array("Q", [0, 0, 0]), array.array("Q", [0, 0, 0])
    rig.engine.watch(rig.engine.wake_fd, select.EPOLLIN)
    rig.engine.watch(traffic.stdout.fileno(), select.EPOLLIN)
    forward = Forward(rig, int(serve_until_said(rig, traffic)))
    traffic.stdin.write(b"%d\n" % rig.listen(forward))
    # A collection would count too: hypothesis keeps its time.
    gc.disable()
    request.addfinalizer(gc.enable)
    for turn in range(3):
        traffic.stdin.write(b"%d\n" % messages)
        assert serve_until_said(rig, traffic) == b"done\n"
        blocks[turn], native[turn] = sys.getallocatedblocks(), native_bytes_in_use()
    report = rig.engine.progress(forward.handles[0])
    assert report.bytes_received == report.bytes_sent == 3 * messages * 64
    # The first turn fills what Python and malloc keep for reuse.
    assert blocks[2] == blocks[1]
    assert native[2] == native[1]
    assert {name: count for name, count in rig.engine.calls.items() if count} == {"pick": 1}


# Calls per message: epoll_wait, recv, send, and 5 % for timers. With many connections one
# epoll_wait brings several messages.
@pytest.mark.needs("strace", "root")
@pytest.mark.parametrize(("connections", "most"), [(1, 3.15), (100, 2.5)])
@pytest.mark.parametrize("more", ["", "mqtt_preread on;"], ids=["plain", "MQTT"])
def test_a_message_needs_few_system_calls(lab, connections, most, more, tmp_path):
    """Nor more of them where the CONNECT was read, and its keep alive is the limit."""
    rounds = 2_000 // connections
    first = connect("device", keepalive=60)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as node:
        address = f"127.0.0.1:{node.getsockname()[1]}"
        balancer, port = lab.in_front(address, connections=1024, more=more)
        clients = [open_raw(port) for _ in range(connections)]
        for client in clients:
            client.sendall(first)
        ends = [node.accept()[0] for _ in range(connections)]
        for end in ends:
            end.settimeout(15)
            assert receive(end, len(first)) == first
        (worker,) = balancer.workers()
        counted = tmp_path / "calls"
        strace = lab.running(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", counted, "-p", worker], name="strace"
        )
        strace.wait_for_output("attached")
        for _ in range(rounds):
            for client in clients:
                client.sendall(b"m" * 64)
            for end in ends:
                assert receive(end, 64) == b"m" * 64
        assert strace.stop(signal.SIGINT) in {0, 130, -signal.SIGINT}
        for sock in clients + ends:
            sock.close()
    table = read(counted)
    calls = {
        name: int(count) for count, name in re.findall(r"^\s*(\d+) (\w+)$", table, re.MULTILINE)
    }
    messages = rounds * connections
    assert messages <= calls["recvfrom"] <= messages * 1.01, table
    assert calls.pop("total") / messages <= most, table

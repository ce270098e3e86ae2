"""What becomes of workers that die; their program is a stand-in of a few lines."""

import asyncio
import errno
import os
import sys

import pytest

from lab.descriptors import open_descriptors
from lab.waiting import PATIENCE
from tidegate.config import model
from tidegate.config.model import Level
from tidegate.observe.error_log import ErrorLog
from tidegate.process.supervisor import Supervisor, environment_of, pause_before

# Says its pid, then does what it is told: to end with a status, or to close its channel.
STAND_IN = """
import json, os, socket, sys
sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--channel") + 1]))
sock.send(json.dumps({"type": "ready", "pid": os.getpid()}).encode())
word = json.loads(sock.recv(1000))
if word["type"] == "exit":
    sys.exit(word["status"])
if word["type"] == "close":
    sock.close()
    import time
    time.sleep(60)
"""


class Owner:
    """Counts what happens, and lets the test wait for it."""

    def __init__(self):
        self.born_pids = []
        self.dead_pids = []
        self.told = []
        self.empty = False
        self._changed = asyncio.Event()

    def born(self, child):
        self.born_pids.append(child.pid)
        self._changed.set()

    def heard(self, child, message):
        self.told.append((child.pid, message.kind, message.body))
        self._changed.set()

    def died(self, child):
        self.dead_pids.append(child.pid)
        self._changed.set()

    def deserted(self):
        self.empty = True
        self._changed.set()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def made(tmp_path, request):
    """An owner, its supervisor of two stand-ins, and a function that reads the log."""
    path = str(tmp_path / "error.log")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    owner = Owner()
    supervisor = Supervisor(
        owner,
        slots=8,
        loop=asyncio.get_running_loop(),
        log=ErrorLog([model.ErrorLog(path=path, level=Level.INFO)], {path: fd}),
        environment=dict(os.environ),
        command=[sys.executable, "-c", getattr(request, "param", STAND_IN)],
    )

    def log():
        with open(path, encoding="utf-8") as file:
            return [line.split(": ", 1)[1].strip() for line in file]

    yield owner, supervisor, log
    supervisor.retire()
    supervisor.kill()
    await owner.until(lambda: owner.empty)
    os.close(fd)


async def test_each_slot_has_a_child_that_can_speak(made):
    owner, supervisor, log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.told) == 2)
    assert sorted(child.slot for child in supervisor) == [0, 1]
    assert all(body == {"pid": pid} for pid, _kind, body in owner.told)
    assert log()[1:] == [f"start worker process {pid}" for pid in owner.born_pids]


@pytest.mark.parametrize("status", [0, 2])
async def test_a_child_that_ends_is_replaced_in_its_slot(made, status):
    owner, supervisor, log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.told) == 2)
    child = next(iter(supervisor))
    child.channel.send("exit", status=status)
    await owner.until(lambda: len(owner.born_pids) == 3)
    assert owner.dead_pids == [child.pid]
    assert {one.slot for one in supervisor} == {0, 1}
    assert f"worker process {child.pid} exited with code {status}" in log()


async def test_a_child_that_stops_listening_to_us_is_ended(made):
    owner, supervisor, log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.told) == 2)
    child = next(iter(supervisor))
    child.channel.send("close")
    await owner.until(lambda: owner.dead_pids)
    assert f"worker process {child.pid} exited on signal 15" in log()


async def test_after_retire_nobody_is_replaced(made):
    owner, supervisor, _log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.told) == 2)
    supervisor.retire()
    for child in supervisor:
        child.channel.send("exit", status=0)
    await owner.until(lambda: owner.empty)
    assert len(owner.born_pids) == len(owner.dead_pids) == 2


@pytest.mark.parametrize("made", ["raise SystemExit(7)"], indirect=True)
async def test_one_that_dies_at_every_start_is_given_pauses(made):
    owner, supervisor, log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.dead_pids) >= 8)
    assert len([line for line in log() if "died 4 times in a row" in line]) == 2


async def test_descriptors_do_not_pile_up(made):
    owner, supervisor, _log = made
    supervisor.start(range(2))
    await owner.until(lambda: len(owner.told) == 2)
    before = open_descriptors()
    for turn in range(3):
        next(iter(supervisor)).channel.send("exit", status=0)
        await owner.until(lambda turn=turn: len(owner.told) == 3 + turn)
    async with asyncio.timeout(PATIENCE):
        # What the last one had goes when its end is noticed.
        while len(open_descriptors()) > len(before):
            await asyncio.sleep(0.01)


def test_pauses_grow_to_a_bound():
    assert [pause_before(deaths) for deaths in (1, 2, 3, 4, 5, 6, 50)] == [0, 0, 0, 0.25, 0.5, 1, 8]


def test_the_environment_is_what_nginx_keeps_and_python_needs():
    own = {"TZ": "UTC", "HOME": "/root", "PYTHONPATH": "src", "A": "1", "B": "2"}
    rows = (("A", None), ("C", "3"), ("D", None))
    assert environment_of(rows, own) == {"TZ": "UTC", "PYTHONPATH": "src", "A": "1", "C": "3"}


async def test_after_retire_nobody_is_started(made):
    owner, supervisor, _log = made
    supervisor.retire()
    supervisor.start(range(2))
    assert len(supervisor) == 0
    assert owner.born_pids == []


@pytest.mark.parametrize("what", ["socket.socketpair", "os.pidfd_open"])
async def test_a_seat_is_filled_again_when_descriptors_were_short(made, monkeypatch, what):
    owner, supervisor, log = made
    before = open_descriptors()
    tries = []

    def short(*arguments):
        tries.append(arguments)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(f"tidegate.process.supervisor.{what}", short)
        supervisor.start([0])
        assert 1 < len(tries) < 10
    assert open_descriptors() <= before
    assert any("Too many open files" in line for line in log())
    await owner.until(lambda: owner.told)
    assert [child.seat for child in supervisor] == [0]


async def test_a_child_that_cannot_be_welcomed_is_replaced(made):
    owner, supervisor, log = made
    born = owner.born

    def short(_child):
        owner.born = born
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    owner.born = short
    supervisor.start([0])
    await owner.until(lambda: owner.told)
    assert len(owner.dead_pids) == 1
    assert [child.pid for child in supervisor] == owner.born_pids
    assert any("Too many open files" in line for line in log())

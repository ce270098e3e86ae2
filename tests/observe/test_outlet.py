"""A log that takes nothing costs nobody time, and what it costs in lines is told."""

import contextlib
import errno
import os
import socket
from select import PIPE_BUF

import pytest

from tidegate.observe import losses, opening
from tidegate.observe.losses import Losses
from tidegate.observe.outlet import WAITING_BYTES, Outlet

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def told():
    return []


@pytest.fixture
def clock(monkeypatch):
    """The time that losses and outlets see; a test moves it on."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def opened(tmp_path, told):
    """Opens a log by its name in the test's folder."""
    fds = []

    def open_outlet(name="a.log", fd=None, write=None):
        fds.append(opening.open_log(str(tmp_path / name)) if fd is None else fd)
        return Outlet(fds[-1], name=name, losses=Losses(name, told.append), write=write)

    yield open_outlet
    for fd in fds:
        os.close(fd)


def fill(outlet, told):
    """Put lines until one is lost; returns how many were not."""
    count = 0
    while not told:
        outlet.put(LINE)
        count += 1
    return count - 1


def drain(fd):
    data = b""
    with contextlib.suppress(BlockingIOError):
        while more := os.read(fd, 65536):
            data += more
    return data


def test_a_fifo_that_nobody_reads_keeps_some_lines_and_loses_the_rest(
    opened, told, clock, tmp_path
):
    os.mkfifo(tmp_path / "fifo")
    outlet = opened("fifo")
    taken = fill(outlet, told)
    assert WAITING_BYTES < taken * len(LINE) < WAITING_BYTES + 2**20
    assert told == ['nobody reads "fifo" fast enough, lines are lost']
    outlet.put(LINE * 4)
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    heard = drain(reader)
    clock[0] += losses.CALM_SECONDS
    while outlet.waiting:
        outlet.push()
        heard += drain(reader)
    assert heard == LINE * taken
    assert told[1:] == ['"fifo" is written again, 5 lines were lost']
    os.close(reader)


def test_what_a_pipe_has_not_taken_at_the_end_is_lost_and_told(opened, told, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    outlet = opened("fifo")
    outlet.put(LINE * 1000)
    waiting = outlet.waiting.count(b"\n")
    outlet.finish()
    assert told == [
        'nobody reads "fifo", lines are lost',
        f'{waiting} lines for "fifo" were lost',
    ]


def test_a_reader_of_a_fifo_may_go_and_another_come(opened, told, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    first = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    outlet = opened("fifo")
    outlet.put(b"one\n")
    assert drain(first) == b"one\n"
    os.close(first)
    outlet.put(b"two\n")
    second = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    assert drain(second) == b"two\n"
    os.close(second)
    assert told == []


def test_lines_of_several_writers_to_a_pipe_stay_whole(opened, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    outlets = [opened("fifo"), opened("fifo")]
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    lines = [letter * 98 + b"\n" for letter in (b"a", b"b")]
    heard = b""
    for _ in range(20):
        for outlet, line in zip(outlets, lines, strict=True):
            outlet.put(line * (3 * PIPE_BUF // len(line)))
        heard += drain(reader)
    while any(outlet.waiting for outlet in outlets):
        for outlet in outlets:
            outlet.push()
        heard += drain(reader)
    os.close(reader)
    assert set(heard.splitlines(keepends=True)) == set(lines)


class Disk:
    """Takes `room` bytes, then none; counts how often it was asked."""

    def __init__(self, room):
        self.room = room
        self.asked = 0
        self.written = b""

    def __call__(self, data):
        self.asked += 1
        taken = data[: self.room]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += taken
        self.room -= len(taken)
        return len(taken)


def test_a_full_disk_is_not_asked_again_within_a_second(opened, told, clock):
    disk = Disk(0)
    outlet = opened(write=disk)
    outlet.put(b"a\nb\n")
    outlet.put(b"c\n")
    assert disk.asked == 1
    clock[0] += losses.CALM_SECONDS
    outlet.put(b"d\n")
    assert disk.asked == 2
    disk.room = 100
    clock[0] += losses.CALM_SECONDS
    outlet.put(b"e\n")
    assert disk.written == b"e\n"
    assert told == [
        'write() to "a.log" failed (28: No space left on device), lines are lost',
        '"a.log" is written again, 4 lines were lost',
    ]


def test_a_line_that_a_full_disk_cut_is_ended_before_the_next(opened, told, clock):
    disk = Disk(6)
    outlet = opened(write=disk)
    outlet.put(b"one\ntwo\nthree\n")
    assert disk.written == b"one\ntw"
    clock[0] += losses.CALM_SECONDS
    outlet.put(b"four\n")
    disk.room = 100
    clock[0] += losses.CALM_SECONDS
    outlet.put(b"five\n")
    assert disk.written == b"one\ntw\nfive\n"
    assert told[1:] == ['"a.log" is written again, 3 lines were lost']


def test_dev_full_is_a_full_disk(opened, told):
    opened(fd=os.open("/dev/full", os.O_WRONLY)).put(b"x\n")
    assert told == ['write() to "a.log" failed (28: No space left on device), lines are lost']


def test_a_socket_that_nobody_reads_does_not_wait(opened, told):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fill(opened(fd=os.dup(ours.fileno())), told)
        assert ours.getblocking()
    assert told == ['nobody reads "a.log" fast enough, lines are lost']


def test_standard_output_does_not_wait_and_is_left_as_it_is_for_others():
    reading, writing = os.pipe()
    fd = opening.anew(writing)
    assert os.get_blocking(writing)
    assert not os.get_blocking(fd)
    for one in (reading, writing, fd):
        os.close(one)


def test_standard_output_that_is_a_file_keeps_its_place(tmp_path):
    number = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    fd = opening.anew(number)
    os.write(number, b"first\n")
    os.write(fd, b"second\n")
    os.write(number, b"third\n")
    assert (tmp_path / "out").read_bytes() == b"first\nsecond\nthird\n"
    os.close(number)
    os.close(fd)

"""A learned table comes back out of its file whole, or not at all."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time

import pytest

from lab.waiting import wait_until
from tidegate.process.state_file import StateError, load, save
from tidegate.scoreboard.learned import Learned

HOUR = 3600
MANY = 400

# Saves without a pause until it is killed; the table is another one each time.
SAVER = """
import sys
from tidegate.process.state_file import save
from tidegate.scoreboard.learned import Learned
node = 0
print("begun", flush=True)
while True:
    node += 1
    table = Learned.create(65536)
    for number in range(int(sys.argv[2])):
        table.learn(b"client%d" % number, node, timeout=3600)
    save(sys.argv[1], table)
"""


def filled(many=MANY, node=7):
    table = Learned.create(65536)
    for number in range(many):
        table.learn(b"client%d" % number, node, timeout=HOUR)
    return table


def knows(table, many=MANY):
    return [table.find(b"client%d" % number, HOUR) for number in range(many)]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "clients.sticky")


@pytest.mark.parametrize("many", [0, 1, MANY])
def test_what_was_saved_is_loaded(path, many):
    save(path, filled(many))
    table = Learned.create(65536)
    assert load(path, table, timeout=HOUR) == many
    assert table.entries == many
    assert knows(table, many) == [7] * many


def test_the_file_is_nobody_elses(path):
    save(path, filled())
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(os.path.dirname(path)) == ["clients.sticky"]


def test_a_link_in_its_place_is_replaced_and_not_followed(path, tmp_path):
    other = tmp_path / "other"
    other.write_text("other")
    os.symlink(other, path)
    os.symlink(other, f"{path}.new")
    save(path, filled())
    assert other.read_text() == "other"
    assert not os.path.islink(path)


@pytest.mark.parametrize("words", [b"worker_processes 2;\n", b"x", b"tidetabe" + b"x" * 100])
def test_a_file_of_somebody_else_is_left_as_it_is(path, words):
    with open(path, "wb") as file:
        file.write(words)
    with pytest.raises(StateError, match="there is a file that is no table of tidegate"):
        save(path, filled())
    with open(path, "rb") as file:
        assert file.read() == words
    assert os.listdir(os.path.dirname(path)) == ["clients.sticky"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_left_as_it_is(path, make):
    make(path)
    before = os.lstat(path)
    with pytest.raises(StateError, match="it is no file"):
        save(path, filled())
    assert os.lstat(path).st_ino == before.st_ino


def test_a_table_that_was_damaged_makes_room_for_a_whole_one(path):
    for words in (b"", b"tide", b"tidetabl" + b"#" * 99):
        with open(path, "wb") as file:
            file.write(words)
        save(path, filled(9))
        assert load(path, Learned.create(65536), timeout=HOUR) == 9


def test_a_folder_that_cannot_be_synchronized_is_no_failure(path, monkeypatch):
    def of_a_file(fd, fsync=os.fsync):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", of_a_file)
    save(path, filled(9))
    assert load(path, Learned.create(65536), timeout=HOUR) == 9


def test_what_was_cut_short_is_not_used(path):
    save(path, filled(9))
    with open(path, "rb") as file:
        data = file.read()
    for size in range(len(data)):
        with open(path, "wb") as file:
            file.write(data[:size])
        table = Learned.create(65536)
        with pytest.raises(StateError, match="cut short"):
            load(path, table, timeout=HOUR)
        assert table.entries == 0


def test_what_was_changed_by_one_byte_is_not_used(path):
    save(path, filled(9))
    with open(path, "rb") as file:
        data = file.read()
    for at in range(len(data)):
        with open(path, "wb") as file:
            file.write(data[:at] + bytes([data[at] ^ random.randrange(1, 256)]) + data[at + 1 :])
        table = Learned.create(65536)
        with pytest.raises(StateError):
            load(path, table, timeout=HOUR)
        assert table.entries == 0


def test_what_was_added_to_is_not_used(path):
    save(path, filled(9))
    with open(path, "ab") as file:
        file.write(b"x" * 48)
    with pytest.raises(StateError, match="hash is wrong"):
        load(path, Learned.create(65536), timeout=HOUR)


def test_what_is_none_is_told(path, tmp_path):
    table = Learned.create(65536)
    with pytest.raises(FileNotFoundError):
        load(path, table, timeout=HOUR)
    with open(path, "wb") as file:
        file.write(b"#" * 100)
    with pytest.raises(StateError, match="no table of tidegate"):
        load(path, table, timeout=HOUR)
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    for none in (fifo, "/dev/zero", str(tmp_path)):
        with pytest.raises(StateError, match="it is no file"):
            load(none, table, timeout=HOUR)


def test_time_goes_on_while_nobody_runs(path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 100)
    save(path, filled())
    monkeypatch.undo()
    assert load(path, Learned.create(65536), timeout=90) == 0
    assert load(path, Learned.create(65536), timeout=200) == MANY
    # A clock that was set back since then makes nothing older, nor younger.
    monkeypatch.setattr(time, "time", lambda: now - 1000)
    assert load(path, Learned.create(65536), timeout=90) == MANY


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    save(path, filled(9))

    def full(_fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, filled(5))
    assert load(path, Learned.create(65536), timeout=HOUR) == 9
    assert os.listdir(os.path.dirname(path)) == ["clients.sticky"]


def test_who_saves_may_be_killed_at_any_moment(path):
    seen = set()
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, path, str(MANY)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            assert process.stdout.readline() == b"begun\n"
            wait_until(lambda: os.path.exists(path), "it has saved once")
            time.sleep(random.uniform(0, 0.05))  # the moment is to be any
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        table = Learned.create(65536)
        assert load(path, table, timeout=HOUR) == MANY
        found = set(knows(table))
        assert len(found) == 1
        seen |= found
    assert len(seen) > 1

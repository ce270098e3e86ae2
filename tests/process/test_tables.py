"""The master keeps tables by zone over configurations and in files; workers keep what they know."""

import os
import threading
import time

import pytest

from tidegate.config.model import Level, Sticky
from tidegate.process import tables as module
from tidegate.process.state_file import load, save
from tidegate.process.tables import PAUSE_SECONDS, Tables, attach
from tidegate.scoreboard.learned import Learned
from tidegate.variables.template import parse

HOUR = 3600


class Lines(list):
    """What was told."""

    def tell(self, level, message):
        self.append((level, message))


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def wanted(tmp_path):
    def make(zone="a", *, size=65536, timeout=HOUR, key="$remote_addr", state=None):
        return Sticky(
            lookup=(parse(key),),
            create=(parse(key),),
            zone=zone,
            size=size,
            timeout=timeout,
            state=state or str(tmp_path / f"{zone}.sticky"),
            refresh=True,
        )

    return make


def taken(tables):
    """What a worker gets: descriptors of its own."""
    return {zone: os.dup(fd) for zone, fd in tables.fds.items()}


def saved(path):
    table = Learned.create(65536)
    return load(path, table, timeout=HOUR)


def test_workers_share_what_the_master_made(wanted, lines):
    tables = Tables().followed_by([wanted("a"), wanted("b")], tell=lines.tell)
    ours, theirs = (attach(taken(tables), {}) for _ in range(2))
    ours["a"].learn(b"client", 1, timeout=HOUR)
    assert theirs["a"].find(b"client", HOUR) == 1
    assert theirs["b"].entries == 0
    assert lines == []


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"timeout": 60}, True),
        ({"key": "$remote_port"}, True),
        ({"state": "/elsewhere"}, True),
        ({"size": 32768}, False),
    ],
    ids=["nothing", "timeout", "key", "state", "size"],
)
def test_what_is_known_stays_over_configurations(wanted, lines, change, same):
    before = Tables().followed_by([wanted()], tell=lines.tell)
    known = attach(taken(before), {})
    known["a"].learn(b"client", 1, timeout=HOUR)
    after = before.followed_by([wanted(**change)], tell=lines.tell)
    (table,) = attach(taken(after), known).values()
    assert (table is known["a"]) is same
    assert table.find(b"client", HOUR) == 1
    assert after.followed_by([wanted("b")], tell=lines.tell).fds.keys() == {"b"}


def test_a_start_begins_with_the_file(wanted, lines):
    (first,) = Tables().followed_by([wanted()], tell=lines.tell)
    first.memory.learn(b"client", 1, timeout=HOUR)
    first.save()
    (second,) = Tables().followed_by([wanted()], tell=lines.tell)
    assert second.memory.find(b"client", HOUR) == 1
    path = first.sticky.state
    assert lines == [(Level.NOTICE, f'sticky zone "a" begins with 1 entries of "{path}"')]


def test_a_damaged_file_is_told_of_and_not_used(wanted, lines):
    path = wanted().state
    (first,) = Tables().followed_by([wanted()], tell=lines.tell)
    first.memory.learn(b"client", 1, timeout=HOUR)
    first.save()
    with open(path, "r+b") as file:
        file.truncate(70)
    (second,) = Tables().followed_by([wanted()], tell=lines.tell)
    assert second.memory.entries == 0
    why = "its hash is wrong: it was cut short or changed"
    assert lines == [(Level.ERROR, f'sticky zone "a" begins empty: "{path}" is not used, {why}')]


def test_nothing_is_written_where_nothing_has_changed(wanted, lines):
    (table,) = Tables().followed_by([wanted()], tell=lines.tell)
    later = time.monotonic() + PAUSE_SECONDS + 1
    assert not table.due(later)
    table.save()
    assert not os.path.exists(table.sticky.state)
    table.memory.learn(b"client", 1, timeout=HOUR)
    assert table.due(later)
    assert not table.due(time.monotonic())
    table.save()
    assert saved(table.sticky.state) == 1
    assert not table.due(later)


def test_another_file_is_written_soon(wanted, lines, tmp_path):
    before = Tables().followed_by([wanted()], tell=lines.tell)
    state = str(tmp_path / "elsewhere")
    (table,) = before.followed_by([wanted(state=state)], tell=lines.tell)
    assert table.due(time.monotonic() + PAUSE_SECONDS + 1)
    table.save()
    assert saved(state) == 0


def test_what_is_too_old_is_not_kept(wanted, lines):
    (table,) = Tables().followed_by([wanted()], tell=lines.tell)
    table.memory.fill(_record(table, b"old"), elapsed=100, timeout=HOUR)
    table.memory.learn(b"new", 1, timeout=HOUR)
    (table,) = Tables().followed_by([wanted("b", timeout=90)], tell=lines.tell)
    table.memory.fill(_record(table, b"old"), elapsed=100, timeout=HOUR)
    table.memory.learn(b"new", 1, timeout=HOUR)
    table.save()
    assert table.memory.entries == 1
    assert saved(table.sticky.state) == 1


def _record(table, key):
    other = Learned.create(table.memory.size)
    other.learn(key, 1, timeout=HOUR)
    return other.part(1)[0]


def test_a_disk_that_takes_nothing_is_told_of_once(wanted, lines, tmp_path):
    state = str(tmp_path / "folder" / "a.sticky")
    (table,) = Tables().followed_by([wanted(state=state)], tell=lines.tell)
    for number in range(3):
        table.memory.learn(b"client%d" % number, 1, timeout=HOUR)
        table.save()
    why = "(2: No such file or directory)"
    assert lines == [(Level.ERROR, f'sticky zone "a" is not saved to "{state}" {why}')]
    os.mkdir(tmp_path / "folder")
    table.save()
    assert lines[1:] == [(Level.NOTICE, f'sticky zone "a" is saved to "{state}" again')]
    assert saved(state) == 3


def test_a_file_may_hold_more_than_there_is_room_for(wanted, lines):
    large = Learned.create(1 << 20)
    for number in range(5000):
        large.learn(b"client%d" % number, 1, timeout=HOUR)
    save(wanted().state, large)
    (table,) = Tables().followed_by([wanted()], tell=lines.tell)
    assert table.memory.entries == table.memory.cells


def test_another_size_keeps_a_large_table(wanted, lines):
    before = Tables().followed_by([wanted(size=1 << 20)], tell=lines.tell)
    (known,) = before
    for number in range(9000):
        known.memory.learn(b"client%d" % number, number + 1, timeout=HOUR)
    (table,) = before.followed_by([wanted(size=2 << 20)], tell=lines.tell)
    assert table.memory.entries == 9000
    assert all(
        table.memory.find(b"client%d" % number, HOUR) == number + 1 for number in range(9000)
    )


def test_what_leaves_the_configuration_is_saved_for_who_comes_next(wanted, lines, tmp_path):
    state = str(tmp_path / "clients")
    before = Tables().followed_by([wanted("a", state=state)], tell=lines.tell)
    (known,) = before
    known.memory.learn(b"client", 1, timeout=HOUR)
    (table,) = before.followed_by([wanted("b", state=state)], tell=lines.tell)
    assert table.memory.find(b"client", HOUR) == 1
    # Gone again, and here once more.
    nothing = Tables().followed_by([], tell=lines.tell)
    (table,) = nothing.followed_by([wanted("a", state=state)], tell=lines.tell)
    assert table.memory.find(b"client", HOUR) == 1


def test_a_file_of_somebody_else_costs_one_line(wanted, lines, tmp_path):
    state = tmp_path / "tidegate.conf"
    state.write_text("worker_processes 2;")
    (table,) = Tables().followed_by([wanted(state=str(state))], tell=lines.tell)
    for number in range(3):
        table.memory.learn(b"client%d" % number, 1, timeout=HOUR)
        table.save()
    assert state.read_text() == "worker_processes 2;"
    zone, mine = 'sticky zone "a"', "no table of tidegate"
    assert lines == [
        (Level.ERROR, f'{zone} begins empty: "{state}" is not used, it is {mine}'),
        (Level.ERROR, f'{zone} is not saved to "{state}", there is a file that is {mine}'),
    ]


def test_a_want_of_memory_is_called_so(wanted, lines, monkeypatch):
    def none(*_what, **_how):
        raise MemoryError

    monkeypatch.setattr(module, "load", none)
    monkeypatch.setattr(module, "save", none)
    (table,) = Tables().followed_by([wanted()], tell=lines.tell)
    table.memory.learn(b"client", 1, timeout=HOUR)
    table.save()
    path, why = table.sticky.state, "there is no memory for it"
    assert lines == [
        (Level.ERROR, f'sticky zone "a" begins empty: "{path}" is not used, {why}'),
        (Level.ERROR, f'sticky zone "a" is not saved to "{path}", {why}'),
    ]


def test_a_disk_that_hangs_holds_up_the_end_for_a_while_only(wanted, lines, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(module, "END_SECONDS", 0.05)
    monkeypatch.setattr(os, "fsync", lambda _fd: goes_on.wait())
    (table,) = Tables().followed_by([wanted()], tell=lines.tell)
    table.memory.learn(b"client", 1, timeout=HOUR)
    table.save_last()
    path = table.sticky.state
    why = "the disk has not taken it within 0 s"
    assert lines == [(Level.ERROR, f'sticky zone "a" is not saved to "{path}", {why}')]
    goes_on.set()
    table.save()  # waits until the first has ended
    assert saved(path) == 1


def test_attaching_closes_what_it_was_given(wanted, lines):
    tables = Tables().followed_by([wanted()], tell=lines.tell)
    fds = taken(tables)
    attach(fds, {})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds["a"])
    os.fstat(tables.fds["a"])

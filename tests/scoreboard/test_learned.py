"""Which client belongs to which node is known to all processes, whatever happens to one of them."""

from __future__ import annotations

import fcntl
import json
import os
import random
from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.waiting import wait_until
from tidegate.scoreboard.learned import (
    LARGEST,
    LONGEST,
    NOT_ASKED,
    RECORD,
    UNKNOWN,
    Learned,
    stored,
)

SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
PTRACE_REFUSED = 77
HOUR = 3600


@pytest.fixture
def table():
    return Learned.create(32768)


def records_of(table):
    records, entry = b"", 1
    while entry:
        piece, entry = table.part(entry)
        records += piece
    return records


def test_what_one_worker_learns_another_finds(table):
    one, two = Learned.attach(table.fd), Learned.attach(table.fd)
    assert one.learn(b"client", 2**64 - 1, timeout=HOUR)
    assert two.find(b"client", HOUR) == 2**64 - 1
    assert two.find(b"other", HOUR) == UNKNOWN
    assert (table.entries, two.entries) == (1, 1)


def test_what_was_learned_last_counts(table):
    for node in (1, 2**40, 3):
        table.learn(b"client", node, timeout=HOUR)
    assert table.find(b"client", HOUR) == 3
    assert table.entries == 1


def test_the_oldest_makes_room(table):
    keys = [b"client%d" % number for number in range(table.cells + 1)]
    for key in keys[:-1]:
        table.learn(key, 1, timeout=HOUR)
    assert (table.entries, table.dropped) == (table.cells, 0)
    # Who comes again is not the oldest any more.
    table.learn(keys[0], 1, timeout=HOUR)
    table.touch(keys[1], 1)
    table.learn(keys[-1], 1, timeout=HOUR)
    gone = [key for key in keys if not table.find(key, HOUR)]
    assert gone == [keys[2]]
    assert (table.entries, table.dropped) == (table.cells, 1)


def test_a_megabyte_has_room_for_sixteen_thousand_clients():
    assert 16_000 < Learned.create(1 << 20).cells < 16_400


def test_the_time_of_an_entry_ends(table):
    table.learn(b"client", 1, timeout=HOUR)
    assert table.find(b"client", 0) == UNKNOWN
    wait_until(lambda: not table.find(b"client", 1), "its second is over")
    assert table.find(b"client", HOUR) == 1
    table.touch(b"client", 1)
    assert table.find(b"client", 1) == 1


def test_a_time_that_is_not_to_begin_anew_ends_all_the_same(table):
    table.learn(b"client", 1, timeout=HOUR)
    wait_until(
        lambda: (
            table.learn(b"client", 1, timeout=HOUR, refresh=False) and not table.find(b"client", 1)
        ),
        "its second is over",
    )
    # One that has had its time is learned anew.
    table.learn(b"client", 1, timeout=1, refresh=False)
    assert table.find(b"client", 1) == 1


def test_what_has_had_its_time_goes_as_others_come(table):
    for number in range(9):
        table.learn(b"old%d" % number, 1, timeout=HOUR)
    wait_until(lambda: not table.find(b"old8", 1), "they are too old")
    for number in range(5):
        table.learn(b"new%d" % number, 1, timeout=1)
    assert table.entries == 5
    table.sweep(HOUR)
    assert table.entries == 5
    table.sweep(0)
    assert table.entries == 0


def test_touching_changes_no_node_and_makes_no_entry(table):
    table.learn(b"client", 1, timeout=HOUR)
    assert table.touch(b"client", 2)
    assert table.touch(b"other", 2)
    assert (table.find(b"client", HOUR), table.find(b"other", HOUR)) == (1, UNKNOWN)


def test_an_entry_that_others_took_the_room_of_can_be_made_again(table):
    assert table.touch(b"client", 1, again=True)
    assert table.find(b"client", HOUR) == 1
    # Only one that is gone: a client that is elsewhere by now stays there.
    assert table.touch(b"client", 2, again=True)
    assert table.find(b"client", HOUR) == 1
    for number in range(table.cells):
        table.learn(b"other%d" % number, 1, timeout=HOUR)
    assert table.find(b"client", HOUR) == UNKNOWN
    table.touch(b"client", 1, again=True)
    assert table.find(b"client", HOUR) == 1
    assert (table.entries, table.dropped) == (table.cells, 2)


@pytest.mark.parametrize("size", [1, LONGEST, LONGEST + 1, 65535])
def test_of_a_key_so_much_is_kept_as_is_stored(table, size):
    key = b"k" * size
    assert len(stored(key)) <= LONGEST + 1
    table.touch(stored(key), 3, again=True, as_stored=True)
    assert table.find(key, HOUR) == 3
    table.learn(key, 4, timeout=HOUR)
    assert table.entries == 1
    with pytest.raises(ValueError, match="no stored key has 29 bytes"):
        table.touch(b"k" * 29, 1, as_stored=True)


def test_long_keys_are_told_from_each_other(table):
    sizes = [LONGEST - 1, LONGEST, LONGEST + 1, LONGEST + 2, 1000, 65535]
    keys = [letter * size for letter in (b"a", b"b") for size in sizes]
    for node, key in enumerate(keys, start=1):
        table.learn(key, node, timeout=HOUR)
    assert [table.find(key, HOUR) for key in keys] == [*range(1, len(keys) + 1)]
    assert max(map(len, table.order())) == LONGEST + 1


def test_nobody_can_name_the_hash_of_a_long_key(table):
    table.learn(b"x" * 100, 1, timeout=HOUR)
    (kept,) = table.order()
    assert kept == stored(b"x" * 100)
    assert table.find(kept, HOUR) == UNKNOWN


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["learn", "touch", "find"]), st.integers(0, 70), st.integers(1, 3)),
    max_size=300,
)


@settings(deadline=None)
@given(OPERATIONS)
def test_it_is_a_dictionary_whose_oldest_entry_goes(operations):
    table = Learned.create(4096)
    known = OrderedDict()
    for what, which, node in operations:
        key = b"%d" % which * (1 + which % 9)
        if what == "learn":
            if key not in known and len(known) == table.cells:
                known.popitem(last=False)
            known[key] = node
            known.move_to_end(key)
            assert table.learn(key, node, timeout=HOUR)
        elif what == "touch":
            assert table.touch(key, node)
            if known.get(key) == node:
                known.move_to_end(key)
        assert table.find(key, HOUR) == known.get(key, UNKNOWN)
    assert table.order() == [*known][::-1]
    assert table.entries == len(known)


@pytest.mark.parametrize("many", [0, 3, 400])
def test_what_it_knows_can_be_put_into_another(table, many):
    for number in range(many):
        table.learn(b"client%d" % number, number + 1, timeout=HOUR)
    other = Learned.create(65536)
    records = records_of(table)
    assert len(records) == many * RECORD
    assert other.fill(records, elapsed=0, timeout=HOUR) == many
    assert other.entries == many
    for number in range(many):
        assert other.find(b"client%d" % number, HOUR) == number + 1
    assert sorted(other.order()) == sorted(table.order())


def test_a_smaller_one_gets_the_newest(table):
    small = Learned.create(4096)
    for number in range(200):
        table.learn(b"old%d" % number, 1, timeout=HOUR)
    wait_until(lambda: not table.find(b"old199", 1), "they are a second old")
    for number in range(small.cells):
        table.learn(b"new%d" % number, 1, timeout=HOUR)
    assert small.fill(records_of(table), elapsed=0, timeout=HOUR) == small.cells
    assert small.entries == small.cells
    assert all(key.startswith(b"new") for key in small.order())


def test_ages_go_on_outside(table):
    table.learn(b"client", 1, timeout=HOUR)
    records = records_of(table)
    other = Learned.create(32768)
    assert other.fill(records, elapsed=HOUR, timeout=HOUR) == 0
    assert other.fill(records, elapsed=HOUR - 60, timeout=HOUR) == 1
    assert other.find(b"client", HOUR) == 1
    assert other.find(b"client", HOUR - 60) == UNKNOWN
    assert other.fill(records, elapsed=2**63, timeout=HOUR) == 0


@pytest.mark.parametrize(
    "records", [b"x", bytes(RECORD), b"\xff" * RECORD, b"\x01" * (RECORD - 1), bytes(RECORD + 1)]
)
def test_what_are_no_records_is_not_taken(table, records):
    with pytest.raises(ValueError, match="record"):
        table.fill(records, elapsed=0, timeout=HOUR)
    assert table.entries == 0


def test_changes_show(table):
    seen = {table.changes}
    table.learn(b"client", 1, timeout=HOUR)
    seen.add(table.changes)
    table.touch(b"client", 1)
    seen.add(table.changes)
    table.sweep(0)
    seen.add(table.changes)
    assert len(seen) == 4
    table.find(b"client", HOUR)
    table.touch(b"client", 1)
    assert table.changes in seen


@pytest.mark.parametrize(
    "action", ["first", "full", "again", "moves", "touch", "old", "sweep", "find"]
)
def test_a_worker_may_be_killed_at_any_instruction(start, action):
    # A part of the instructions, and another part the next time.
    stride = 41 if action == "sweep" else 13
    process = start("kill_in_a_table.py", action, stride, random.randrange(stride))
    output, _ = process.communicate()
    if process.returncode == PTRACE_REFUSED:
        pytest.skip("this system lets nobody trace a process")
    counted = json.loads(output)
    assert counted["problems"] == []
    assert counted["deaths"] > 5


def test_behind_a_process_that_does_not_run_nothing_is_learned_or_found(table, start):
    assert table.learn(b"client", 1, timeout=HOUR)
    holder = start("hold_table.py", table.fd, fds=(table.fd,))
    assert holder.stdout.readline() == "held\n"
    assert table.find(b"client", HOUR) == NOT_ASKED
    assert table.learn(b"other", 1, timeout=HOUR) is False
    assert table.touch(b"client", 1) is False
    with pytest.raises(TimeoutError, match="lock of the table"):
        table.part(1)
    holder.kill()
    holder.wait()
    assert table.find(b"client", HOUR) == 1
    assert table.deaths == 1


def test_a_table_takes_memory_only_for_what_is_used():
    table = Learned.create(64 << 20)
    table.learn(b"client", 1, timeout=HOUR)
    assert os.fstat(table.fd).st_blocks * 512 <= 4 * 4096


@pytest.mark.parametrize("content", [b"", b"tidelarn", bytes(8192), b"\xff" * 8192])
def test_a_memory_of_something_else_is_no_table(content):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    with pytest.raises(ValueError, match="is no table"):
        Learned.attach(fd)
    os.close(fd)


def test_a_table_is_created_or_attached_and_nothing_else():
    with pytest.raises(TypeError, match=r"Learned\.create"):
        Learned()
    for size in (100, LARGEST + 1):
        with pytest.raises(ValueError, match=f"no table of {size} bytes"):
            Learned.create(size)


def test_a_table_knows_its_own_memory(table):
    assert Learned.attach(table.fd).is_behind(table.fd)
    assert not table.is_behind(Learned.create(8192).fd)


def test_an_entry_has_a_key_and_a_node(table):
    with pytest.raises(ValueError, match="no bytes"):
        table.learn(b"", 1, timeout=HOUR)
    with pytest.raises(ValueError, match="nodes count from 1"):
        table.learn(b"client", 0, timeout=HOUR)

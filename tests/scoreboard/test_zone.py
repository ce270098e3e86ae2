"""Connections counted by key: exact over all processes, whatever happens to one of them."""

from __future__ import annotations

import fcntl
import json
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.scoreboard.zone import AT_LIMIT, LONGEST, MOST_COUNTED, NO_ROOM, NOT_ASKED, Zone

SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
PTRACE_REFUSED = 77


@pytest.fixture
def zone():
    return Zone.create(8192)


def workers(zone, count):
    return [Zone.attach(zone.fd, worker=number) for number in range(count)]


def fill(zone):
    """Take keys of 8 bytes until there is no room; gives the entries."""
    entries = []
    while (entry := zone.take(len(entries).to_bytes(8, "big"), 1)) != NO_ROOM:
        entries.append(entry)
    return entries


def test_a_key_has_as_many_as_its_limit_over_all_workers(zone):
    one, two = workers(zone, 2)
    entries = [one.take(b"key", 3), two.take(b"key", 3), one.take(b"key", 3)]
    assert len(set(entries)) == 1
    assert [one.take(b"key", 3), two.take(b"key", 3)] == [AT_LIMIT] * 2
    assert one.take(b"other", 3) > 0
    assert two.give_back(entries[1])
    assert two.take(b"key", 3) == entries[0]
    assert zone.count(b"key") == 3


def test_a_key_without_connections_takes_no_room(zone):
    (one,) = workers(zone, 1)
    for key in (b"a", b"b" * LONGEST):
        entry = one.take(key, 1)
        assert zone.keys == 1
        one.give_back(entry)
        assert (zone.keys, zone.used, zone.count(key)) == (0, 0, 0)


def test_a_worker_cannot_give_back_what_it_does_not_hold(zone):
    one, two = workers(zone, 2)
    entry = one.take(b"key", 5)
    one.take(b"k" * 200, 5)
    for wrong in (entry, 0, -1, zone.used + 1, 1 << 30, *range(2, zone.used + 1)):
        with pytest.raises(ValueError, match="given back more often than taken"):
            two.give_back(wrong)
    one.give_back(entry)
    with pytest.raises(ValueError, match="given back more often than taken"):
        one.give_back(entry)


def test_a_full_zone_takes_no_more_keys_but_counts_those_that_it_has(zone):
    one, two = workers(zone, 2)
    entries = fill(one)
    assert len(entries) == zone.cells == zone.used
    assert two.take((3).to_bytes(8, "big"), 2) == entries[3]
    one.give_back(entries.pop())
    assert one.take(b"long" * 20, 1) == NO_ROOM
    assert one.take(b"new", 1) > 0


@pytest.mark.parametrize("size", [8 * 4096, 1 << 20])
def test_a_zone_holds_as_many_addresses_as_the_documentation_of_nginx_says(size):
    """About 16 thousand states of 64 bytes in a megabyte."""
    zone = Zone.create(size)
    (one,) = workers(zone, 1)
    assert len(fill(one)) > 0.97 * size / 64


def test_a_short_key_has_room_for_eleven_workers_in_one_cell(zone):
    for number, worker in enumerate(workers(zone, 12)):
        assert worker.take(b"addr", 100) > 0
        assert zone.used == (1 if number < 11 else 2)
    assert zone.count(b"addr") == 12


def test_workers_that_come_and_go_do_not_make_a_key_grow(zone):
    first, *others = workers(zone, 60)
    kept = first.take(b"addr", 100)
    for worker in others:
        worker.give_back(worker.take(b"addr", 100))
    assert zone.used == 1
    first.give_back(kept)
    assert zone.used == 0


@pytest.mark.parametrize("key", [b"", b"x" * (LONGEST + 1)])
def test_a_key_of_another_length_is_refused(zone, key):
    (one,) = workers(zone, 1)
    with pytest.raises(ValueError, match="expected 1 to 255"):
        one.take(key, 1)


@pytest.mark.parametrize("most", [0, -1, MOST_COUNTED + 1])
def test_a_limit_that_cannot_be_counted_is_refused(zone, most):
    (one,) = workers(zone, 1)
    with pytest.raises(ValueError, match="expected 1 to 65535"):
        one.take(b"key", most)


def test_the_highest_limit_is_counted(zone):
    one, two = workers(zone, 2)
    for _ in range(MOST_COUNTED - 1):
        one.take(b"key", MOST_COUNTED)
    assert two.take(b"key", MOST_COUNTED) > 0
    assert one.take(b"key", MOST_COUNTED) == AT_LIMIT
    assert zone.count(b"key") == MOST_COUNTED


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 30), st.integers(1, 4)),
    max_size=200,
)


@settings(deadline=None)
@given(OPERATIONS, st.lists(st.binary(min_size=1, max_size=LONGEST), min_size=31, max_size=31))
def test_a_zone_counts_as_a_dictionary_would(operations, keys):
    zone = Zone.create(8192)
    crowd = workers(zone, 3)
    held = [[], [], []]
    counts = {}
    for worker, leaves, which, most in operations:
        if leaves and held[worker]:
            key, entry = held[worker].pop(which % len(held[worker]))
            crowd[worker].give_back(entry)
            counts[key] -= 1
            continue
        key = keys[which]
        entry = crowd[worker].take(key, most)
        if counts.get(key, 0) >= most:
            assert entry == AT_LIMIT
        elif entry != NO_ROOM:
            held[worker].append((key, entry))
            counts[key] = counts.get(key, 0) + 1
        else:
            assert zone.cells - zone.used < 6
    assert {key: zone.count(key) for key in counts} == counts
    assert zone.keys == sum(count > 0 for count in counts.values())
    zone.forget_worker(0)
    for key, _entry in held[0]:
        counts[key] -= 1
    assert {key: zone.count(key) for key in counts} == counts
    for worker in (1, 2):
        for _key, entry in held[worker]:
            crowd[worker].give_back(entry)
    assert (zone.keys, zone.used) == (0, 0)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_processes_at_the_same_time_get_exactly_the_limit(zone, start, count):
    limit = 100
    crowd = [
        start("count_in_zone.py", zone.fd, number, limit, 3001, fds=(zone.fd,))
        for number in range(count)
    ]
    for one in crowd:
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        one.stdin.write("go\n")
        one.stdin.flush()
    got = [int(one.stdout.readline()) for one in crowd]
    # The last to end takes all that is left.
    assert sum(got) == zone.count(b"key") == limit
    for one in crowd:
        one.communicate("\n")
    assert (zone.keys, zone.used, zone.deaths) == (0, 0, 0)


def test_workers_killed_at_random_leave_nothing_behind(start):
    output, _ = start("kill_counters.py").communicate()
    seen = json.loads(output)
    assert (seen["keys"], seen["used"]) == (0, 0)
    assert seen["most"] == 7
    assert seen["deaths"] > 0


@pytest.mark.parametrize("action", ["first", "long", "more", "grow", "less", "last", "forget"])
def test_a_worker_may_be_killed_at_any_instruction(start, action):
    # A part of the instructions, and another part the next time.
    stride = 15 if action == "long" else 5
    process = start("kill_in_a_zone.py", action, stride, random.randrange(stride))
    output, _ = process.communicate()
    if process.returncode == PTRACE_REFUSED:
        pytest.skip("this system lets nobody trace a process")
    counted = json.loads(output)
    assert counted["problems"] == []
    assert counted["deaths"] > 20


def test_a_sweep_forgets_a_worker_among_thousands_of_keys():
    zone = Zone.create(1 << 20)
    one, two = workers(zone, 2)
    for number in range(5000):
        one.take(number.to_bytes(4, "big"), 2)
        if number % 3 == 0:
            two.take(number.to_bytes(4, "big"), 2)
    assert zone.forget_worker(0)
    assert zone.keys == len(range(0, 5000, 3))
    assert zone.count((3).to_bytes(4, "big")) == 1
    assert zone.count((4).to_bytes(4, "big")) == 0


def test_a_zone_takes_memory_only_for_what_is_used():
    zone = Zone.create(64 << 20)
    (one,) = workers(zone, 1)
    one.take(b"key", 1)
    zone.forget_worker(0)
    assert os.fstat(zone.fd).st_blocks * 512 <= 4 * 4096


def test_behind_a_process_that_does_not_run_nobody_is_counted(zone, start):
    (one,) = workers(zone, 1)
    entry = one.take(b"key", 5)
    holder = start("hold_zone.py", zone.fd, fds=(zone.fd,))
    assert holder.stdout.readline() == "held\n"
    assert one.take(b"key", 5) == NOT_ASKED
    assert one.give_back(entry) is False
    holder.kill()
    holder.wait()
    assert one.take(b"key", 5) == entry
    assert one.give_back(entry)
    assert zone.deaths == 1


def test_a_lock_that_an_heir_gave_back_unmended_is_made_anew(zone, start):
    (one,) = workers(zone, 1)
    entry = one.take(b"key", 5)
    first = start("hold_zone.py", zone.fd, fds=(zone.fd,))
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    heir = start("hold_zone.py", zone.fd, fds=(zone.fd,))
    assert heir.stdout.readline() == "EOWNERDEAD\n"
    heir.stdin.write("let go\n")
    heir.stdin.flush()
    assert heir.stdout.readline() == "0\n"
    third = start("hold_zone.py", zone.fd, fds=(zone.fd,))
    assert third.stdout.readline() == "ENOTRECOVERABLE\n"
    assert one.take(b"key", 5) == entry
    assert zone.count(b"key") == 2
    last = start("hold_zone.py", zone.fd, fds=(zone.fd,))
    assert last.stdout.readline() == "held\n"


def test_the_memory_can_be_neither_cut_nor_grown(zone):
    for size in (0, 4096, 16384):
        with pytest.raises(PermissionError):
            os.ftruncate(zone.fd, size)


def test_a_zone_is_created_or_attached_and_nothing_else():
    with pytest.raises(TypeError, match=r"Zone\.create"):
        Zone()
    with pytest.raises(ValueError, match="no zone of 100 bytes"):
        Zone.create(100)


def test_only_a_worker_counts(zone):
    with pytest.raises(ValueError, match="only a worker counts"):
        zone.take(b"key", 1)
    with pytest.raises(ValueError, match="no worker -1"):
        Zone.attach(zone.fd, worker=-1)


@pytest.mark.parametrize("content", [b"", b"idezone", bytes(8192), b"\xff" * 8192])
def test_a_memory_of_something_else_is_no_zone(content):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    with pytest.raises(ValueError, match="is no zone"):
        Zone.attach(fd, worker=0)
    os.close(fd)


def test_an_unsealed_memory_is_no_zone():
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 1 << 16)
    with pytest.raises(ValueError, match="is no zone: 65536 bytes, seals 0x0"):
        Zone.attach(fd, worker=0)
    os.close(fd)


def test_a_zone_knows_its_own_memory(zone):
    (one,) = workers(zone, 1)
    assert one.is_behind(zone.fd)
    assert not one.is_behind(Zone.create(8192).fd)

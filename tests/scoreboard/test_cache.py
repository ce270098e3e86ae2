"""Bytes kept by key for a while by all processes as one, whatever happens to one of them."""

from __future__ import annotations

import fcntl
import json
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.waiting import wait_until
from tidegate.scoreboard.cache import LONGEST, Cache

SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
PTRACE_REFUSED = 77


@pytest.fixture
def cache():
    return Cache.create(32768)


def test_what_one_worker_keeps_another_finds(cache):
    one, two = Cache.attach(cache.fd), Cache.attach(cache.fd)
    assert one.keep(b"key", b"data" * 100, seconds=100)
    assert two.find(b"key") == b"data" * 100
    assert two.find(b"other") is None
    assert two.find(b"") is None


def test_what_was_kept_last_counts(cache):
    for number in range(3):
        cache.keep(b"key", b"%d" % number, seconds=100)
    assert cache.find(b"key") == b"2"


def test_what_was_forgotten_is_not_found_any_more(cache):
    for key in (b"a", b"b", b"a"):
        cache.keep(key, b"data", seconds=100)
    cache.forget(b"a")
    cache.forget(b"c")
    assert (cache.find(b"a"), cache.find(b"b")) == (None, b"data")
    cache.keep(b"a", b"again", seconds=100)
    assert cache.find(b"a") == b"again"


def test_its_time_ends(cache):
    cache.keep(b"long", b"data", seconds=100)
    cache.keep(b"short", b"data", seconds=1)
    assert cache.find(b"short") == b"data"
    cache.keep(b"never", b"data", seconds=0)
    assert cache.find(b"never") is None
    wait_until(lambda: cache.find(b"short") is None, "its second is over")
    assert cache.find(b"long") == b"data"


def test_the_oldest_make_room(cache):
    number = 0
    while number == 0 or cache.find(b"0"):
        assert cache.keep(b"%d" % number, b"x" * 150, seconds=100)
        number += 1
    # About four thousand sessions in a megabyte, as nginx says of its own.
    assert number - 1 > 32768 / 256
    found = [cache.find(b"%d" % one) is not None for one in range(number)]
    assert found == [False] + [True] * (number - 1)


@pytest.mark.parametrize("size", [16000, 100_000])
def test_what_is_too_large_is_not_kept(cache, size):
    cache.keep(b"key", b"data", seconds=100)
    assert not cache.keep(b"large", bytes(size), seconds=100)
    assert not cache.keep(b"k" * (LONGEST + 1), b"data", seconds=100)
    assert not cache.keep(b"", b"data", seconds=100)
    assert cache.find(b"key") == b"data"


OPERATIONS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 1500)), max_size=200
)


@settings(deadline=None)
@given(OPERATIONS, st.lists(st.binary(min_size=1, max_size=64), min_size=21, max_size=21))
def test_what_is_found_is_what_was_kept_last(operations, keys):
    cache = Cache.create(8192)
    known = {}
    for what, which, size in operations:
        key = keys[which]
        if what == 0:
            cache.forget(key)
            known.pop(key, None)
            continue
        data = bytes([which]) * size
        assert cache.keep(key, data, seconds=100)
        known[key] = data
        assert cache.find(key) == data
    for key in keys:
        assert cache.find(key) in (known.get(key), None)


@pytest.mark.parametrize("action", ["keep", "full", "again", "wrap", "forget", "find"])
def test_a_worker_may_be_killed_at_any_instruction(start, action):
    # A part of the instructions, and another part the next time.
    stride = 5
    process = start("kill_in_a_cache.py", action, stride, random.randrange(stride))
    output, _ = process.communicate()
    if process.returncode == PTRACE_REFUSED:
        pytest.skip("this system lets nobody trace a process")
    counted = json.loads(output)
    assert counted["problems"] == []
    assert counted["deaths"] > 10


def test_behind_a_process_that_does_not_run_nothing_is_kept_or_found(cache, start):
    assert cache.keep(b"key", b"data", seconds=100)
    holder = start("hold_cache.py", cache.fd, fds=(cache.fd,))
    assert holder.stdout.readline() == "held\n"
    assert cache.find(b"key") is None
    assert cache.keep(b"other", b"data", seconds=100) is False
    holder.kill()
    holder.wait()
    assert cache.find(b"key") == b"data"
    assert cache.keep(b"other", b"data", seconds=100)
    assert cache.deaths == 1


def test_a_cache_takes_memory_only_for_what_is_used():
    cache = Cache.create(64 << 20)
    cache.keep(b"key", b"data", seconds=100)
    assert os.fstat(cache.fd).st_blocks * 512 <= 4 * 4096


def test_the_mapping_lives_as_long_as_it_is_used():
    cache = Cache.create(8192)
    attached = Cache.attach(cache.fd)
    cache.keep(b"key", b"data", seconds=100)
    del cache
    assert attached.find(b"key") == b"data"


@pytest.mark.parametrize("content", [b"", b"tidecach", bytes(8192), b"\xff" * 8192])
def test_a_memory_of_something_else_is_no_cache(content):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    with pytest.raises(ValueError, match="is no cache"):
        Cache.attach(fd)
    os.close(fd)


def test_a_cache_is_created_or_attached_and_nothing_else():
    with pytest.raises(TypeError, match=r"Cache\.create"):
        Cache()
    with pytest.raises(ValueError, match="no cache of 100 bytes"):
        Cache.create(100)


def test_a_cache_knows_its_own_memory(cache):
    assert Cache.attach(cache.fd).is_behind(cache.fd)
    assert not cache.is_behind(Cache.create(8192).fd)

"""The master keeps zones by name over configurations; workers keep those that they know."""

import os

import pytest

from tidegate.config.model import LimitConnZone
from tidegate.config.span import Span
from tidegate.process.zones import Zones, attach
from tidegate.variables.template import parse


def wanted(name, *, size=65536, key="$remote_addr", line=1):
    span = Span(file="x", line=line, column=1)
    return LimitConnZone(name=name, size=size, key=parse(key), span=span)


def taken(zones):
    """What a worker gets: descriptors of its own."""
    return {name: os.dup(fd) for name, fd in zones.fds.items()}


def test_a_worker_counts_in_what_the_master_made():
    zones = Zones().followed_by([wanted("a"), wanted("b")])
    ours = attach(taken(zones), {}, worker=3)
    theirs = attach(taken(zones), {}, worker=4)
    ours["a"].take(b"key", 5)
    theirs["a"].take(b"key", 5)
    assert (ours["a"].count(b"key"), ours["b"].count(b"key")) == (2, 0)
    assert zones.forget_worker(3) == []
    assert theirs["a"].count(b"key") == 1


@pytest.mark.parametrize(
    ("next_one", "stays"),
    [
        (wanted("a", line=9), True),
        (wanted("a", size=131072), False),
        (wanted("a", key="$remote_port"), False),
        (wanted("b"), False),
    ],
    ids=["same", "size", "key", "name"],
)
def test_a_zone_stays_where_name_size_and_key_do(next_one, stays):
    zones = Zones().followed_by([wanted("a")])
    known = attach(taken(zones), {}, worker=0)
    known["a"].take(b"key", 5)
    after = zones.followed_by([next_one])
    (zone,) = attach(taken(after), known, worker=0).values()
    assert (zone is known["a"]) is stays
    assert zone.count(b"key") == stays


def test_attaching_closes_what_it_was_given():
    zones = Zones().followed_by([wanted("a")])
    fds = taken(zones)
    attach(fds, {}, worker=0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds["a"])
    os.fstat(zones.fds["a"])

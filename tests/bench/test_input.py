"""Packets are found whatever the pieces are in which they arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.bench.input import packets
from tidegate.bench.packets import publish_head

PINGRESP = b"\xd0\x00"
CONNACK_5 = b"\x20\x03\x00\x87\x00"
PUBACK = b"\x40\x02\x12\x34"
LONG = publish_head("a/topic", version="5", qos=1, size=20_000) + b"p" * 20_000
EMPTY = publish_head("t", version="3.1.1", qos=2, size=0)

STREAM = PINGRESP + CONNACK_5 + LONG + PUBACK + EMPTY + PINGRESP
FOUND = [
    (0xD0, 0, b"", 0, 0),
    (0x20, 3, b"\x00\x87\x00", 0, 0),
    (0x32, 20_012, b"\x00\x07a/", ord("p"), 1),
    (0x40, 2, b"\x12\x34", 0x34, 0),
    (0x34, 5, b"\x00\x01t\x00", 1, 1),
    (0xD0, 0, b"", 0, 0),
]


def test_in_one_piece():
    assert packets([STREAM]) == FOUND


def test_byte_by_byte():
    assert packets(STREAM[at : at + 1] for at in range(len(STREAM))) == FOUND


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_in_any_pieces(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    assert packets(STREAM[a:b] for a, b in pairwise(edges)) == FOUND


@pytest.mark.parametrize("end", [*range(30), len(STREAM) - 1])
def test_of_a_prefix_only_whole_packets_count(end):
    found = packets([STREAM[:end]])
    assert found == FOUND[: len(found)]
    assert len(found) < len(FOUND)


def test_a_length_of_five_digits_is_malformed():
    with pytest.raises(ValueError, match="malformed"):
        packets([b"\x30\xff\xff", b"\xff\xff\x01"])


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_garbage_is_split_or_called_malformed(pieces):
    try:
        found = packets(pieces)
    except ValueError:
        return
    assert sum(size for _, size, *_ in found) <= sum(map(len, pieces))

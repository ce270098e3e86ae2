"""The Server Keep Alive is found among whatever properties a CONNACK has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.bench.connack import server_keep_alive
from tidegate.bench.input import packets

KEEP_ALIVE = b"\x13\x01\x02"
TEXT = st.binary(max_size=300).map(lambda text: len(text).to_bytes(2, "big") + text)


def numbers(names, size):
    """Properties of one of these names, which are numbers of `size` bytes."""
    value = st.binary(min_size=size, max_size=size)
    return st.builds(lambda name, value: bytes([name]) + value, st.sampled_from(names), value)


OTHERS = st.one_of(
    st.builds(
        lambda name, text: bytes([name]) + text, st.sampled_from(b"\x12\x15\x16\x1a\x1c\x1f"), TEXT
    ),
    st.builds(lambda name, value: b"\x26" + name + value, TEXT, TEXT),
    numbers(b"\x11\x27", 4),
    numbers(b"\x21\x22", 2),
    numbers(b"\x24\x25\x28\x29\x2a", 1),
)


def with_length(properties):
    size, digits = len(properties), bytearray()
    while True:
        size, digit = divmod(size, 128)
        digits.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(digits) + properties


@given(st.lists(OTHERS, max_size=6), st.lists(OTHERS, max_size=6))
def test_it_is_found_in_any_place(before, after):
    properties = b"".join([*before, KEEP_ALIVE, *after])
    assert server_keep_alive(with_length(properties)) == 0x102


@given(st.lists(OTHERS, max_size=6))
def test_where_there_is_none_there_is_none(others):
    assert server_keep_alive(with_length(b"".join(others))) is None


@pytest.mark.parametrize("cut", range(len(KEEP_ALIVE)))
def test_a_part_of_it_is_none(cut):
    assert server_keep_alive(b"\x03" + KEEP_ALIVE[:cut]) is None


@given(st.binary(max_size=100))
def test_garbage_does_no_harm(data):
    server_keep_alive(data)


def test_a_connack_with_properties_is_one_packet():
    body = b"\x00\x00" + with_length(KEEP_ALIVE)
    packet = bytes([0x20, len(body)]) + body
    found = [(0x20, len(body), body[:4], body[-1], 0)]
    assert packets([packet]) == packets(packet[at : at + 1] for at in range(len(packet))) == found

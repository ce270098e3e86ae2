"""The keep alive of a CONNECT in WebSocket frames, read in passing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import packets
from tidegate.engine.outcome import Heard, Need
from tidegate.http import keepalive
from tidegate.http.keepalive import keepalive_of, payload_of

KEY = b"\x12\x34\x56\x78"


def frame(payload, *, opcode=2, more=False):
    head = bytes(((0 if more else 0x80) | opcode, 0x80 | len(payload)))
    return head + KEY + bytes(one ^ KEY[at % 4] for at, one in enumerate(payload))


HELLO = packets.connect("device", keepalive=60)


@pytest.mark.parametrize(
    "frames",
    [
        frame(HELLO),
        frame(HELLO) + frame(b"\xc0\0"),
        frame(b"", opcode=9) + frame(HELLO),
        *(frame(HELLO[:at], more=True) + frame(HELLO[at:], opcode=0) for at in range(len(HELLO))),
        *(
            frame(HELLO[:at], more=True) + frame(b"ping", opcode=9) + frame(HELLO[at:], opcode=0)
            for at in (1, 5, 9)
        ),
    ],
)
def test_it_is_found_however_the_packet_is_cut_into_frames(frames):
    assert keepalive_of(payload_of(frames)) == (4, 60)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_each_version_tells_it_in_the_same_place(version):
    hello = packets.connect("c", keepalive=7, version=version)
    assert keepalive_of(hello) == (version, 7)


def test_every_prefix_waits_and_the_whole_does_not():
    whole = frame(HELLO)
    answers = [keepalive.heard(whole[:end], ended=False) for end in range(len(whole) + 1)]
    assert isinstance(answers[0], Need)
    assert isinstance(answers[-1], Heard)
    kinds = [isinstance(one, Heard) for one in answers]
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(
    "data",
    [b"\x82\x03abc", b"GET / HTTP/1.1\r\n", frame(b"\x30\x03abc" + b"x" * 40), b"\x83\x80abcd"],
)
def test_what_is_no_connect_changes_nothing(data):
    payload = payload_of(data)
    assert payload is None or keepalive_of(payload) is None


@given(st.binary(max_size=80))
def test_garbage_is_no_fault(data):
    assert isinstance(keepalive.heard(data, ended=True), Heard)

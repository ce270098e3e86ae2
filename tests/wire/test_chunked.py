"""Bodies in chunks, whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.chunked import ChunkedBody, ChunkError

BODY = b"5;x=y\r\nhello\r\n01\r\n,\r\nA\r\n 0123456\r\n\r\n0\r\nTrailer: x\r\n\r\n"


def test_a_body_is_put_together():
    body = ChunkedBody()
    assert body.take(BODY + b"GET /") == len(BODY)
    assert body.done
    assert body.data == b"hello, 0123456\r\n"


@pytest.mark.parametrize("step", range(1, 12))
def test_a_body_may_come_in_pieces(step):
    body = ChunkedBody()
    waiting = b""
    for at in range(0, len(BODY), step):
        waiting += BODY[at : at + step]
        waiting = waiting[body.take(waiting) :]
    assert body.done
    assert not waiting
    assert body.data == b"hello, 0123456\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"5\r\nhelloworld",
        b"5\nhello\r\n",
        b"5;a\nb\r\nhello",
        b"1" * 20 + b"\r\n",
        b"1;" + b"x" * 300,
        b"0\r\n" + b"A: " + b"x" * 5000,
    ],
)
def test_what_is_no_chunk_is_refused(data):
    with pytest.raises(ChunkError):
        ChunkedBody().take(data)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data):
    body = ChunkedBody()
    try:
        taken = body.take(data)
    except ChunkError:
        return
    assert taken <= len(data)
    assert len(body.data) <= len(data)

"""Frames of WebSocket, as the head of a tunnel is read."""

from __future__ import annotations

import pytest

from tidegate.wire import websocket


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_a_close_is_answered_with_its_code(code):
    said = code.to_bytes(2, "big")
    assert websocket.answer_close(said + b"why") == b"\x88\x02" + said


def test_a_close_without_a_code_is_answered_without():
    assert websocket.answer_close(b"") == b"\x88\x00"


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_code_that_no_client_may_give_is_a_fault(code):
    with pytest.raises(websocket.WebSocketError) as caught:
        websocket.answer_close(code.to_bytes(2, "big"))
    assert caught.value.code == websocket.PROTOCOL_ERROR


def test_half_a_code_is_a_fault():
    with pytest.raises(websocket.WebSocketError) as caught:
        websocket.answer_close(b"\x03")
    assert caught.value.code == websocket.PROTOCOL_ERROR

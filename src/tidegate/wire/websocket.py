"""WebSocket between bytes and values: the handshake's fields, and frames (RFC 6455).

A frame is read as soon as its head is there, with as much of its payload as has come; what is to
come of it can be masked on by whoever passes it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from typing import Final

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_SIZE: Final = 16
VERSION: Final = b"13"

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
MOST_IN_CONTROL: Final = 125

# Codes of a close (section 7.4.1).
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
POLICY: Final = 1008
TOO_BIG: Final = 1009

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_MASK: Final = 4
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_CODE: Final = 2
# What a close may give; 1004 to 1006 are never sent.
_CODES: Final = (range(NORMAL, 1004), range(1007, 1015), range(3000, 5000))


class WebSocketError(ValueError):
    """A frame that breaks the rules; `code` is what to close with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame, or its beginning: `remaining` bytes of its payload are still to come.

    `payload` is what came of it, unmasked; `size` counts the bytes that it takes so far, with its
    head. `mask` is the key for what is to come, turned so that its first byte is the next one's.
    """

    opcode: int
    final: bool
    payload: bytes
    size: int
    remaining: int
    mask: bytes

    @property
    def is_control(self) -> bool:
        """Whether it is a close, a ping or a pong."""
        return self.opcode >= CLOSE


def new_key() -> bytes:
    """A value for Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(KEY_SIZE))


def is_key(value: bytes) -> bool:
    """Whether a client's Sec-WebSocket-Key is one."""
    try:
        return len(base64.b64decode(value, validate=True)) == KEY_SIZE
    except binascii.Error:
        return False


def accept_of(key: bytes) -> bytes:
    """The value of Sec-WebSocket-Accept that answers a key."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


def masked(data: bytes, mask: bytes) -> bytes:
    """Mask bytes, or unmask them: the same."""
    size = len(data)
    key = int.from_bytes((mask * (size // _MASK + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


def read_frame(data: bytes, at: int = 0, *, from_client: bool) -> Frame | None:
    """Read the frame that begins at `at`; None where its head is not whole.

    Raises WebSocketError for what this frame alone has wrong.
    """
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    length = second & (_MASKED - 1)
    _check(first, length, has_mask=bool(second & _MASKED), from_client=from_client)
    more = {_LENGTH_16: 2, _LENGTH_64: 8}.get(length, 0)
    begin = at + 2 + more + (_MASK if from_client else 0)
    if len(data) < begin:
        return None
    if more:
        length = int.from_bytes(data[at + 2 : at + 2 + more], "big")
        if length < _LENGTH_16 or (more > 2 and length < 1 << 16) or length >> 63:  # noqa: PLR2004
            raise WebSocketError(PROTOCOL_ERROR, "a length is not as short as it can be")
    payload = data[begin : begin + length]
    mask = data[begin - _MASK : begin] if from_client else b""
    turn = len(payload) % _MASK
    return Frame(
        opcode=first & 0x0F,
        final=bool(first & _FINAL),
        payload=masked(payload, mask) if from_client else payload,
        size=begin - at + len(payload),
        remaining=length - len(payload),
        mask=mask[turn:] + mask[:turn],
    )


def _check(first: int, length: int, *, has_mask: bool, from_client: bool) -> None:
    """Raise WebSocketError for a head that is not allowed."""
    opcode = first & 0x0F
    if first & _RESERVED:
        raise WebSocketError(PROTOCOL_ERROR, "a reserved bit is set")
    if has_mask != from_client:
        message = "a frame is not masked" if from_client else "a frame is masked"
        raise WebSocketError(PROTOCOL_ERROR, message)
    if BINARY < opcode < CLOSE or opcode > PONG:
        raise WebSocketError(PROTOCOL_ERROR, "an opcode is unknown")
    if opcode >= CLOSE and (length > MOST_IN_CONTROL or not first & _FINAL):
        raise WebSocketError(PROTOCOL_ERROR, "a control frame is too long, or in pieces")
    if opcode == TEXT:
        raise WebSocketError(UNSUPPORTED, "a frame is text")


def encode_head(opcode: int, length: int, *, final: bool = True, mask: bytes = b"") -> bytes:
    """The head of a frame of `length` bytes; with a `mask` the caller masks them."""
    bit = _MASKED if mask else 0
    if length < _LENGTH_16:
        size = bytes([bit | length])
    elif length < 1 << 16:
        size = bytes([bit | _LENGTH_16]) + length.to_bytes(2, "big")
    else:
        size = bytes([bit | _LENGTH_64]) + length.to_bytes(8, "big")
    return bytes([(_FINAL if final else 0) | opcode]) + size + mask


def encode_frame(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"") -> bytes:
    """A whole frame; masked where there is a `mask`, as a client's has to be."""
    head = encode_head(opcode, len(payload), final=final, mask=mask)
    return head + (masked(payload, mask) if mask else payload)


def encode_close(code: int, *, mask: bytes = b"") -> bytes:
    """A close that says why."""
    return encode_frame(CLOSE, code.to_bytes(_CODE, "big"), mask=mask)


def answer_close(payload: bytes) -> bytes:
    """The close of a server that answers a client's, which had this payload.

    Raises WebSocketError for a code that is cut, or that no client may give.
    """
    if not payload:
        return encode_frame(CLOSE, b"")
    if len(payload) < _CODE:
        raise WebSocketError(PROTOCOL_ERROR, "the code of a close is cut")
    code = int.from_bytes(payload[:_CODE], "big")
    if not any(code in codes for codes in _CODES):
        raise WebSocketError(PROTOCOL_ERROR, "the code of a close is not allowed")
    return encode_close(code)

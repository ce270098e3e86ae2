"""The head of an HTTP/1.x response, as an upstream sends it (RFC 9112).

Parsed by llhttp, but for heads of which nothing is in doubt (`head.pyx`).
"""

from __future__ import annotations

from typing import Final

import httptools

from tidegate.wire.fields import words
from tidegate.wire.head import Fields, ResponseHead, plain_response

END: Final = b"\r\n\r\n"
START: Final = b"HTTP/1."

LEAST: Final = 100
SWITCHING: Final = 101

LONGEST_LENGTH: Final = 18  # digits; less than 64 bits hold


class ResponseError(ValueError):
    """What came is no head that can be passed on; the words are nginx's."""


class _Collector:
    __slots__ = ("complete", "fields")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def read_response_head(data: bytes) -> ResponseHead | None:
    """Read a head at the beginning of `data`; None where more is to come.

    Raises ResponseError. How long a head may be is the caller's business.
    """
    plain = plain_response(data)
    return judged_head(data) if plain is None else plain


def judged_head(data: bytes) -> ResponseHead | None:
    """The same, by llhttp."""
    if not data.startswith(START) and not START.startswith(data[: len(START)]):
        raise ResponseError("upstream sent no valid HTTP/1.0 header")
    end = data.find(END)
    if end < 0:
        return None
    whole = data[: end + len(END)]
    found = _Collector()
    parser = httptools.HttpResponseParser(found)
    try:
        parser.feed_data(whole)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        # llhttp pauses behind every 101; what it means is the caller's to judge.
        if not found.complete or parser.get_status_code() != SWITCHING:
            raise ResponseError(f"upstream sent invalid header ({error})") from None
    status = parser.get_status_code()
    if status < LEAST:
        raise ResponseError("upstream sent no valid HTTP/1.0 header")
    line = whole[len(START) : whole.index(b"\r\n")]
    fields = Fields(tuple(found.fields))
    length, chunked = _body(fields)
    return ResponseHead(
        status=status,
        line=line[2:],
        minor=1 if line[:1] == b"1" else 0,
        fields=fields,
        length=length,
        chunked=chunked,
        size=len(whole),
    )


def _body(fields: Fields) -> tuple[int | None, bool]:
    chunked = b"chunked" in words(fields.get(b"transfer-encoding"))
    lengths = fields.all(b"content-length")
    if not lengths:
        return None, chunked
    if chunked:
        raise ResponseError(
            'upstream sent "Content-Length" and "Transfer-Encoding" headers at the same time'
        )
    told = lengths[0]
    if len(set(lengths)) > 1 or not told.isdigit() or len(told) > LONGEST_LENGTH:
        raise ResponseError('upstream sent invalid "Content-Length" header')
    return int(told), False

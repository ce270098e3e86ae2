"""The head of an HTTP/1.x request: from bytes to what it says, as strict as is safe for a proxy.

Sources: RFC 9112 and nginx, whose words and statuses the refusals have. Two readers of the same
bytes that see different requests are what request smuggling lives on, so what may be read in two
ways is refused: lone LF, a space before a colon, folded lines, two lengths, two hosts. The parsing
itself is llhttp's, the parser of Node.js, but for heads of which nothing is in doubt (`head.pyx`).
"""

from __future__ import annotations

from typing import Final

import httptools

from tidegate.wire.head import Fields, RequestHead, plain_request

BAD_REQUEST: Final = 400
NOT_ALLOWED: Final = 405
URI_TOO_LARGE: Final = 414
NOT_IMPLEMENTED: Final = 501
BAD_VERSION: Final = 505
HEADERS_TOO_LARGE: Final = 494  # nginx's own; a client is told 400

END: Final = b"\r\n\r\n"
METHOD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_")
# What llhttp has names for; others pass as nginx lets them, after it has read the rest.
SAID_FOR_OTHERS: Final = b"POST"

LINE: Final = "client request line"
HEADERS: Final = "client request headers"


class RequestError(ValueError):
    """A head that is refused: the status to answer, nginx's words, and what was being read."""

    def __init__(self, status: int, message: str, reading: str = HEADERS) -> None:
        super().__init__(f"{message} while reading {reading}")
        self.status = status


def read_request_head(
    data: bytes, *, line: int, most: int, underscores: bool = False, strict_names: bool = True
) -> RequestHead | None:
    """Read a head at the beginning of `data`; None where more of it is to come.

    `line` bounds the request line and each field, `most` the whole head, in bytes. Fields whose
    names have more than letters, digits and "-" (and "_" with `underscores`) are left out where
    `strict_names`. Raises RequestError.
    """
    plain = plain_request(data, line, most)
    if plain is not None:
        return plain
    return judged_head(
        data, line=line, most=most, underscores=underscores, strict_names=strict_names
    )


def judged_head(
    data: bytes, *, line: int, most: int, underscores: bool, strict_names: bool
) -> RequestHead | None:
    """The same, by llhttp."""
    skip = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in (b"\r", b"\n") else 0
    end = data.find(END, skip)
    if end < 0:
        _look_at_part(data, skip, line=line, most=most)
        return None
    whole = data[skip : end + len(END)]
    lines = whole[: -len(END)].split(b"\r\n")
    request_line = lines[0]
    method = _method(request_line)
    _check_sizes(lines, line=line, most=most, size=len(whole))
    _check_ends(whole)
    fields, target = _parse(whole, method, request_line)
    minor = _minor(request_line)
    host = _host(fields, minor)
    length, chunked = _body(fields, minor)
    if strict_names:
        fields = tuple(one for one in fields if _is_plain(one[0], underscores=underscores))
    return RequestHead(
        line=request_line,
        method=method,
        target=target,
        minor=minor,
        fields=Fields(fields),
        length=length,
        chunked=chunked,
        host=host,
        size=skip + len(whole),
    )


def _look_at_part(data: bytes, skip: int, *, line: int, most: int) -> None:
    """Refuse what cannot become a head any more."""
    end = data.find(b"\r\n", skip)
    first = data[skip:] if end < 0 else data[skip:end]
    if first:
        _method(first)
    if len(first) > line:
        raise RequestError(URI_TOO_LARGE, "client sent too long URI", LINE)
    _check_ends(data[skip:])
    if len(data) - max(data.rfind(b"\r\n"), 0) > line or len(data) >= most:
        raise RequestError(HEADERS_TOO_LARGE, "client sent too large request")


def _check_sizes(lines: list[bytes], *, line: int, most: int, size: int) -> None:
    if len(lines[0]) > line:
        raise RequestError(URI_TOO_LARGE, "client sent too long URI", LINE)
    if size > most or any(len(one) > line for one in lines):
        raise RequestError(HEADERS_TOO_LARGE, "client sent too large request")


def _check_ends(data: bytes) -> None:
    """A line ends with CR and LF, and neither stands elsewhere; what `data` ends with may go on."""
    pairs = data.count(b"\r\n")
    returns = data.count(b"\r") - data.endswith(b"\r")
    if data.count(b"\n") != pairs or returns != pairs:
        raise RequestError(BAD_REQUEST, "client sent a line that does not end with CR LF")


def _method(line: bytes) -> bytes:
    """The method, of a line that may be cut."""
    method, space, _rest = line.partition(b" ")
    if not METHOD.issuperset(method) or (space and not method):
        raise RequestError(BAD_REQUEST, "client sent invalid method", LINE)
    if space and method in (b"TRACE", b"CONNECT"):
        raise RequestError(NOT_ALLOWED, f"client sent {method.decode()} method", LINE)
    return method


def _minor(line: bytes) -> int:
    version = line.rpartition(b" ")[2]
    if not version.startswith(b"HTTP/1."):
        raise RequestError(BAD_VERSION, "client sent invalid version", LINE)
    return min(int(version[7:]), 1)


class _Collector:
    """What llhttp calls."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.rstrip(b" \t")))


def _parse(
    whole: bytes, method: bytes, line: bytes
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    if line.count(b" ") != 2:  # noqa: PLR2004 method, target, version
        raise RequestError(BAD_REQUEST, "client sent invalid request", LINE)
    found = _Collector()
    parser = httptools.HttpRequestParser(found)
    try:
        try:
            parser.feed_data(whole)
        except httptools.HttpParserInvalidMethodError:
            found = _Collector()
            parser = httptools.HttpRequestParser(found)
            parser.feed_data(SAID_FOR_OTHERS + whole[len(method) :])
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidURLError:
        raise RequestError(BAD_REQUEST, "client sent invalid request", LINE) from None
    except httptools.HttpParserError as error:
        raise _refusal(str(error)) from None
    return tuple(found.fields), found.target


def _refusal(said: str) -> RequestError:
    """nginx's words for what llhttp refuses."""
    if "version" in said.lower():
        return RequestError(BAD_REQUEST, "client sent invalid request", LINE)
    if "Transfer-Encoding can't" in said or "Content-Length can't" in said:
        both = 'client sent "Content-Length" and "Transfer-Encoding" headers at the same time'
        return RequestError(BAD_REQUEST, both)
    if "Transfer-Encoding" in said:
        return RequestError(NOT_IMPLEMENTED, 'client sent unknown "Transfer-Encoding"')
    if "Duplicate" in said:
        return RequestError(BAD_REQUEST, 'client sent duplicate header line: "Content-Length"')
    if "Content-Length" in said:
        return RequestError(BAD_REQUEST, 'client sent invalid "Content-Length" header')
    return RequestError(BAD_REQUEST, f"client sent invalid header line ({said})")


def _host(fields: tuple[tuple[bytes, bytes], ...], minor: int) -> bytes | None:
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) > 1:
        raise RequestError(BAD_REQUEST, 'client sent duplicate header line: "Host"')
    if hosts:
        return hosts[0]
    if minor > 0:
        raise RequestError(BAD_REQUEST, 'client sent HTTP/1.1 request without "Host" header')
    return None


def _body(fields: tuple[tuple[bytes, bytes], ...], minor: int) -> tuple[int | None, bool]:
    length: int | None = None
    codings: list[bytes] = []
    for name, value in fields:
        lowered = name.lower()
        if lowered == b"content-length":
            if length is not None or not value.isdigit() or len(value) > LONGEST_LENGTH:
                raise RequestError(BAD_REQUEST, 'client sent invalid "Content-Length" header')
            length = int(value)
        elif lowered == b"transfer-encoding":
            codings.append(value.lower())
    if not codings:
        return length, False
    if length is not None:
        both = 'client sent "Content-Length" and "Transfer-Encoding" headers at the same time'
        raise RequestError(BAD_REQUEST, both)
    if minor < 1:
        raise RequestError(BAD_REQUEST, 'client sent HTTP/1.0 request with "Transfer-Encoding"')
    if codings != [b"chunked"]:
        raise RequestError(NOT_IMPLEMENTED, 'client sent unknown "Transfer-Encoding"')
    return None, True


LONGEST_LENGTH: Final = 18  # digits; more than any body has, and less than 64 bits hold


def _is_plain(name: bytes, *, underscores: bool) -> bool:
    name = name.replace(b"-", b"")
    return (name.replace(b"_", b"") if underscores else name).isalnum() or not name

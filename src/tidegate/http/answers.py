"""What a client is told by us: status lines, heads and pages, as nginx has them."""

from __future__ import annotations

import time
from typing import Final

from tidegate.version import VERSION

# The words behind each status; nginx's.
WORDS: Final = {
    100: "Continue",
    101: "Switching Protocols",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    406: "Not Acceptable",
    408: "Request Time-out",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    415: "Unsupported Media Type",
    416: "Requested Range Not Satisfiable",
    421: "Misdirected Request",
    425: "Too Early",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}
# On pages some have other words than in their status line.
TITLES: Final = {
    302: "302 Found",
    400: "400 Bad Request",
    494: "400 Request Header Or Cookie Too Large",
    495: "400 The SSL certificate error",
    496: "400 No required SSL certificate was sent",
    497: "400 The plain HTTP request was sent to HTTPS port",
}
EXPLAINED: Final = {
    494: "Request Header Or Cookie Too Large",
    495: "The SSL certificate error",
    496: "No required SSL certificate was sent",
    497: "The plain HTTP request was sent to HTTPS port",
}
# nginx's own statuses for kinds of 400; a client is told that.
OWN: Final = frozenset({494, 495, 496, 497})

# After these a connection is of no more use.
LAST: Final = frozenset({400, 413, 414, 494, 495, 496, 497, 500, 501, 408})
BODILESS: Final = frozenset({204, 304})
NO_ANSWER: Final = 444

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


def server_name(*, tokens: bool) -> str:
    """What we call ourselves."""
    return f"tidegate/{VERSION}" if tokens else "tidegate"


def http_date(now: float) -> str:
    """A time as HTTP has it."""
    at = time.gmtime(now)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"{day}, {at.tm_mday:02d} {month} {at.tm_year} {clock} GMT"


def status_line(status: int) -> str:
    """The status and its words; of a status without words the number and a space."""
    shown = 400 if status in OWN else status
    return f"{shown} {WORDS.get(shown, '')}"


def page(status: int, *, tokens: bool) -> bytes:
    """The page for a status."""
    title = TITLES.get(status) or status_line(status).strip()
    explained = EXPLAINED.get(status)
    head = "400 Bad Request" if explained else title
    more = f"<center>{explained}</center>\r\n" if explained else ""
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{head}</h1></center>\r\n{more}"
        f"<hr><center>{server_name(tokens=tokens)}</center>\r\n</body>\r\n</html>\r\n"
    ).encode()

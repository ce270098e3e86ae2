"""What a worker and the control process say to each other about content of our own.

A worker connects to the Unix socket whose path comes with the configuration (`Handover.local`),
sends what `file_request` or `status_request` gives, and reads one answer, which has a
Content-Length and ends the connection. `verdict` tells of an answer's head whether it is for the
client. Everything that depends on the configuration is in the request: the control process knows no
location, so no reload can come between the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tidegate.config.model import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tidegate.config.model_http import Files, Location
    from tidegate.variables.template import Template

S = TypeVar("S")

FILES = "/files/"
STUB_STATUS = "/stub_status"
ORDER = b"tidegate-order"
VERDICT = b"tidegate-verdict"

# All that the control process gets to see of what a client said.
CONDITIONS = frozenset((b"if-modified-since", b"if-none-match", b"if-range", b"range"))

INTERNAL_SERVER_ERROR = 500
BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Folder(Generic[S]):
    """The files of one location, compiled: what `root`, `index`, `try_files` give for a session.

    `listed` is `autoindex on`.

    `alias` is how many characters of the URI the root stands for; 0 is none (`root`), -1 all of
    it (`alias` where the location is a regular expression).
    """

    root: Callable[[S], str]
    alias: int
    index: tuple[Callable[[S], str], ...]
    tries: tuple[Callable[[S], str], ...]
    folders: tuple[bool, ...]
    types: Mapping[str, str]
    default_type: str
    listed: bool

    def path(self, root: str, uri: str) -> str:
        """The path of a decoded and normalised URI."""
        if self.alias < 0:
            return root
        return root + uri[self.alias :]

    def candidate(self, root: str, tried: str, uri: str) -> tuple[str, str]:
        """The path and the URI of one candidate of `try_files` for a request of `uri`."""
        if self.alias <= 0:
            return root + tried, tried
        within = uri[: self.alias]
        rest = tried.removeprefix(within)
        return root + rest, within + rest

    def media_type(self, uri: str) -> str:
        """The media type by the extension; a dot that begins a name begins no extension."""
        name = uri.rpartition("/")[2]
        stem, _dot, extension = name.rpartition(".")
        return self.types.get(extension.lower(), self.default_type) if stem else self.default_type


def folder(
    location: Location,
    files: Files,
    compile_: Callable[[Template], Callable[[S], str]],
    types: dict[tuple[tuple[str, str], ...], Mapping[str, str]],
) -> Folder[S]:
    """Compile a location and its content.

    `types` remembers the tables that locations have in common, so that each exists once.
    """
    regex = location.match in {"~", "~*"}
    known = types.get(location.types)
    if known is None:
        known = types[location.types] = dict(location.types)
    root = compile_(files.root)
    return Folder(
        root=root if files.alias else lambda session: root(session).removesuffix("/"),
        alias=(-1 if regex else len(location.text)) if files.alias else 0,
        index=tuple(map(compile_, files.index)),
        tries=tuple(map(compile_, files.try_files)),
        folders=tuple(str(one).endswith("/") for one in files.try_files),
        types=known,
        default_type=location.default_type,
        listed=files.autoindex,
    )


def file_request(
    place: Folder[S],
    session: S,
    *,
    method: str,
    uri: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """The request for what a folder has for `uri`, which is decoded and normalised.

    `headers` are the client's; none are to be given for an error page, nor from HTTP/1.0, where
    nginx knows no conditions and ranges. Texts have bytes that are no UTF-8 as lone surrogates.
    """
    root = place.root(session)
    order: dict[str, object] = {"method": method, "index": [one(session) for one in place.index]}
    if place.tries:
        *tries, last = [one(session) for one in place.tries]
        # What is written without a slash at its end is a file, whatever the client wrote.
        kinds = zip(tries, place.folders, strict=False)
        tries = [tried for tried, folder in kinds if folder or not tried.endswith("/")]
        # A candidate may hold what the client wrote: nothing leads out of the folder.
        inside = [tried for tried in tries if "/../" not in f"/{tried}/"]
        found = [place.candidate(root, tried, uri) for tried in inside]
        order["else"] = int(last[1:]) if last.startswith("=") else last
    else:
        found = [(place.path(root, uri), uri)]
    if place.listed:
        order["list"] = True
    order["tries"] = [(path, where, place.media_type(where)) for path, where in found]
    lines = [(ORDER, json.dumps(order, separators=(",", ":")).encode())]
    lines += [(name, value) for name, value in headers if _matters(name, value)]
    return _request(method, FILES, lines)


def status_request(method: str) -> bytes:
    """The request for `stub_status`."""
    return _request(method, STUB_STATUS, [(ORDER, json.dumps({"method": method}).encode())])


def _matters(name: bytes, value: bytes) -> bool:
    lowered = name.lower()
    # A range in other units is to be ignored (RFC 9110, 14.2).
    return lowered in CONDITIONS and (lowered != b"range" or value.startswith(b"bytes="))


def _request(method: str, target: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    # Of the client's methods there are more than the web server knows.
    shown = "HEAD" if method == "HEAD" else "GET"
    lines = [f"{shown} {target} HTTP/1.1".encode(), b"Host: tidegate", b"Connection: close"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join((*lines, b"", b""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An answer that is for the worker: what it is to do, instead of relaying a body.

    `redirect` is where to go on inside: a decoded URI, or the "@name" of a location; `args` are the
    arguments there, None for those of the request. Else `status` is for an answer of the worker's
    own: 301 with `location`, an escaped path without arguments; 416 with the Content-Range
    `content_range`. `error` is for the error log, in nginx's words, at `level`.
    """

    status: int
    redirect: str = ""
    args: str | None = None
    location: str = ""
    content_range: str = ""
    error: str = ""
    level: Level = Level.ERROR

    def header(self) -> bytes:
        """The value of the header by which the control process tells it."""
        told = {
            "redirect": self.redirect,
            "args": self.args,
            "location": self.location,
            "error": self.error,
            "level": int(self.level),
        }
        return json.dumps(told, separators=(",", ":")).encode()


def verdict(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Verdict | None:
    """What an answer's head says to the worker; None for an answer that is for the client."""
    fields = {name.lower(): value for name, value in headers}
    told = fields.get(VERDICT)
    if told is not None:
        body = json.loads(told)
        body["level"] = Level(body.get("level", Level.ERROR))
        return Verdict(status=status, **body)
    if status < BAD_REQUEST:
        return None
    if status == INTERNAL_SERVER_ERROR:
        return Verdict(status=status, error="the control process failed, its log says why")
    return Verdict(status=status, content_range=fields.get(b"content-range", b"").decode("latin-1"))

"""The target of a request: what a location is chosen by, and what is sent on.

As nginx: `%41` is `A`, `//` is `/` where slashes are merged, `.` and `..` are gone. A path that
leaves the root is refused, and so is one with a zero byte.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_HEX: Final = b"0123456789abcdefABCDEF"

# What nginx writes as %XX where a path that was decoded is sent on.
_ESCAPED: Final = frozenset((*range(0x21), *b'"#%<>?\\^`{|}', *range(0x7F, 0x100)))
# What it writes so in an argument.
_PLAIN_ARGUMENT: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


class UriError(ValueError):
    """A target that is no path."""


class Uri(NamedTuple):
    """What a target says.

    `raw` is path and arguments as the client wrote them, `path` the decoded one, `args` what
    stands behind the "?" and None without one. `quoted` tells that the path was written with
    escapes. `authority` is that of a target with a scheme, None without. A plain head tells this
    itself (`wire/head.pyi`).
    """

    raw: bytes
    path: bytes
    args: bytes | None
    quoted: bool
    authority: bytes | None = None


def read_target(target: bytes, *, merge_slashes: bool) -> Uri:
    """Read a request's target; raises UriError."""
    authority = None
    if not target.startswith(b"/"):
        scheme, mark, rest = target.partition(b"://")
        if not mark or scheme.lower() not in (b"http", b"https"):
            raise UriError(target)
        end = min((at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0), default=len(rest))
        authority, target = rest[:end], rest[end:]
        if not authority:
            raise UriError(target)
        if not target.startswith(b"/"):
            target = b"/" + target
    path, mark, args = target.partition(b"#")[0].partition(b"?")
    decoded = decode(path)
    return Uri(
        raw=target,
        path=normalise(decoded, merge_slashes=merge_slashes),
        args=args if mark else None,
        quoted=b"%" in path,
        authority=authority,
    )


def decode(path: bytes) -> bytes:
    """A path without escapes; raises UriError."""
    if b"%" not in path:
        return path
    first, *rest = path.split(b"%")
    parts = [first]
    for one in rest:
        code = one[:2]
        if len(code) < 2 or code[0] not in _HEX or code[1] not in _HEX or code == b"00":  # noqa: PLR2004
            raise UriError(path)
        parts += [bytes((int(code, 16),)), one[2:]]
    return b"".join(parts)


def normalise(path: bytes, *, merge_slashes: bool) -> bytes:
    """A path without "." and ".."; raises UriError where it would leave the root."""
    if b"\0" in path:
        raise UriError(path)
    if b"//" not in path and b"/." not in path:
        return path
    kept: list[bytes] = []
    *folders, last = path[1:].split(b"/")
    for one in folders:
        if one == b"..":
            _up(kept, path)
        elif one != b"." and (one or not merge_slashes):
            kept.append(one)
    if last == b"..":
        _up(kept, path)
        last = b""
    elif last == b".":
        last = b""
    return b"/" + b"".join(one + b"/" for one in kept) + last


def _up(kept: list[bytes], path: bytes) -> None:
    if not kept:
        raise UriError(path)
    kept.pop()


def escape(path: bytes) -> bytes:
    """A decoded path as a request line may have it."""
    if _ESCAPED.isdisjoint(path):
        return path
    return b"".join(b"%%%02X" % one if one in _ESCAPED else bytes((one,)) for one in path)


def escape_argument(text: bytes) -> bytes:
    """A text as an argument may have it."""
    return b"".join(bytes((one,)) if one in _PLAIN_ARGUMENT else b"%%%02X" % one for one in text)

"""What is done with the fields of an HTTP head; themselves they are in `head.pyx`."""

from __future__ import annotations

from typing import Final

Field = tuple[bytes, bytes]

SPACE: Final = 0x20
DELETE: Final = 0x7F
CONTROLS: Final = bytes((*range(SPACE + 1), DELETE))
ONE_LINE: Final = bytes(SPACE if one in b"\r\n\0" else one for one in range(256))


def words(value: bytes | None) -> frozenset[bytes]:
    """The words of a list with commas, in lower case."""
    if value is None:
        return frozenset()
    return frozenset(word.strip().lower() for word in value.split(b","))


def one_line(value: bytes) -> bytes:
    """A value that ends no line before its end: RFC 9110, section 5.5, puts spaces there.

    Texts of a configuration may hold what a client has escaped (`$uri`), or a certificate.
    """
    return value.translate(ONE_LINE)


def escape_controls(target: bytes) -> bytes:
    """A target without what would end it, or its line: that is written as %XX."""
    if len(target.translate(None, CONTROLS)) == len(target):
        return target
    return b"".join(
        b"%%%02X" % one if one <= SPACE or one == DELETE else bytes([one]) for one in target
    )

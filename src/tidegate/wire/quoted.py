"""What a client wrote, for a line of the error log: it ends where its quotes end."""

from __future__ import annotations

from typing import Final

# Characters that are shown of a client's text; it may have 65,535, and real ones have tens.
SHOWN: Final = 128

_ESCAPES = {ord("\\"): "\\x5C", ord('"'): "\\x22"}
_OF_A_HOST = frozenset("-._:[]")  # beside letters and digits of any language


def quoted(text: str, *, most: int = SHOWN) -> str:
    r"""The text between quotes, cut at `most`; its own quotes and backslashes as `\x22` and `\x5C`.

    The log itself escapes what is not printable.
    """
    return f'"{text[:most].translate(_ESCAPES)}"'


def host_text(text: str) -> str:
    """The same for what nginx shows without quotes: they are put only where it may be no host."""
    plain = len(text) <= SHOWN and all(one.isalnum() or one in _OF_A_HOST for one in text)
    return text if plain else quoted(text)

"""Why a start, or a signal to a running instance, did not work."""

from __future__ import annotations

import os


class StartError(Exception):
    """What could not be done, in nginx's words, and what to do about it.

    `str()` of it is one line: the message, then the mend where one is known.
    """

    def __init__(self, message: str, mend: str | None = None) -> None:
        super().__init__(message if mend is None else f"{message}; {mend}")
        self.message = message
        self.mend = mend


def failed(call: str, error: OSError) -> str:
    """Put a system call that failed in nginx's words: `open() "F" failed (2: No such …)`."""
    number = error.errno or 0
    return f"{call} failed ({number}: {os.strerror(number)})"

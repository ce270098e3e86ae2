"""What a person is told: on stderr, as nginx does it."""

from __future__ import annotations

import os
import sys

FAILED = 1  # nginx's only exit status but 0


def say(text: str) -> None:
    """Print to stderr, where nginx says everything; a reader who has gone is no error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 for the rest of our life

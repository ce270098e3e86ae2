"""What `-t` says of `http {}` that nginx takes in silence, and devices suffer from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.config.draft import Reading


def finish_warnings(reading: Reading) -> None:
    """Look through all locations with a `proxy_pass`."""
    del reading

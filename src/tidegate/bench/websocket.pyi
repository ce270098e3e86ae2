"""WebSocket as a client speaks it: the answer to an upgrade, frames in and out."""

from collections.abc import Iterable

def frames(pieces: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """For tests: what is found in the pieces, as (kind, bytes); data is put together."""

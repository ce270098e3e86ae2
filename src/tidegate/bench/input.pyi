"""MQTT packets out of a stream of bytes."""

from collections.abc import Iterable

def packets(pieces: Iterable[bytes]) -> list[tuple[int, int, bytes, int, int]]:
    """(first byte, size, head, last byte, packet identifier) of each whole packet; for tests.

    Raises ValueError where a length has more than four digits.
    """

"""MurmurHash2, 32 bits, as nginx has it."""

def murmur2(data: bytes) -> int:
    """The hash of `data`, from 0 to 2^32 - 1."""

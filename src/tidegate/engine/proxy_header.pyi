"""Where a PROXY protocol header ends."""

def measure(data: bytes) -> int:
    """The bytes of the header that `data` begins with: 0 is not yet known, -1 is no header."""

"""Addresses as the kernel takes them, and back."""

def pack_address(family: int, host: str, port: int) -> bytes:
    """A sockaddr as bytes; ValueError when `host` is no literal of that family, or too long."""

def unpack_address(packed: bytes) -> tuple[int, str, int]:
    """The family, host and port of a packed address; a Unix socket without a name has host ""."""

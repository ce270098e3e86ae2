"""CRC-32C (Castagnoli), the checksum of PROXY protocol headers. Source: RFC 3720, appendix B.4."""

from __future__ import annotations

POLYNOMIAL = 0x82F63B78  # its bits in reverse, as it is used from the low end
ALL = 0xFFFFFFFF


def _entry(index: int) -> int:
    for _bit in range(8):
        index = index >> 1 ^ (POLYNOMIAL if index & 1 else 0)
    return index


TABLE = tuple(_entry(index) for index in range(256))


def crc32c(data: bytes) -> int:
    """The checksum of some bytes."""
    value = ALL
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ ALL

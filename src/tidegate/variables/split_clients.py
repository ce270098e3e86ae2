"""`split_clients`: a share of all keys for each value, the same value for the same key for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.dataclasses import dataclass
from tidegate.variables.murmur import murmur2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidegate.variables.template import Template

HUNDRED_PERCENT: Final = 10_000  # shares are hundredths of a percent
REST: Final = 0  # the share of "*": what the parts above leave
HASHES: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitClients:
    """One `split_clients`; each part is a limit and a value.

    A key gets the value of the first part whose limit is above its hash.
    """

    key: Template
    parts: tuple[tuple[int, str], ...]

    def choose(self, key: bytes) -> str:
        """The value for a key; "" where the shares leave it without."""
        number = murmur2(key)
        return next((value for limit, value in self.parts if number < limit), "")


def limits(shares: Sequence[int]) -> Iterator[int]:
    """Where each share ends among the hashes, by nginx's arithmetic, rounding down each time.

    Raises ValueError at the first share with which they are more than 100 %. As since nginx
    1.31.2, the share that makes them 100 % has all that is left.
    """
    total = end = 0
    for share in shares:
        total = total + share if share else HUNDRED_PERCENT
        if total > HUNDRED_PERCENT:
            raise ValueError("percent total is greater than 100%")
        end += share * (HASHES - 1) // HUNDRED_PERCENT
        yield HASHES if total == HUNDRED_PERCENT else end


def percent(text: str) -> int | None:
    """`12.34%` in hundredths of a percent, "*" as REST; None for what is no share."""
    if text == "*":
        return REST
    whole, dot, part = text[:-1].partition(".")
    digits = whole + part
    if text[-1:] != "%" or len(part) > 2 or not (digits.isascii() and digits.isdigit()):  # noqa: PLR2004 - two decimals
        return None
    if len(digits) > len(str(HASHES)):
        return HASHES  # more than 100 % all the same
    return int(whole + part.ljust(2, "0")) or None if dot else int(whole) * 100 or None

"""Numbers, sizes and times as nginx writes them; each function gives None for what is none."""

from __future__ import annotations

import re

INT_MAX = 2**63 - 1  # nginx's ngx_int_t
DIGITS = len(str(INT_MAX))

# Longer times mean "never"; the engine counts milliseconds in 64 bits and adds to them.
LONGEST_MS = 1 << 40

SIZES = {"k": 1 << 10, "m": 1 << 20}
OFFSETS = {**SIZES, "g": 1 << 30}

# Steps of a time from large to small, with their seconds. The order must be kept in a value.
STEPS = {
    "y": 365 * 86400,
    "M": 30 * 86400,
    "w": 7 * 86400,
    "d": 86400,
    "h": 3600,
    "m": 60,
    "s": 1,
}
NO_UNIT = " "
RANK = {unit: rank for rank, unit in enumerate((*STEPS, "ms", NO_UNIT), start=1)}
PART = re.compile(r"([0-9]*)(ms|[yMwdhms ]) *")


def number(text: str) -> int | None:
    """A whole number of digits only, up to 2^63 - 1."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    if len(digits) > DIGITS:
        return None
    value = int(digits or "0")
    return value if value <= INT_MAX else None


def _scaled(text: str, units: dict[str, int]) -> int | None:
    scale = units.get(text[-1:].lower(), 0)
    value = number(text[:-1] if scale else text)
    if value is None or value * (scale or 1) > INT_MAX:
        return None
    return value * (scale or 1)


def size(text: str) -> int | None:
    """Bytes: `512`, `16k`, `3M`."""
    return _scaled(text, SIZES)


def offset(text: str) -> int | None:
    """Bytes where nginx also takes gigabytes: `1g`."""
    return _scaled(text, OFFSETS)


def milliseconds(text: str) -> int | None:
    """A time like `1h 30m`, `10s`, `500ms`; bare numbers are seconds, `y` and `M` are refused."""
    total = _time(text, in_seconds=False)
    return None if total is None else min(total, LONGEST_MS)


def seconds(text: str) -> int | None:
    """A time in whole seconds: as `milliseconds`, with years and months and without `ms`."""
    return _time(text, in_seconds=True)


def _time(text: str, *, in_seconds: bool) -> int | None:
    """Sum up a time. As in nginx the larger unit comes first; what has no unit is seconds."""
    total, at, step = 0, 0, 0 if in_seconds else RANK["M"]
    while part := PART.match(text, at):
        unit = part[2]
        if RANK[unit] <= step or (unit == "ms" and in_seconds):
            return None
        if unit == NO_UNIT and step >= RANK["s"]:
            return None
        step = RANK[unit]
        value = number(part[1] or "0")
        if value is None:
            return None
        total += value * _scale(unit, in_seconds=in_seconds)
        at = part.end()
    rest = number(text[at:] or "0")
    if rest is None or not any(one.isdigit() for one in text):
        return None
    total += rest * _scale(NO_UNIT, in_seconds=in_seconds)
    return total if total <= INT_MAX else None


def _scale(unit: str, *, in_seconds: bool) -> int:
    return 1 if unit == "ms" else STEPS.get(unit, 1) * (1 if in_seconds else 1000)

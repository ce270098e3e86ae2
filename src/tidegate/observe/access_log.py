"""Access logs: one line per session, in the words of its `log_format`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from tidegate.variables.template import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.config import model

T = TypeVar("T")
log = logging.getLogger(__name__)

_PLAIN = frozenset(range(0x20, 0x7F)) - {ord('"'), ord("\\")}

# What JSON does not allow in a string, as nginx writes it; and what a terminal or a reader of lines
# that is not nginx's could take for more than text. Who parses the JSON gets the same either way.
_JSON = {
    **{code: f"\\u{code:04X}" for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)},
    **{ord(one): f"\\{name}" for one, name in zip("\n\r\t\b\f", "nrtbf", strict=True)},
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


def escape_default(value: str) -> str:
    r"""nginx's `escape=default`: quotes, backslashes and everything not ASCII print as `\xHH`."""
    return "".join(
        chr(byte) if byte in _PLAIN else f"\\x{byte:02X}"
        for byte in value.encode("utf-8", "surrogateescape")
    )


def escape_json(value: str) -> str:
    """nginx's `escape=json`: what stands between the quotes of a JSON string."""
    # Bytes that are no UTF-8 are no JSON either.
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").translate(_JSON)


def escape_none(value: str) -> str:
    """nginx's `escape=none`; a line end would forge a line, so it alone is still escaped."""
    return value.replace("\r", "\\x0D").replace("\n", "\\x0A")


ESCAPES = {"default": escape_default, "json": escape_json, "none": escape_none}


def compile_line(
    log_format: model.LogFormat, getters: Mapping[str, Callable[[T], str | None]]
) -> Callable[[T], str]:
    """A function that gives a session's line, without its end."""
    escape = ESCAPES[log_format.escape]
    absent = "-" if log_format.escape == "default" else ""
    parts = log_format.template.parts
    steps = [getters[part.name] for part in parts if isinstance(part, Variable)]
    form = "".join(
        "%s" if isinstance(part, Variable) else part.replace("%", "%%") for part in parts
    )

    failed: set[Callable[[T], str | None]] = set()

    def apart(session: T) -> list[str]:
        """The values of a session of which one cannot be found out; each such is told once."""
        values = []
        for step in steps:
            value = None
            try:
                value = step(session)
            except Exception:
                if step not in failed:
                    failed.add(step)
                    log.exception("a variable of log_format %s failed", log_format.name)
            values.append(absent if value is None else value)
        return values

    def line(session: T) -> str:
        try:
            values = [absent if (value := step(session)) is None else value for step in steps]
        except Exception:  # noqa: BLE001 whatever it was, the other fields are worth their line
            values = apart(session)
        together = "".join(values)
        # Nearly all are plain: one look at them together is cheaper than one at each.
        if (
            not together.isascii()
            or not together.isprintable()
            or '"' in together
            or "\\" in together
        ):
            values = [escape(value) for value in values]
        return form % tuple(values)

    return line

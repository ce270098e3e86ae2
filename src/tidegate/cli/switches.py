"""nginx's switches, read by its rules: `-tq`, `-cFILE`, `-c FILE`; its words for what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNALS = ("stop", "quit", "reopen", "reload")

# Switches with a value, and what nginx calls it when it is missing.
VALUES = {
    "p": "directory name",
    "c": "file name",
    "e": "file name",
    "g": "parameter",
    "s": "parameter",
}
FLAGS = frozenset("?hvVtTq")


class UsageError(Exception):
    """Switches that nginx would refuse, in its words."""


@dataclass(slots=True)
class Switches:
    """What was asked for; the letters are nginx's."""

    flags: set[str] = field(default_factory=set)
    conf: str | None = None
    prefix: str | None = None
    error_log: str | None = None
    directives: tuple[str, ...] = ()
    signal: str | None = None

    @property
    def tests(self) -> bool:
        """Whether the configuration is only to be tested."""
        return bool(self.flags & {"t", "T"})


def parse(arguments: Sequence[str]) -> Switches:
    """Read the switches; raises UsageError.

    A bare `stop`, `quit`, `reopen` or `reload` counts as `-s` with that word: people write it, and
    the page that sends them to us does.
    """
    switches = Switches()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument in SIGNALS:
            switches.signal = argument
        elif argument.startswith("-"):
            _read(argument[1:], rest, switches)
        else:
            raise UsageError(f'invalid option: "{argument}"')
    return switches


def _read(letters: str, rest: list[str], switches: Switches) -> None:
    """One argument: flags, and at its end perhaps a switch with a value."""
    for place, letter in enumerate(letters):
        if letter in FLAGS:
            switches.flags.add(letter)
            continue
        if letter not in VALUES:
            raise UsageError(f'invalid option: "{letter}"')
        value = letters[place + 1 :] or (rest.pop(0) if rest else "")
        if not value:
            raise UsageError(f'option "-{letter}" requires {VALUES[letter]}')
        _set(switches, letter, value)
        return


def _set(switches: Switches, letter: str, value: str) -> None:
    if letter == "p":
        switches.prefix = value
    elif letter == "c":
        switches.conf = value
    elif letter == "e":
        switches.error_log = value
    elif letter == "g":
        switches.directives = (value,)
    elif value in SIGNALS:
        switches.signal = value
    else:
        raise UsageError(f'invalid option: "-s {value}"')

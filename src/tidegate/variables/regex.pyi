"""Regular expressions by the PCRE2 library of the system, which is the one that nginx uses."""

from typing import Final

LIBRARY: Final[str]
# Steps that one match may take, and kilobytes for what it has to come back to.
MOST_STEPS: Final[int]
MOST_MEMORY: Final[int]

class RegexError(ValueError):
    """An expression that cannot be compiled, or matched; in nginx's words."""

class NoLibraryError(RegexError):
    """PCRE2 is not on this machine."""

class Regex:
    """A compiled expression; `groups` counts its groups, `names` are pairs of name and number."""

    pattern: Final[bytes]
    groups: Final[int]
    names: Final[tuple[tuple[str, int], ...]]

    def __init__(self, pattern: bytes, *, caseless: bool = False) -> None:
        """Compile; raises RegexError."""
    def match(self, subject: bytes) -> tuple[bytes | None, ...] | None:
        """What all of it and each group matched, None for a group that took no part.

        None where the expression does not match. Raises RegexError where that is not to be found
        out within MOST_STEPS.
        """

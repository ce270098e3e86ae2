"""`allow` and `deny` at work, as nginx's access module: the first rule that fits decides."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.wire.network import number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidegate.config.model import AccessRule
    from tidegate.wire.proxy_protocol import Endpoint

FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


class Rules:
    """The rules of one server, for each family of addresses those that may fit."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[AccessRule]) -> None:
        self._rules: dict[int, tuple[tuple[int, int, bool], ...]] = {}
        for family in FAMILIES:
            of_family = [
                (0, 0, rule.deny)
                if rule.network is None
                else (rule.network.mask, rule.network.base, rule.deny)
                for rule in rules
                if rule.network is None or rule.network.family == family
            ]
            if of_family:
                self._rules[family] = tuple(of_family)

    def deny(self, endpoint: Endpoint) -> bool:
        """Whether a client from there is kept out; where no rule fits, it is let in."""
        family, number = self._number(endpoint)
        for mask, base, deny in self._rules.get(family, ()):
            if number & mask == base:
                return deny
        return False

    def _number(self, endpoint: Endpoint) -> tuple[int, int]:
        """Family and number that rules are looked up by.

        An IPv4 client that comes by an IPv6 socket goes by the rules of IPv4, where there are any.
        """
        family, host, _port = endpoint
        found = number_of(family, host)
        if found[0] in self._rules or family != socket.AF_INET6:
            return found
        return family, int.from_bytes(socket.inet_pton(family, host.partition("%")[0]), "big")


def compile_rules(rules: Sequence[AccessRule]) -> Callable[[Endpoint], bool] | None:
    """A function that tells who is kept out; None where nobody is."""
    if not any(rule.deny for rule in rules):
        return None
    return Rules(rules).deny

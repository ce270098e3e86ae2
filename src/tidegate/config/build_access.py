"""`allow` and `deny`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import block_here
from tidegate.config.model import AccessRule
from tidegate.config.networks import NetworkError, parse_network
from tidegate.wire.network import Network

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

UNIX = Network(family=socket.AF_UNIX)


def rule(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `allow ADDRESS | CIDR | unix: | all`, or `deny`."""
    word = directive.args[0]
    network = None if word.text == "all" else _network(reading, word, directive)
    block_here(reading).rules.access.append(
        AccessRule(deny=directive.name.text == "deny", network=network)
    )


def _network(reading: Reading, word: Token, directive: Directive) -> Network:
    if word.text == "unix:":
        return UNIX
    try:
        network, low_bits = parse_network(word.text)
    except NetworkError:
        hint = "an address, a network like 10.0.0.0/8 or fd00::/8, unix: or all is expected"
        if word.text.lower() == "all":
            hint = "it is written in small letters: all"
        raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint) from None
    if low_bits:
        message = f"low address bits of {word.text} are meaningless"
        reading.report.warn(message, word.span, line=directive.end.line)
    return network


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    (context, name): rule for context in ("stream", "stream.server") for name in ("allow", "deny")
}

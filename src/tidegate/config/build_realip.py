"""`set_real_ip_from`: whose PROXY protocol header may name the client."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import block_here
from tidegate.config.networks import NetworkError, parse_network
from tidegate.config.urls import UrlError, addresses, parse_url
from tidegate.wire.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.draft import DraftHandler, Reading, ServerDraft
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.wire.address import Address

EXPECTED = "it is an address, a network like 10.0.0.0/8, a host name, or unix:"


def set_real_ip_from(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `set_real_ip_from ADDRESS | CIDR | NAME | unix:`."""
    word = directive.args[0]
    block = block_here(reading)
    if word.text == "unix:":
        block.real_ip_from.append(Network(family=socket.AF_UNIX))
        return
    try:
        network, low_bits = parse_network(word.text)
    except NetworkError:
        block.real_ip_from += _resolved(reading, word)
        return
    if low_bits:
        message = f"low address bits of {word.text} are meaningless"
        reading.report.warn(message, word.span, line=directive.end.line)
    block.real_ip_from.append(network)


def _resolved(reading: Reading, word: Token) -> list[Network]:
    """The addresses of a host name; raises ConfigError."""
    found: Sequence[Address] = ()
    if _is_name(word.text):
        with suppress(UrlError):
            found = addresses(parse_url(word.text), reading.draft.resolve)
    if not found:
        message = f'host not found in set_real_ip_from "{word.text}"'
        raise ConfigError(message, word.span, hint=EXPECTED)
    return [parse_network(one.host)[0] for one in found]


def _is_name(text: str) -> bool:
    """Whether a text may be a host's name.

    What looks like a wrong address is none, though the resolver would take `10.0.0` for 10.0.0.0.
    """
    return not set(text) & set("/:[]? ") and any(one.isalpha() for one in text)


def finish_server(reading: Reading, draft: ServerDraft) -> None:
    """Warn of a server that trusts somebody, and has no header to believe."""
    if not draft.real_ip_from or any(one.proxy_protocol for one in draft.listens):
        return
    message = '"set_real_ip_from" has no effect: no "listen" of the server has "proxy_protocol"'
    reading.report.warn(
        message,
        draft.directive.name.span,
        hint='write "listen ... proxy_protocol" where the proxy in front sends such a header',
    )


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("stream", "set_real_ip_from"): set_real_ip_from,
    ("stream.server", "set_real_ip_from"): set_real_ip_from,
}

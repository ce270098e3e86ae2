"""`proxy_bind`: the addresses that brokers see connections come from."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import in_protocol
from tidegate.config.model import Bind
from tidegate.config.urls import QUAD
from tidegate.variables.computed import constants
from tidegate.wire.local_address import read_local_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.variables.template import Template
    from tidegate.wire.address import Address

# Values of a variable that a warning names; nobody reads a hundred.
SHOWN = 5

OFF = Bind(addresses=(), transparent=False)


def proxy_bind(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_bind ADDRESS... [transparent] | off`."""
    name = directive.name.text
    scope.claim(name)
    words = list(directive.args)
    if len(words) == 1 and words[0].text == "off":
        scope.put(name, OFF)
        return
    transparent = len(words) > 1 and words[-1].text == "transparent"
    if transparent:
        words.pop()
    addresses = []
    for place, word in enumerate(words):
        value = template(reading, word, directive)
        if value.constant is not None:
            address = _literal(word, first=place == 0)
            if not transparent and not is_ours(address):
                _warn(reading, word, directive)
        addresses.append(value)
    scope.put(name, Bind(addresses=_once(addresses), transparent=transparent))


def _once(addresses: list[Template]) -> tuple[Template, ...]:
    return tuple(dict.fromkeys(addresses))


def _literal(word: Token, *, first: bool) -> Address:
    """The IP address that a word is, with a port or without; raises ConfigError."""
    address = read_local_address(word.text)
    if address is not None:
        return address
    hint = "an IP address of this host is expected"
    if QUAD.match(word.text):
        hint = "an IP address of this host is expected, with a port from 1 to 65535 or none"
    if first:
        raise ConfigError(f'invalid address "{word.text}"', word.span, hint=hint)
    # nginx takes no second address, and names what it does not know.
    hint = f'{hint}, or "transparent" at the end'
    raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)


def finish_binds(reading: Reading) -> None:
    """Warn of values that a variable may bring into `proxy_bind` and that are none of ours."""
    protocol = in_protocol(reading)
    told: set[tuple[str, int]] = set()
    for use in protocol.variables:
        words = use.directive.args
        if use.directive.name.text != "proxy_bind" or words[-1].text == "transparent":
            continue
        word = next(one for one in words if one.span == use.span)
        definition = protocol.definitions.get(use.name)
        if definition is None or word.text.lower() not in (f"${use.name}", f"${{{use.name}}}"):
            continue
        wrong = [value for value in constants(definition) if not _is_ours_text(value)]
        if wrong and (use.name, use.span.line) not in told:
            told.add((use.name, use.span.line))
            _warn(reading, word, use.directive, wrong=wrong)


def _is_ours_text(text: str) -> bool:
    address = read_local_address(text)
    return address is not None and is_ours(address)


def is_ours(address: Address) -> bool:
    """Whether this host lets a socket have the address; True also where that is not to be known."""
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as trial:
            trial.bind((address.host, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _warn(
    reading: Reading, word: Token, directive: Directive, *, wrong: Sequence[str] = ()
) -> None:
    message = f'"{word.text}" in "{directive.name.text}" is no address of this host'
    if wrong:
        shown = [*wrong[:SHOWN], *([f"and {len(wrong) - SHOWN} more"] if wrong[SHOWN:] else [])]
        message = (
            f'"{word.text}" in "{directive.name.text}" may be {", ".join(shown)}: '
            f"no address{'es' if len(wrong) > 1 else ''} of this host"
        )
    hint = (
        f"sessions would end with: bind({[*wrong, word.text][0]}) failed (99: Cannot assign"
        " requested address); give it to an interface first"
    )
    reading.report.warn(message, word.span, line=directive.end.line, hint=hint)

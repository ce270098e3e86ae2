"""Where a `server` of stream listens, and the names that clients know it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_listen import MOST_PORTS, read_parameter
from tidegate.config.build_names import read_names
from tidegate.config.build_shared import PROTOCOLS, Parameters, share
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import in_server
from tidegate.config.urls import UrlError, addresses, parse_url

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope


def listen(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `listen ADDRESS [PARAMETER…]`."""
    server = in_server(reading)
    word, *words = directive.args
    try:
        url = parse_url(word.text, listen=True)
        found = addresses(url, reading.draft.resolve)
    except UrlError as error:
        message = f'{error} in "{word.text}" of the "listen" directive'
        raise ConfigError(message, word.span) from None
    if not url.unix and not url.ports:
        message = f'no port in "{word.text}" of the "listen" directive'
        raise ConfigError(message, word.span, hint=f"for MQTT it is mostly {word.text}:1883")
    if len(found) > MOST_PORTS:
        message = f'more than {MOST_PORTS} addresses in "{word.text}" of the "listen" directive'
        raise ConfigError(message, word.span)
    parameters = Parameters()
    for parameter in words:
        _read(parameters, parameter)
    for address in dict.fromkeys(found):  # a name's addresses may repeat
        share(reading, server, address, parameters, word)


def _read(parameters: Parameters, word: Token) -> None:
    """Take one parameter; raises ConfigError."""
    if word.text == "default_server":
        parameters.default = True
        return
    parameters.options = read_parameter(parameters.options, word)
    parameters.written |= word.text not in PROTOCOLS


def server_name(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `server_name NAME…`."""
    read_names(reading, directive, in_server(reading))

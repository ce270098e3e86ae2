"""`server {}` of http and its `listen` and `server_name`."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tidegate.config.build_listen import MOST_PORTS, read_parameter
from tidegate.config.build_names import read_names
from tidegate.config.build_shared import PROTOCOLS, Parameters, share
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft_http import HttpServerDraft, LocationDraft, in_http, in_location
from tidegate.config.scope import Scope
from tidegate.config.urls import UrlError, addresses, parse_url
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive

PORT = 80
PORT_OF_USERS = 8000  # where only root may have the other


def server(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `server {}`."""
    http = in_http(reading)
    draft = HttpServerDraft(directive=directive)
    draft.outside = LocationDraft(
        directive=directive,
        scope=Scope("http.server", scope),
        around=http,
        match=None,
        text="",
        server=draft,
    )
    http.servers.append(draft)
    reading.draft.server = draft.outside
    try:
        draft.outside.sound = reading.block(directive, draft.outside.scope)
    finally:
        reading.draft.server = None
    if draft.outside.sound and not draft.addresses:
        _listen_by_default(reading, draft)


def _listen_by_default(reading: Reading, draft: HttpServerDraft) -> None:
    port = PORT if os.getuid() == 0 else PORT_OF_USERS
    address = Address(family=socket.AF_INET, host="0.0.0.0", port=port)  # noqa: S104 - nginx's *
    share(reading, draft, address, Parameters(), draft.directive.name)


def listen(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `listen ADDRESS [PARAMETER…]`."""
    draft = in_location(reading).server
    word, *words = directive.args
    try:
        url = parse_url(word.text, listen=True, default=PORT)
        found = addresses(url, reading.draft.resolve)
    except UrlError as error:
        message = f'{error} in "{word.text}" of the "listen" directive'
        raise ConfigError(message, word.span) from None
    if len(found) > MOST_PORTS:
        message = f'more than {MOST_PORTS} addresses in "{word.text}" of the "listen" directive'
        raise ConfigError(message, word.span)
    parameters = Parameters()
    for parameter in words:
        _read(reading, parameters, parameter, directive)
    for address in dict.fromkeys(found):
        share(reading, draft, address, parameters, word)


def _read(reading: Reading, parameters: Parameters, word: Token, directive: Directive) -> None:
    """Take one parameter; raises ConfigError."""
    match word.text:
        case "default_server" | "default":
            parameters.default = True
        case "http2":
            message = (
                'the "listen ... http2" directive is deprecated, use the "http2" directive instead'
            )
            hint = "clients are spoken to in HTTP/1.1, as MQTT's WebSocket is"
            reading.report.warn(message, word.span, line=directive.end.line, hint=hint)
        case "quic":
            raise ConfigError(
                '"listen ... quic" is not supported yet', word.span, hint="there is no HTTP/3"
            )
        case _:
            parameters.options = read_parameter(parameters.options, word)
            parameters.written |= word.text not in PROTOCOLS


def server_name(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `server_name NAME…`."""
    read_names(reading, directive, in_location(reading).server)

"""`server {}` of http and its `listen` and `server_name`."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tidegate.config.build_listen import MOST_PORTS, Options, read_parameter
from tidegate.config.build_variables import check_regex
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft_http import (
    AddressDraft,
    HttpServerDraft,
    LocationDraft,
    in_http,
    in_location,
)
from tidegate.config.scope import Scope
from tidegate.config.urls import UrlError, addresses, parse_url
from tidegate.dataclasses import replace
from tidegate.variables.hostnames import EXACT, HEAD, HEAD_OR_ITSELF, WildcardError, split_wildcard
from tidegate.variables.values import encode
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span

PORT = 80
PORT_OF_USERS = 8000  # where only root may have the other

# What is said of the connections of an address by every `listen` of it together.
PROTOCOLS = ("ssl", "proxy_protocol")


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
    _add(reading, draft, address, Parameters(), draft.directive.name)


# --- listen ---


class Parameters:
    """The parameters of one `listen`; `written` tells of those that belong to the socket."""

    def __init__(self) -> None:
        self.options = Options()
        self.default = False
        self.written = False

    @property
    def protocols(self) -> set[str]:
        """What is said of the connections."""
        return {name for name in PROTOCOLS if getattr(self.options, name)}


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
        _add(reading, draft, address, parameters, word)


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


def _add(
    reading: Reading, draft: HttpServerDraft, address: Address, parameters: Parameters, word: Token
) -> None:
    """Let a server listen on an address; raises ConfigError where it disagrees with others."""
    taken = in_http(reading).addresses
    known = taken.get(address)
    if known is None:
        known = AddressDraft(
            address=address,
            options=parameters.options,
            span=word.span,
            placed=word.span if parameters.written else None,
            protocols=parameters.protocols,
        )
        taken[address] = known
    elif draft in known.servers:
        raise ConfigError(f"a duplicate listen {address.text}", word.span)
    else:
        _join(reading, known, parameters, word)
    known.servers.append(draft)
    draft.addresses.append(known)
    if not parameters.default:
        return
    if known.default is not None:
        place = known.default.directive.name.span
        hint = f"the other is in {place.file}:{place.line}"
        message = f"a duplicate default server for {address.text}"
        raise ConfigError(message, word.span, hint=hint)
    known.default = draft


def _join(reading: Reading, known: AddressDraft, parameters: Parameters, word: Token) -> None:
    if parameters.written:
        if known.placed is not None:
            hint = f"one of them is enough; the other is in {known.placed.file}:{known.placed.line}"
            message = f"duplicate listen options for {known.address.text}"
            raise ConfigError(message, word.span, hint=hint)
        known.options, known.placed = parameters.options, word.span
    if parameters.protocols and parameters.protocols != known.protocols:
        message = f"protocol options redefined for {known.address.text}"
        hint = "servers of one address share its connections, so these hold for all of them"
        reading.report.warn(message, word.span, hint=hint)
    known.protocols |= parameters.protocols
    known.options = replace(
        known.options,
        ssl="ssl" in known.protocols,
        proxy_protocol="proxy_protocol" in known.protocols,
    )


# --- server_name ---


def server_name(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `server_name NAME…`."""
    draft = in_location(reading).server
    for word in directive.args:
        name = word.text
        if (name.startswith("*") and (len(name) < len("*.a") or name[1] != ".")) or name == ".":
            raise ConfigError(f'server name "{name}" is invalid', word.span, hint=WILDCARDS)
        if "/" in name:
            message = f'server name "{name}" has suspicious symbols'
            reading.report.warn(message, word.span, line=directive.end.line)
        if name.lower() == "$hostname":
            name = socket.gethostname()
        if name.startswith("~"):
            _check_regex(reading, word)
        else:
            name = name.lower()
        draft.names.append((name, word.span))


WILDCARDS = "a wildcard is a whole first or last part of a name: *.a.b, .a.b, a.b.*"


def _check_regex(reading: Reading, word: Token) -> None:
    pattern = word.text[1:]
    if not pattern:
        raise ConfigError(f'empty regex in server name "{word.text}"', word.span)
    caseless = any("A" <= one <= "Z" for one in pattern)
    check_regex(reading, word, pattern, caseless=caseless)


def finish_names(reading: Reading, known: AddressDraft) -> None:
    """Warn of names that two servers of an address have: the first one gets the clients."""
    if len(known.servers) == 1:
        return
    taken: set[tuple[str, bytes]] = set()
    for draft in known.servers:
        for name, span in draft.names or [("", draft.directive.name.span)]:
            if name.startswith("~"):
                continue
            try:
                kind, rest = split_wildcard(encode(name))
            except WildcardError:
                message = f'invalid server name or wildcard "{name}" on {known.address.text}'
                reading.report.error(message, None, hint=f"in {span.file}:{span.line}; {WILDCARDS}")
                continue
            if _is_taken(taken, kind, rest):
                message = f'conflicting server name "{name}" on {known.address.text}, ignored'
                reading.report.warn(message, None, hint=_where(draft, span))
            taken.add((kind, rest))


def _is_taken(taken: set[tuple[str, bytes]], kind: str, name: bytes) -> bool:
    """Whether a name or wildcard was there that means the same."""
    return any((one, name) in taken for one in SAME.get(kind, (kind,)))


# Which kinds of names mean, in part, the same as each.
SAME: dict[str, tuple[str, ...]] = {
    EXACT: (EXACT, HEAD_OR_ITSELF),
    HEAD: (HEAD, HEAD_OR_ITSELF),
    HEAD_OR_ITSELF: (EXACT, HEAD, HEAD_OR_ITSELF),
}


def _where(draft: HttpServerDraft, span: Span) -> str:
    if draft.names:
        return f"in {span.file}:{span.line}; the server that comes first has the name"
    return f'the server in {span.file}:{span.line} has no "server_name"; the first one answers'

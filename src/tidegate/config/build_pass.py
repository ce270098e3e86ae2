"""`pass`: the `listen` that serves a connection instead, and whether it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import ServerDraft, in_server
from tidegate.config.model import Pass
from tidegate.config.urls import UrlError, parse_url
from tidegate.variables.template import Template
from tidegate.wire.address import Address, listening_for

if TYPE_CHECKING:
    from tidegate.config.diagnostics import Report
    from tidegate.config.draft import AddressDraft, Draft, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope


def pass_(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `pass ADDRESS`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    to = template(reading, word, directive) if "$" in word.text else _address(word)
    server = in_server(reading)
    server.upstream, server.target, server.pass_span = None, None, None
    server.answer = Pass(to=to, span=word.span)


def _address(word: Token) -> Address:
    """The address that stands there; a name is none, as in nginx."""
    try:
        url = parse_url(word.text)
    except UrlError as error:
        message = f'{error} in "{word.text}" of the "pass" directive'
        raise ConfigError(message, word.span) from None
    hint = "write the address of a listen of this configuration, as in: pass 127.0.0.1:1883;"
    if url.literal is None:
        raise ConfigError('"pass" directive has no addresses', word.span, hint=hint)
    if not url.unix and not url.ports:
        raise ConfigError('"pass" directive has no port', word.span, hint=hint)
    return Address(family=url.literal.family, host=url.literal.host, port=url.port)


def finish_passes(draft: Draft, report: Report) -> None:
    """Complain of a `pass` that no connection could ever take."""
    if draft.stream is None:
        return
    known = {one.address.text: one for one in draft.stream.addresses.values()}
    if draft.http is not None:
        known.update((one.address.text, one) for one in draft.http.addresses.values())
    for server in draft.stream.servers:
        to = server.answer
        if not isinstance(to, Pass):
            continue
        if server.set_connect:
            hint = "write it in the server that the connection is passed to"
            report.error('"mqtt_set_connect" changes nothing beside "pass"', to.span, hint=hint)
        if isinstance(to.to, Template):
            continue
        fault = _fault(server, to.to, known)
        if fault is not None:
            report.error(fault[0], to.span, hint=fault[1])


def _fault(
    server: ServerDraft, to: Address, known: dict[str, AddressDraft]
) -> tuple[str, str] | None:
    """What is wrong with a way, and what to do about it."""
    place = listening_for(to, known)
    if place is None:
        hint = 'no server of this configuration listens there; "proxy_pass" leads elsewhere'
        return f'port not found for "{to.text}"', hint
    opens = all("ssl" in one.protocols for one in server.addresses)
    if opens and "ssl" in place.protocols:
        hint = 'pass it to a "listen" without "ssl", or let TLS pass by "ssl_preread on"'
        return f'TLS that ended here cannot be passed to "listen {to.text} ssl"', hint
    looks = opens or server.sees_mqtt or server.scope.flag("ssl_preread")
    if looks and "proxy_protocol" in place.protocols:
        hint = "a PROXY header is the first that a client says, and that was read here"
        return f'cannot pass connection with preread data to "{to.text}"', hint
    if any(server is one for one in _ways(place, known)):
        hint = "each connection would come back here without end"
        return f'stream pass cycle through "{to.text}"', hint
    return None


def _ways(place: AddressDraft | None, known: dict[str, AddressDraft]) -> list[ServerDraft]:
    """The servers that a connection is sure to come by from an address on."""
    found: list[ServerDraft] = []
    while place is not None and len(place.servers) == 1:
        server = place.servers[0]
        if not isinstance(server, ServerDraft) or any(server is one for one in found):
            break
        found.append(server)
        to = server.answer.to if isinstance(server.answer, Pass) else None
        place = listening_for(to, known) if isinstance(to, Address) else None
    return found

"""`resolver`, and what becomes of `server NAME resolve` when its upstream was read."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.diagnostics import ConfigError
from tidegate.config.model_names import MovingServer, Resolver
from tidegate.config.urls import UrlError, addresses, parse_url
from tidegate.dataclasses import replace
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from tidegate.config.draft import Reading, UpstreamDraft
    from tidegate.config.lexer import Token
    from tidegate.config.model import Peer
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.config.urls import Url

DNS_PORT = 53
FLAGS = {"on": True, "off": False}

# The host is not known before it is asked for; the port is.
NO_HOST = "0.0.0.0"  # noqa: S104 - nobody connects to it
NOBODY = Resolver(servers=(), valid=None, ipv4=True, ipv6=True, timeout_ms=0)


def resolver(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `resolver ADDRESS… [valid=TIME] [ipv4=on|off] [ipv6=on|off] [status_zone=ZONE]`."""
    scope.claim(directive.name.text, directive.name.span)
    scope.put(directive.name.text, NOBODY)  # what is wrong with it is told once
    servers: list[Address] = []
    valid: int | None = None
    families = {"ipv4": True, "ipv6": True}
    for word in directive.args:
        name, equals, text = word.text.partition("=")
        if equals and name == "valid":
            valid = values.seconds(text)
            if valid is None:
                raise _invalid(word, "it is a time in whole seconds, as in 30s")
        elif equals and name in families:
            if text not in FLAGS:
                raise _invalid(word, f'it must be "{name}=on" or "{name}=off"')
            families[name] = FLAGS[text]
        elif equals and name == "status_zone":
            _warn_of_zone(reading, directive, word)
        else:
            servers += _servers(reading, word)
    if not any(families.values()):
        raise ConfigError('"ipv4" and "ipv6" cannot both be "off"')
    if not servers:
        hint = "name the address of a name server: resolver 10.0.0.2;"
        raise ConfigError("no name servers defined", hint=hint)
    made = Resolver(servers=tuple(servers), valid=valid or None, timeout_ms=0, **families)
    scope.put(directive.name.text, made)


def _servers(reading: Reading, word: Token) -> list[Address]:
    try:
        url = parse_url(word.text, default=DNS_PORT)
        found = addresses(url, reading.draft.resolve)
    except UrlError as error:
        raise ConfigError(f'{error} in resolver "{word.text}"', word.span) from None
    if url.unix:
        raise ConfigError(f'invalid host in resolver "{word.text}"', word.span)
    return found


def _invalid(word: Token, hint: str) -> ConfigError:
    return ConfigError(f"invalid parameter: {word.text}", word.span, hint=hint)


def _warn_of_zone(reading: Reading, directive: Directive, word: Token) -> None:
    message = f'parameter "{word.text}" of "resolver" is ignored: nothing is counted of answers'
    hint = '"tidegate ctl upstreams" tells what names mean, and since when'
    reading.report.warn(message, word.span, line=directive.end.line, hint=hint)


def check_service(word: Token, url: Url, service: str, *, resolves: bool) -> None:
    """Whether `service=` fits the server that it stands with; raises ConfigError."""
    if not service:
        return
    if not resolves:
        message = f'service upstream "{word.text}" requires "resolve" parameter'
        raise ConfigError(message, word.span, hint=f"write: server {word.text} resolve service=…;")
    if url.ports:
        message = f'service upstream "{word.text}" may not have port'
        raise ConfigError(message, word.span, hint="the records of the service name the ports")
    if url.literal is not None:
        raise ConfigError(f'service upstream "{word.text}" requires domain name', word.span)


def port_only(port: int) -> Address:
    """What stands for the address of a server until its name was resolved."""
    return Address(family=socket.AF_INET, host=NO_HOST, port=port)


def moving(host: str, service: str, peer: Peer) -> MovingServer:
    """A server whose resolver is not known yet: it may stand below."""
    peer = replace(peer, resolved=True)
    return MovingServer(host=host, service=service, resolver=NOBODY, peer=peer)


def finish_moving(reading: Reading, group: UpstreamDraft) -> None:
    """Give the servers of a group that are to be resolved their resolver."""
    if not group.moving:
        return
    scope = group.scope
    assert scope is not None
    found = scope.get("resolver")
    if not isinstance(found, Resolver):
        message = f'no resolver defined to resolve names at run time in upstream "{group.name}"'
        hint = 'add "resolver" and the address of a name server, to the upstream or around it'
        reading.report.error(message, group.span, line=group.line, hint=hint)
        return
    found = replace(found, timeout_ms=scope.integer("resolver_timeout"))
    group.moving = [replace(one, resolver=found) for one in group.moving]

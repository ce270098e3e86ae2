"""The parameters of `listen`: how the socket of an address is to be."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import refused
from tidegate.config.model import Keepalive, Listen
from tidegate.dataclasses import dataclass, replace

if TYPE_CHECKING:
    from tidegate.config.lexer import Token
    from tidegate.config.span import Span
    from tidegate.wire.address import Address

# nginx's on Linux (NGX_LISTEN_BACKLOG).
BACKLOG = 511

# Sockets take 32-bit numbers.
LARGEST = 2**31 - 1

# Sockets that one "listen" with a range of ports may make.
MOST_PORTS = 1024

LATER = {
    "udp": "MQTT goes over TCP; UDP is not proxied",
    "multipath": "multipath TCP is not used",
}
# Of FreeBSD; nginx for Linux knows them, and does nothing.
ELSEWHERE = ("setfib", "accept_filter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parameters of one `listen`."""

    proxy_protocol: bool = False
    backlog: int = BACKLOG
    reuseport: bool = False
    deferred: bool = False
    fastopen: int | None = None
    ipv6only: bool = True
    rcvbuf: int | None = None
    sndbuf: int | None = None
    keepalive: Keepalive | None = None
    ssl: bool = False


def make_listen(address: Address, options: Options, span: Span) -> Listen:
    """A socket to be."""
    return Listen(
        address=address,
        proxy_protocol=options.proxy_protocol,
        backlog=options.backlog,
        reuseport=options.reuseport,
        deferred=options.deferred,
        fastopen=options.fastopen,
        ipv6only=options.ipv6only if address.family == socket.AF_INET6 else None,
        rcvbuf=options.rcvbuf,
        sndbuf=options.sndbuf,
        keepalive=options.keepalive,
        ssl=options.ssl,
        span=span,
    )


def read_parameter(options: Options, word: Token) -> Options:  # noqa: C901, PLR0911 - one each
    """`options` with one parameter more; raises ConfigError."""
    name, equals, value = word.text.partition("=")
    if name in ELSEWHERE if equals else name in LATER:
        raise _not_yet(name, word)
    match (name, equals):
        case ("bind", ""):
            return options  # every address has a socket of its own anyway
        case ("proxy_protocol", ""):
            return replace(options, proxy_protocol=True)
        case ("ssl", ""):
            return replace(options, ssl=True)
        case ("reuseport", ""):
            return replace(options, reuseport=True)
        case ("deferred", ""):
            return replace(options, deferred=True)
        case ("backlog", "="):
            return replace(options, backlog=_number(name, value, word))
        case ("fastopen", "="):
            return replace(options, fastopen=_number(name, value, word))
        case ("rcvbuf", "="):
            return replace(options, rcvbuf=_size(name, value, word))
        case ("sndbuf", "="):
            return replace(options, sndbuf=_size(name, value, word))
        case ("so_keepalive", "="):
            return replace(options, keepalive=_keepalive(value, word))
        case ("ipv6only", "=") if value in ("on", "off"):
            return replace(options, ipv6only=value == "on")
    raise _invalid(word)


def _not_yet(name: str, word: Token) -> ConfigError:
    error = refused(f'"listen ... {name}"', reason=LATER.get(name, "it is not a matter of Linux"))
    error.span = word.span
    return error


def _invalid(word: Token) -> ConfigError:
    known = (
        "ssl proxy_protocol backlog= reuseport so_keepalive= ipv6only= rcvbuf= sndbuf= deferred"
        " fastopen= bind"
    )
    return ConfigError(f'invalid parameter "{word.text}"', word.span, hint=f"there are: {known}")


def _number(name: str, text: str, word: Token) -> int:
    value = values.number(text)
    if value is None or (name == "backlog" and value == 0):
        raise ConfigError(f'invalid {name} "{word.text}"', word.span)
    return min(value, LARGEST)


def _size(name: str, text: str, word: Token) -> int:
    value = values.size(text)
    if value is None:
        raise ConfigError(f'invalid {name} "{word.text}"', word.span)
    return min(value, LARGEST)


def _keepalive(text: str, word: Token) -> Keepalive:
    """`on`, `off` or `[idle]:[interval]:[count]`, of which one must be given."""
    if text in ("on", "off"):
        return Keepalive(on=text == "on")
    idle, _, rest = text.partition(":")
    interval, _, count = rest.partition(":")
    numbers = (
        values.seconds(idle) if idle else 0,
        values.seconds(interval) if interval else 0,
        values.number(count) if count else 0,
    )
    if None in numbers or not any(numbers):
        hint = 'it is "on", "off" or [idle]:[interval]:[count], as in 30m::10'
        raise ConfigError(f'invalid so_keepalive value: "{text}"', word.span, hint=hint)
    first, second, third = (min(one, LARGEST) if one else None for one in numbers)
    return Keepalive(on=True, idle=first, interval=second, count=third)

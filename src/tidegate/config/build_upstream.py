"""`upstream {}` with its `server` and `zone`, and the groups that `proxy_pass` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tidegate.config import values
from tidegate.config.build_method import WITHOUT_SLOW_START, check_backup, check_slow_start
from tidegate.config.build_resolver import check_service, finish_moving, moving, port_only
from tidegate.config.diagnostics import ConfigError, did_you_mean, nearest
from tidegate.config.draft import UpstreamDraft, in_protocol
from tidegate.config.model import Peer, Upstream
from tidegate.config.scope import Scope
from tidegate.config.urls import Url, UrlError, addresses, parse_url
from tidegate.config.zones import declare, read_size
from tidegate.dataclasses import replace

if TYPE_CHECKING:
    from tidegate.config.draft import ProtocolDraft, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.wire.address import Address

# Weights of a group are summed up in 64 bits, and multiplied with connections.
MOST_WEIGHT = 1_000_000

# Counts in shared memory have 32 bits.
LARGEST = 2**31 - 1

FAIL_TIMEOUT = 10

NUMBERS = ("weight", "max_conns", "max_fails")
TIMES = ("fail_timeout", "slow_start")
FLAGS = ("backup", "down", "resolve")


def upstream(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `upstream NAME {}`."""
    group = _created(reading, directive)
    group.scope = Scope(f"{scope.context}.upstream", scope)
    around = reading.draft.upstream
    reading.draft.upstream = group
    try:
        group.sound = reading.block(directive, group.scope)
    finally:
        reading.draft.upstream = around
    if group.sound and not group.peers and not group.moving:
        group.sound = False
        close = directive.block.close if directive.block else None
        message = "no servers are inside upstream"
        reading.report.error(message, directive.name.span, line=close.line if close else None)


def _created(reading: Reading, directive: Directive) -> UpstreamDraft:
    """The group that `upstream` opens; it may be one that a `proxy_pass` above has named."""
    word = directive.args[0]
    protocol = in_protocol(reading)
    for group in protocol.groups(word.text):
        if group.created:
            hint = f"it is also in {group.span.file}:{group.span.line}"
            raise ConfigError(f'duplicate upstream "{word.text}"', word.span, hint=hint)
        if group.port is not None:
            message = f'upstream "{word.text}" may not have port {group.port}'
            reading.report.error(message, group.span, line=group.line)
        else:
            group.created = True
            group.url = None
            group.name = word.text
            return group
    span, line = directive.name.span, directive.end.line
    return protocol.add(UpstreamDraft(name=word.text, span=span, line=line, created=True))


def passed_to(
    reading: Reading, word: Token, directive: Directive, *, default: int = 0, named: str = ""
) -> UpstreamDraft:
    """The group that `proxy_pass` names: one of the configuration, or an address.

    `default` is the port of an address without one, `named` what messages call it.
    """
    try:
        url = parse_url(word.text, default=default)
    except UrlError as error:
        raise ConfigError(f'{error} in upstream "{named or word.text}"', word.span) from None
    protocol = in_protocol(reading)
    for group in protocol.groups(url.host):
        if group.created and (url.ports or url.unix):
            message = f'upstream "{url.host}" may not have port {url.port}'
            raise ConfigError(message, word.span, hint=f"write proxy_pass {url.host};")
        if group.created or (group.url is not None and group.url.port == url.port):
            return group
    return protocol.add(
        UpstreamDraft(
            name=f"{url.host}:{default}" if url.default else word.text,
            span=word.span,
            line=directive.end.line,
            created=False,
            url=url,
        )
    )


def server(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `server ADDRESS [PARAMETER…]` of an upstream: a peer for each of its addresses."""
    group = reading.draft.upstream
    assert group is not None
    word, *parameters = directive.args
    numbers = {"weight": 1, "max_conns": 0, "max_fails": 1, "fail_timeout": FAIL_TIMEOUT}
    numbers["slow_start"] = 0
    flags = dict.fromkeys(FLAGS, False)
    service = ""
    for parameter in parameters:
        name, equals, text = parameter.text.partition("=")
        if equals and name in numbers:
            if name == "slow_start":
                check_slow_start(group, parameter)
            numbers[name] = _number(name, text, parameter)
        elif not equals and name in FLAGS:
            if name == "backup":
                check_backup(group, parameter)
            flags[name] = True
        elif equals and name == "service":
            service = _service(text, parameter)
        else:
            raise _invalid(parameter)
    found = _places(reading, word, service, resolves=flags["resolve"])
    peers = [
        Peer(
            address=address,
            name=word.text,
            weight=numbers["weight"],
            max_conns=numbers["max_conns"],
            max_fails=numbers["max_fails"],
            fail_timeout=numbers["fail_timeout"],
            down=flags["down"],
            backup=flags["backup"],
            slow_start_ms=numbers["slow_start"],
        )
        for address in found.known
    ]
    if found.host:
        group.moving.append(moving(found.host, service, peers.pop()))
    group.peers.extend(peers)


def _service(text: str, parameter: Token) -> str:
    if not text:
        raise ConfigError("service is empty", parameter.span, hint="for example: service=mqtt")
    return text


class _Places(NamedTuple):
    """Where a server is; with a `host` its one address has but the port."""

    known: list[Address]
    host: str = ""


def _places(reading: Reading, word: Token, service: str, *, resolves: bool) -> _Places:
    """Find the addresses of a server; raises ConfigError."""
    try:
        url = parse_url(word.text, default=in_protocol(reading).default_port)
        check_service(word, url, service, resolves=resolves)
        if not url.port and not url.unix and not service:
            hint = f"brokers mostly listen on 1883: {word.text}:1883"
            raise ConfigError(f'no port in upstream "{word.text}"', word.span, hint=hint)
        if resolves and url.literal is None:
            return _Places([port_only(url.port)], url.host)
        return _Places(addresses(url, reading.draft.resolve))
    except UrlError as error:
        raise ConfigError(
            f'{error} in upstream "{word.text}"', word.span, hint=_unresolved(str(error))
        ) from None


def _number(name: str, text: str, word: Token) -> int:
    read = {"fail_timeout": values.seconds, "slow_start": values.milliseconds}
    value = read.get(name, values.number)(text)
    if value is None or (name == "weight" and not 1 <= value <= MOST_WEIGHT):
        hint = {
            "weight": f"a weight is a number from 1 to {MOST_WEIGHT}",
            "fail_timeout": "it is a time in whole seconds, as in 10s or 2m",
            "slow_start": "it is a time, as in 30s or 2m",
        }.get(name, "a whole number is expected")
        raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)
    return min(value, LARGEST)


def _invalid(word: Token) -> ConfigError:
    name = word.text.partition("=")[0]
    if name in ("route", "drain"):
        return ConfigError(
            f'parameter "{name}" of "server" is not supported yet',
            word.span,
        )
    known = [*NUMBERS, *TIMES, *FLAGS, "service"]
    hint = did_you_mean(name, known) or "there are: " + ", ".join(known)
    return ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)


def _unresolved(reason: str) -> str | None:
    if reason != "host not found":
        return None
    return (
        "names are resolved once, when the configuration is read; is the name server reachable? "
        'With "resolve" and a "resolver" a name may be without addresses for a while'
    )


def zone(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `zone NAME [SIZE]`. The size is checked as nginx does; here shared memory needs none."""
    group = reading.draft.upstream
    assert group is not None
    name, *sizes = directive.args
    if not name.text:
        raise ConfigError(f'invalid zone name "{name.text}"', name.span)
    size = read_size(sizes[0].text, sizes[0], named=name.text) if sizes else 0
    declare(reading, name.text, size, use="upstream", span=name.span)
    group.zone = name.text


def finish_group(reading: Reading, group: UpstreamDraft) -> None:
    """What nginx finds out of a group when all of the block was read."""
    if not group.sound:
        return
    if group.created:
        if all(peer.backup for peer in (*group.peers, *(one.peer for one in group.moving))):
            message = f'no servers in upstream "{group.name}"'
            hint = 'one server at least must be without "backup"'
            reading.report.error(message, group.span, line=group.line, hint=hint)
        finish_moving(reading, group)
        return
    assert group.url is not None
    _find_peers(reading, group, group.url)


def _find_peers(reading: Reading, group: UpstreamDraft, url: Url) -> None:
    if not url.port and not url.unix:
        hint = meant(in_protocol(reading), group.name)
        message = f'no port in upstream "{url.host}"'
        reading.report.error(message, group.span, line=group.line, hint=hint)
        return
    try:
        found = addresses(url, reading.draft.resolve)
    except UrlError as error:
        hint = meant(in_protocol(reading), group.name)
        message = f'{error} in upstream "{url.host}"'
        reading.report.error(message, group.span, line=group.line, hint=hint)
        return
    group.peers = [
        Peer(
            address=address,
            name=group.name,
            weight=1,
            max_conns=0,
            max_fails=1,
            fail_timeout=FAIL_TIMEOUT,
            down=False,
            backup=False,
        )
        for address in found
    ]


def make_upstreams(protocol: ProtocolDraft, *, http: bool = False) -> tuple[Upstream, ...]:
    """The groups of stream, or of `http`, without errors."""
    return tuple(
        Upstream(
            name=group.name,
            method=group.method,
            peers=tuple(_as_taken(group, peer) for peer in group.peers),
            zone=group.zone,
            implicit=not group.created,
            http=http,
            sticky=group.sticky,
            moving=tuple(replace(one, peer=_as_taken(group, one.peer)) for one in group.moving),
            span=group.span,
        )
        for group in protocol.upstreams
    )


def _as_taken(group: UpstreamDraft, peer: Peer) -> Peer:
    """A peer as the method that came last takes it."""
    without = peer.slow_start_ms and group.method_name in WITHOUT_SLOW_START
    return replace(peer, slow_start_ms=0) if without else peer


def meant(protocol: ProtocolDraft, name: str) -> str:
    """What somebody may have meant by a name that leads nowhere."""
    groups = [group.name for group in protocol.upstreams if group.created]
    near = nearest(name, groups)
    if near is None:
        return "no upstream has this name, and an address needs a port"
    return f'did you mean the upstream "{near}"?'

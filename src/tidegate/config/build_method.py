"""How an upstream chooses: `hash`, `ip_hash`, `least_conn`, `least_time`, `random`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.model import Hash, IpHash, LeastConn, LeastTime, Random

if TYPE_CHECKING:
    from tidegate.config.draft import Reading, UpstreamDraft
    from tidegate.config.lexer import Token
    from tidegate.config.model import Method
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

# A key or a draw has one place among the peers, and backups have none there; nor has a weight that
# grows.
WITHOUT_BACKUP = frozenset({"hash", "ip_hash", "random"})
WITHOUT_SLOW_START = WITHOUT_BACKUP

# The times that `least_time` may go by, as nginx has them in either block.
TIMES = {
    "stream.upstream": ("connect", "first_byte", "last_byte"),
    "http.upstream": ("header", "last_byte"),
}


def hash_(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `hash KEY [consistent]`."""
    word, *rest = directive.args
    key = template(reading, word, directive)
    if rest and rest[0].text != "consistent":
        hint = 'the only parameter is "consistent"; quote a key that holds spaces'
        raise _invalid(rest[0], hint=hint)
    _choose(reading, directive, Hash(key=key, consistent=bool(rest)))


def ip_hash(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `ip_hash`; nginx has it in `http {}` only."""
    _choose(reading, directive, IpHash())


def least_conn(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `least_conn`."""
    _choose(reading, directive, LeastConn())


def least_time(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `least_time TIME [inflight]`."""
    word, *rest = directive.args
    times = TIMES[scope.context]
    method = LeastTime(by=word.text, inflight=bool(rest))
    _choose(reading, directive, method)
    if rest and rest[0].text != "inflight":
        raise _invalid(rest[0], hint='the only parameter is "inflight"')
    scope.claim(directive.name.text, directive.name.span)
    if word.text not in times:
        hint = f"there are: {', '.join(times)}"
        raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)


def random(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `random [two [least_conn | least_time=TIME]]`."""
    words = directive.args
    if words and words[0].text != "two":
        raise _invalid(words[0], hint="there are: random, random two, random two least_conn")
    methods = {"least_conn": "", **{f"least_time={time}": time for time in TIMES[scope.context]}}
    if words[1:] and words[1].text not in methods:
        raise _invalid(words[1], hint=f'the methods for "two" are: {", ".join(methods)}')
    by = methods[words[1].text] if words[1:] else ""
    _choose(reading, directive, Random(two=bool(words), by=by))


def _invalid(word: Token, *, hint: str) -> ConfigError:
    return ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)


def _choose(reading: Reading, directive: Directive, method: Method) -> None:
    """Give the group its method; the last one counts, as in nginx."""
    group = reading.draft.upstream
    assert group is not None
    name, line = directive.name, directive.end.line
    if group.method_name:
        hint = f'"{group.method_name}" above has no effect'
        message = "load balancing method redefined"
        reading.report.warn(message, name.span, line=line, hint=hint)
    group.method, group.method_name = method, name.text
    peers = (*group.peers, *(one.peer for one in group.moving))
    # nginx takes what stands above the method, and refuses what stands below it.
    if name.text in WITHOUT_BACKUP and any(peer.backup for peer in peers):
        hint = f'nginx refuses it below "{name.text}"; a backup is used when no other is live'
        reading.report.warn(_unsupported("backup"), name.span, line=line, hint=hint)
    if name.text in WITHOUT_SLOW_START and any(peer.slow_start_ms for peer in peers):
        hint = f'it has no effect with "{name.text}", below which it is refused'
        reading.report.warn(_unsupported("slow_start"), name.span, line=line, hint=hint)


def check_backup(group: UpstreamDraft, word: Token) -> None:
    """Whether a server of the group may be `backup`; raises ConfigError."""
    if group.method_name in WITHOUT_BACKUP:
        hint = f'with "{group.method_name}" each server has its own share; leave out "backup"'
        raise ConfigError(_unsupported(word.text), word.span, hint=hint)


def check_slow_start(group: UpstreamDraft, word: Token) -> None:
    """Whether a server of the group may have `slow_start`; raises ConfigError."""
    if group.method_name in WITHOUT_SLOW_START:
        hint = "round robin, least_conn and least_time have it"
        raise ConfigError(_unsupported(word.text), word.span, hint=hint)


def _unsupported(parameter: str) -> str:
    return f'balancing method does not support parameter "{parameter}"'

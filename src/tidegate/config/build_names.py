"""`server_name`, and what the names of the servers of one address are to each other."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.build_variables import check_regex
from tidegate.config.diagnostics import ConfigError
from tidegate.variables.hostnames import EXACT, HEAD, HEAD_OR_ITSELF, WildcardError, split_wildcard
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from tidegate.config.draft import AddressDraft, Reading, Sharer
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span

WILDCARDS = "a wildcard is a whole first or last part of a name: *.a.b, .a.b, a.b.*"


def read_names(reading: Reading, directive: Directive, draft: Sharer) -> None:
    """Take the names of a `server_name`; raises ConfigError."""
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


def _where(draft: Sharer, span: Span) -> str:
    if draft.names:
        return f"in {span.file}:{span.line}; the server that comes first has the name"
    return f'the server in {span.file}:{span.line} has no "server_name"; the first one answers'


def finish_choice(reading: Reading, known: AddressDraft) -> None:
    """Warn of servers of stream that nobody can reach, as their clients name none."""
    if len(known.servers) == 1 or "ssl" in known.protocols:
        return
    if known.first.outside.scope.flag("ssl_preread"):
        return
    for draft in known.servers:
        if draft is known.first:
            continue
        span = draft.directive.name.span
        message = f"clients of {known.address.text} cannot name this server, ignored"
        hint = 'it takes "ssl" behind "listen", or "ssl_preread on" in the default server'
        reading.report.warn(message, span, hint=hint)

"""Directives of the top level and of `events {}` that need more than their kind."""

from __future__ import annotations

import grp
import os
import pwd
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_http import COMBINED, finish_http
from tidegate.config.build_http import HANDLERS as HTTP_HANDLERS
from tidegate.config.build_logs import error_log
from tidegate.config.build_stream import HANDLERS as STREAM_HANDLERS
from tidegate.config.build_stream import finish_stream
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import StreamDraft
from tidegate.config.draft_http import HttpDraft
from tidegate.config.scope import Scope
from tidegate.variables.names import OF_STREAM
from tidegate.variables.names_http import OF_HTTP

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.parser import Directive

# nginx spawns no more (NGX_MAX_PROCESSES).
MOST_WORKERS = 1024

# The engine keeps a place for each; more than the kernel's default fs.nr_open helps no one.
MOST_CONNECTIONS = 1 << 20

MOST_NICE = 20


def worker_processes(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `worker_processes NUMBER | auto`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    count = len(os.sched_getaffinity(0)) if word.text == "auto" else values.number(word.text)
    if count is None or not 1 <= count <= MOST_WORKERS:
        hint = f'a number from 1 to {MOST_WORKERS}, or "auto", is expected'
        raise ConfigError('"worker_processes" directive invalid value', word.span, hint=hint)
    scope.put(directive.name.text, count)


def worker_priority(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `worker_priority [-]NUMBER`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    sign = word.text[:1] if word.text[:1] in ("-", "+") else ""
    nice = values.number(word.text.removeprefix(sign))
    if nice is None:
        raise ConfigError('"worker_priority" directive invalid number', word.span)
    nice = min(nice, MOST_NICE)
    scope.put(directive.name.text, -nice if sign == "-" else nice)


def user(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `user NAME [GROUP]`; only root can become another user."""
    scope.claim(directive.name.text)
    if os.geteuid() != 0:
        reading.report.warn(
            'the "user" directive makes sense only if the master process runs'
            " with super-user privileges, ignored",
            directive.name.span,
            line=directive.end.line,
        )
        return
    name, group = directive.args[0], directive.args[-1]
    try:
        pwd.getpwnam(name.text)
    except KeyError:
        hint = f'there is no user of this name here; "useradd --system {name.text}" makes one'
        raise ConfigError(f'getpwnam("{name.text}") failed', name.span, hint=hint) from None
    try:
        grp.getgrnam(group.text)
    except KeyError:
        hint = "without a second argument the group has the user's name"
        raise ConfigError(f'getgrnam("{group.text}") failed', group.span, hint=hint) from None
    reading.draft.user, reading.draft.group = name.text, group.text


def env(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `env NAME[=VALUE]`."""
    name, equals, value = directive.args[0].text.partition("=")
    reading.draft.env.append((name, value if equals else None))


def main_error_log(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `error_log` of the top level."""
    reading.draft.error_logs.append(error_log(reading, directive))


def load_module(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Refuse `load_module` behind a block, as nginx does; it was warned of."""
    if reading.draft.events or reading.draft.stream or reading.draft.http:
        raise ConfigError(f'"{directive.name.text}" directive is specified too late')


def events(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `events {}`."""
    if reading.draft.events is not None:
        raise ConfigError('"events" directive is duplicate')
    reading.draft.events = Scope("events")
    reading.block(directive, reading.draft.events)


def worker_connections(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `worker_connections NUMBER`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    count = values.number(word.text)
    if count is None or count > MOST_CONNECTIONS:
        hint = f"a number up to {MOST_CONNECTIONS} is expected"
        raise ConfigError(f'invalid number "{word.text}"', word.span, hint=hint)
    scope.put(directive.name.text, count)


def use(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Check `use METHOD`: there is only epoll."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    if word.text != "epoll":
        hint = "tidegate always uses epoll; the directive can go"
        raise ConfigError(f'invalid event type "{word.text}"', word.span, hint=hint)


def stream(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `stream {}`; a further one goes on where the first ended."""
    draft = reading.draft
    if draft.stream is None:
        draft.stream = StreamDraft(
            scope=Scope("stream", draft.main),
            directive=directive,
            vocabulary=OF_STREAM,
            serves="server",
        )
    else:
        _warn_merged(reading, directive, draft.stream.directive)
    draft.protocol = draft.stream
    try:
        reading.block(directive, draft.stream.scope)
        if directive is draft.last_stream:
            finish_stream(reading)
    finally:
        draft.protocol = None


def http(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `http {}`; a further one goes on where the first ended."""
    draft = reading.draft
    if draft.http is None:
        draft.http = HttpDraft(
            scope=Scope("http", draft.main),
            directive=directive,
            vocabulary=OF_HTTP,
            serves="location",
            default_port=80,
            formats={COMBINED.name: COMBINED},
        )
    else:
        _warn_merged(reading, directive, draft.http.directive)
    draft.protocol = draft.http
    try:
        reading.block(directive, draft.http.scope)
        if directive is draft.last_http:
            finish_http(reading)
    finally:
        draft.protocol = None


def _warn_merged(reading: Reading, directive: Directive, first: Directive) -> None:
    name, place = directive.name.text, first.name.span
    reading.report.warn(
        f'"{name}" directive is duplicate, merged into the one in {place.file}:{place.line}',
        directive.name.span,
        line=directive.end.line,
        hint=f'nginx refuses a second "{name}" block; put both into one to stay compatible',
    )


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("main", "worker_processes"): worker_processes,
    ("main", "worker_priority"): worker_priority,
    ("main", "user"): user,
    ("main", "env"): env,
    ("main", "error_log"): main_error_log,
    ("main", "load_module"): load_module,
    ("main", "events"): events,
    ("main", "stream"): stream,
    ("main", "http"): http,
    ("events", "worker_connections"): worker_connections,
    ("events", "use"): use,
    **STREAM_HANDLERS,
    **HTTP_HANDLERS,
}

"""`error_log`, `access_log`, `log_format` and `open_log_file_cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_syslog import syslog
from tidegate.config.build_variables import note_variables, template
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import block_here, in_protocol, refused
from tidegate.config.model import (
    AccessLog,
    ErrorLog,
    Level,
    LogBuffer,
    LogFormat,
    OpenLogFiles,
    Syslog,
)
from tidegate.config.row import Kind
from tidegate.config.scope import EXPECTED
from tidegate.dataclasses import replace
from tidegate.variables.template import Template, TemplateError, parse

if TYPE_CHECKING:
    from tidegate.config.draft import BlockDraft, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

LEVELS = {level.name.lower(): level for level in Level}

# nginx's names for debugging some parts only.
DEBUG_LEVELS = frozenset(
    f"debug_{part}" for part in ["core", "alloc", "mutex", "event", "http", "mail", "stream"]
)

SIZES = EXPECTED[Kind.SIZE]
TIMES = EXPECTED[Kind.TIME]

ESCAPES = ("default", "json", "none")

# The format that http has of its own.
COMBINED = "combined"


def error_log(reading: Reading, directive: Directive) -> ErrorLog:
    """Read `error_log FILE | stderr [LEVEL]`."""
    target, *levels = directive.args
    if target.text.startswith("memory:"):
        raise refused('"error_log" to "memory:"', reason='a file, "stderr" or "syslog:" is')
    server = syslog(reading, target)
    path = None if target.text == "stderr" else _path(reading, target, server)
    level: Level | None = None
    for word in levels:
        found = Level.DEBUG if word.text in DEBUG_LEVELS else LEVELS.get(word.text)
        if found is None:
            hint = did_you_mean(word.text, list(LEVELS)) or "the levels are " + ", ".join(LEVELS)
            raise ConfigError(f'invalid log level "{word.text}"', word.span, hint=hint)
        if level is not None and not (level is found is Level.DEBUG):
            raise ConfigError(f'duplicate log level "{word.text}"', word.span)
        level = found
    return ErrorLog(path=path, level=Level.ERROR if level is None else level, syslog=server)


def _path(reading: Reading, target: Token, server: Syslog | None) -> str:
    return reading.draft.path(target.text) if server is None else server.path


def stream_error_log(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `error_log` of stream, or of one of its servers."""
    block_here(reading).logs.error.append(error_log(reading, directive))


def access_log(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `access_log FILE FORMAT [buffer=SIZE] [flush=TIME] [if=CONDITION] | off`."""
    target, *rest = directive.args
    logs = block_here(reading).logs
    if target.text == "off":
        if rest:
            raise ConfigError(f'invalid parameter "{rest[0].text}"', rest[0].span)
        logs.access_off = True
        return
    server = syslog(reading, target)
    name = _name(reading, directive) if "$" in target.text and server is None else None
    if not rest:
        rest = [_default_format(reading, target)]
    form, *parameters = rest
    log = AccessLog(
        path=_path(reading, target, server),
        syslog=server,
        format=_format_named(in_protocol(reading).formats, form),
        name=name,
        condition=_condition(reading, parameters, directive),
    )
    if server is not None:
        _check_syslog(parameters)
    buffer = read_buffer(parameters, target)
    if buffer is not None:
        if name is not None:
            hint = "each file would need a buffer: name one file, or leave the buffer out"
            raise ConfigError("buffered logs cannot have variables in name", hint=hint)
        buffers = in_protocol(reading).logs.buffers
        if buffers.setdefault(log.path, buffer) != buffer:
            message = f'access_log "{target.text}" already defined with conflicting parameters'
            hint = "all logs of one file share its buffer: give them the same, or one of them only"
            raise ConfigError(message, target.span, hint=hint)
    logs.access.append(log)


def _check_syslog(words: list[Token]) -> None:
    for word in words:
        if not word.text.startswith("if="):
            message = f'parameter "{word.text}" is not supported by syslog'
            raise ConfigError(message, word.span, hint="each line is sent at once")


def _default_format(reading: Reading, target: Token) -> Token:
    """The format of a log without one, as if it were written; raises ConfigError."""
    if COMBINED in in_protocol(reading).formats:
        return target._replace(text=COMBINED)
    hint = 'stream has no format of its own: define one with "log_format"'
    raise ConfigError("log format is not specified", hint=hint)


def finished_access_logs(
    draft: BlockDraft, *, otherwise: tuple[AccessLog, ...] = ()
) -> tuple[AccessLog, ...]:
    """The access logs of a block, with what other lines say about their files.

    Where nobody said anything there is `otherwise`.
    """
    found = draft.access_logs()
    *_inner, outermost = draft.blocks()
    cache = next((one.logs.cache for one in draft.blocks() if one.logs.cache_set), None)
    return tuple(
        replace(
            log,
            buffer=outermost.logs.buffers.get(log.path),
            cache=cache if log.name else None,
        )
        for log in (otherwise if found is None else found)
    )


def _name(reading: Reading, directive: Directive) -> Template:
    """A path with variables, from the root of the file system on."""
    word = directive.args[0]
    first, *others = template(reading, word, directive).parts
    if isinstance(first, str):
        return Template((reading.draft.path(first), *others))
    return Template((reading.draft.path(""), first, *others))


def _format_named(formats: dict[str, LogFormat], word: Token) -> LogFormat:
    """A format by its name, in which nginx does not mind capital letters here."""
    for name, form in formats.items():
        if name.lower() == word.text.lower():
            return form
    if word.text.lower() == "combined":
        hint = '"combined" is a format of http; stream has none of its own'
    else:
        hint = did_you_mean(word.text, list(formats)) or (
            'a "log_format" stands above the "access_log" that uses it'
        )
    raise ConfigError(f'unknown log format "{word.text}"', word.span, hint=hint)


def _condition(reading: Reading, words: list[Token], directive: Directive) -> Template | None:
    """What `if=` says; of several the last one counts, as in nginx."""
    found = None
    for word in words:
        if word.text.startswith("if="):
            value = word._replace(text=word.text.removeprefix("if="))
            found = template(reading, value, directive)
    return found


def read_buffer(words: list[Token], target: Token) -> LogBuffer | None:
    """Read `buffer=SIZE` and `flush=TIME`; checks all other parameters, too."""
    size = flush = 0
    for word in words:
        name, equals, value = word.text.partition("=")
        if name == "buffer" and equals:
            size = values.size(value) or 0
            if not size:
                raise ConfigError(f'invalid buffer size "{value}"', word.span, hint=SIZES)
        elif name == "flush" and equals:
            flush = values.milliseconds(value) or 0
            if not flush:
                raise ConfigError(f'invalid flush time "{value}"', word.span, hint=TIMES)
        elif name == "gzip":
            _refuse_gzip(word, value if equals else "1")
        elif name != "if" or not equals:
            raise ConfigError(f'invalid parameter "{word.text}"', word.span)
    if flush and not size:
        hint = "flush= says when a buffer is written that is not full: add buffer=32k"
        raise ConfigError(f'no buffer is defined for access_log "{target.text}"', hint=hint)
    return LogBuffer(size=size, flush_ms=flush) if size else None


def _refuse_gzip(word: Token, level: str) -> None:
    if not 1 <= (values.number(level) or 0) <= 9:  # noqa: PLR2004 zlib's levels
        raise ConfigError(f'invalid compression level "{level}"', word.span)
    message = 'parameter "gzip" of "access_log" is not supported yet'
    raise ConfigError(message, word.span, hint="compress logs when they are rotated")


def open_log_file_cache(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `open_log_file_cache max=N [inactive=TIME] [min_uses=N] [valid=TIME] | off`."""
    scope.claim(directive.name.text)
    found = {"max": 0, "inactive": 10, "min_uses": 1, "valid": 60}
    off = False
    for word in directive.args:
        name, equals, value = word.text.partition("=")
        if word.text == "off":
            off = True
            continue
        read = values.seconds if name in ("inactive", "valid") else values.number
        number = read(value) if equals and name in found else None
        if number is None:
            message = f'invalid "open_log_file_cache" parameter "{word.text}"'
            raise ConfigError(message, word.span)
        found[name] = number
    if not off and not found["max"]:
        raise ConfigError('"open_log_file_cache" must have "max" parameter')
    logs = block_here(reading).logs
    logs.cache_set = True
    logs.cache = None if off else OpenLogFiles(limit=found.pop("max"), **found)


def log_format(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `log_format NAME [escape=…] TEXT…`."""
    name, *texts = directive.args
    formats = in_protocol(reading).formats
    if name.text in formats:
        raise ConfigError(f'duplicate "log_format" name "{name.text}"', name.span)
    escape = "default"
    if texts and texts[0].text.startswith("escape="):
        word = texts.pop(0)
        escape = word.text.removeprefix("escape=")
        if escape not in ESCAPES:
            hint = "it is one of " + ", ".join(ESCAPES)
            raise ConfigError(f'unknown log format escaping "{escape}"', word.span, hint=hint)
    parts = tuple(part for word in texts for part in _format_part(reading, word, directive).parts)
    formats[name.text] = LogFormat(name=name.text, template=Template(parts or ("",)), escape=escape)


def _format_part(reading: Reading, word: Token, directive: Directive) -> Template:
    try:
        found = parse(word.text, captures=False)
    except TemplateError as error:
        message = str(error)
        if "bracket" not in message and "unknown" not in message:
            message = f'invalid parameter "{word.text[error.offset :]}"'
        raise ConfigError(message, word.span) from None
    note_variables(reading, found, word, directive)
    return found

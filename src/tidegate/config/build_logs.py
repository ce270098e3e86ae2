"""`error_log`, `access_log` and `log_format`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_variables import note_variables
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import LogsDraft, in_stream, refused
from tidegate.config.model import AccessLog, ErrorLog, Level, LogFormat
from tidegate.variables.template import Template, TemplateError, parse

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

LEVELS = {level.name.lower(): level for level in Level}

# nginx's names for debugging some parts only.
DEBUG_LEVELS = frozenset(
    f"debug_{part}" for part in ["core", "alloc", "mutex", "event", "http", "mail", "stream"]
)

ESCAPES = ("default", "json", "none")


def error_log(reading: Reading, directive: Directive) -> ErrorLog:
    """Read `error_log FILE | stderr [LEVEL]`."""
    target, *levels = directive.args
    if target.text.startswith(("syslog:", "memory:")):
        kind = target.text.partition(":")[0]
        raise refused(f'"error_log" to "{kind}:"', reason='a file or "stderr" is')
    path = None if target.text == "stderr" else reading.draft.path(target.text)
    level: Level | None = None
    for word in levels:
        found = Level.DEBUG if word.text in DEBUG_LEVELS else LEVELS.get(word.text)
        if found is None:
            hint = did_you_mean(word.text, list(LEVELS)) or "the levels are " + ", ".join(LEVELS)
            raise ConfigError(f'invalid log level "{word.text}"', word.span, hint=hint)
        if level is not None and not (level is found is Level.DEBUG):
            raise ConfigError(f'duplicate log level "{word.text}"', word.span)
        level = found
    return ErrorLog(path=path, level=Level.ERROR if level is None else level)


def stream_error_log(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `error_log` of stream, or of one of its servers."""
    _logs(reading).error.append(error_log(reading, directive))


def _logs(reading: Reading) -> LogsDraft:
    if reading.draft.server is not None:
        return reading.draft.server.logs
    return in_stream(reading).logs


def access_log(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `access_log FILE FORMAT | off`."""
    target, *rest = directive.args
    logs = _logs(reading)
    if target.text == "off":
        if rest:
            raise ConfigError(f'invalid parameter "{rest[0].text}"', rest[0].span)
        logs.access_off = True
        return
    if target.text.startswith("syslog:"):
        raise refused('"access_log" to "syslog:"', reason="a file is")
    if "$" in target.text:
        raise refused("a variable in the path of an access log", reason="name the file itself")
    formats = in_stream(reading).formats
    if not rest:
        hint = 'stream has no format of its own: define one with "log_format"'
        raise ConfigError("log format is not specified", hint=hint)
    form, *parameters = rest
    if form.text not in formats:
        hint = did_you_mean(form.text, list(formats)) or _no_format(form.text)
        raise ConfigError(f'unknown log format "{form.text}"', form.span, hint=hint)
    _refuse_parameters(parameters)
    path = reading.draft.path(target.text)
    logs.access.append(AccessLog(path=path, format=formats[form.text]))


def _no_format(name: str) -> str:
    if name == "combined":
        return '"combined" is a format of http; stream has none of its own'
    return 'a "log_format" stands above the "access_log" that uses it'


def _refuse_parameters(words: list[Token]) -> None:
    """Check parameters as nginx does, then refuse those that nothing follows yet."""
    for word in words:
        name, equals, value = word.text.partition("=")
        if name == "buffer" and equals and not values.size(value):
            raise ConfigError(f'invalid buffer size "{value}"', word.span)
        if name == "flush" and equals and not values.milliseconds(value):
            raise ConfigError(f'invalid flush time "{value}"', word.span)
        if name not in ("buffer", "flush", "gzip", "if") or (not equals and name != "gzip"):
            raise ConfigError(f'invalid parameter "{word.text}"', word.span)
        message = f'parameter "{name}" of "access_log" is not supported yet'
        raise ConfigError(message, word.span, hint="lines are written one by one")


def log_format(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `log_format NAME [escape=…] TEXT…`."""
    name, *texts = directive.args
    formats = in_stream(reading).formats
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
        found = parse(word.text)
    except TemplateError as error:
        message = str(error)
        if "bracket" not in message:
            message = f'invalid parameter "{word.text[error.offset :]}"'
        raise ConfigError(message, word.span) from None
    note_variables(reading, found, word, directive)
    return found

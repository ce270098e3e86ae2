"""`ssl_…` and `proxy_ssl_…`: each directive as it is read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import refused
from tidegate.config.model_tls import PairCache, SessionCache
from tidegate.config.pem_files import content
from tidegate.config.zones import declare

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

PROTOCOLS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
VERIFY = ("off", "on", "optional", "optional_no_ca")

# The smallest shared cache: nginx's, eight pages.
SMALLEST_CACHE = 8 * 4096

# A protocol's name is told in one byte.
LONGEST_PROTOCOL = 255

# nginx's bound on the lines of a file of passwords.
LONGEST_PASSWORD = 4095

TICKET_KEY_SIZES = (48, 80)


def file(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_certificate FILE` or its key, of which there may be several."""
    name, word = directive.name.text, directive.args[0]
    template(reading, word, directive)
    if name.endswith("_key") and word.text.startswith(("engine:", "store:")):
        error = refused(f'a key by "{word.text.partition(":")[0]}:"', reason="name a PEM file")
        error.span = word.span
        raise error
    if name.startswith("proxy_"):
        scope.claim(name, directive.name.span)
        scope.put(name, word.text)
    else:
        scope.add(name, word.text, directive.name.span)


def password_file(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_password_file FILE`: pass phrases, one a line."""
    name, word = directive.name.text, directive.args[0]
    scope.claim(name, directive.name.span)
    path = reading.draft.conf_path(word.text)
    try:
        lines = content(path).split(b"\n")
    except OSError as error:
        number = error.errno or 0
        message = f'open() "{path}" failed ({number}: {os.strerror(number)})'
        raise ConfigError(message, word.span) from None
    passwords = tuple(line.removesuffix(b"\r") for line in lines if line)
    if any(len(one) > LONGEST_PASSWORD for one in passwords):
        raise ConfigError(f'too long line in "{path}"', word.span)
    scope.put(name, passwords)


def protocols(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_protocols PROTOCOL…`."""
    name = directive.name.text
    found = []
    for word in directive.args:
        known = next((one for one in PROTOCOLS if one.lower() == word.text.lower()), None)
        if known is None:
            hint = f"there are: {' '.join(PROTOCOLS)}"
            raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
        if known in found:
            message = f'duplicate value "{word.text}"'
            reading.report.warn(message, word.span, line=directive.end.line)
        found.append(known)
    for one in found:
        scope.add(name, one, directive.name.span)


def verify_client(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_verify_client on | off | optional | optional_no_ca`."""
    name, word = directive.name.text, directive.args[0]
    scope.claim(name, directive.name.span)
    value = word.text.lower()
    if value not in VERIFY:
        hint = f"there are: {' '.join(VERIFY)}"
        raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
    scope.put(name, value)


def certificate_cache(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_certificate_cache off | max=NUMBER [inactive=TIME] [valid=TIME]`."""
    name = directive.name.text
    scope.claim(name, directive.name.span)
    found = {"max": 0, "inactive": 10, "valid": 60}
    off = False
    for word in directive.args:
        key, equals, value = word.text.partition("=")
        if word.text == "off":
            off = True
            continue
        read = values.number if key == "max" else values.seconds
        number = read(value) if equals and key in found else None
        if number is None or (key == "max" and not number):
            hint = "as in: max=1000 inactive=20s valid=1m"
            raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)
        found[key] = number
    if not off and not found["max"]:
        raise ConfigError(f'"{name}" must have the "max" parameter', directive.name.span)
    cache = PairCache(most=found["max"], inactive=found["inactive"], valid=found["valid"])
    scope.put(name, "off" if off else cache)


def command(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_conf_command NAME VALUE`; as in nginx there are no variables in it."""
    name, value = directive.args
    scope.add(directive.name.text, (name.text, value.text), directive.name.span)


def alpn(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_alpn PROTOCOL…`."""
    name = directive.name.text
    scope.claim(name, directive.name.span)
    for word in directive.args:
        if len(word.text.encode("utf-8", "surrogateescape")) > LONGEST_PROTOCOL:
            raise ConfigError("protocol too long", word.span)
    scope.put(name, tuple(word.text for word in directive.args if word.text))


def session_cache(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_session_cache off | none | [builtin[:SIZE]] [shared:NAME:SIZE]`."""
    own: str | int | None = None
    zone: tuple[str, int] | None = None
    for word in directive.args:
        kind, colon, rest = word.text.partition(":")
        if word.text in ("off", "none"):
            own = word.text
        elif kind == "builtin":
            size = values.number(rest) if colon else 0
            if size is None:
                raise _invalid(word)
            own = size
        elif kind == "shared" and colon:
            zone = _zone(reading, word, rest)
        else:
            raise _invalid(word)
    if own is None:
        own = "shared"
    scope.note(directive.name.text, directive.name.span)
    scope.put(directive.name.text, SessionCache(own=own, zone=zone))


def _invalid(word: Token) -> ConfigError:
    hint = "there are: off, none, builtin[:NUMBER], shared:NAME:SIZE"
    return ConfigError(f'invalid session cache "{word.text}"', word.span, hint=hint)


def _zone(reading: Reading, word: Token, rest: str) -> tuple[str, int]:
    name, colon, text = rest.partition(":")
    size = values.size(text) if colon and name else None
    if size is None:
        raise _invalid(word)
    if size < SMALLEST_CACHE:
        hint = f"the smallest is {SMALLEST_CACHE >> 10}k"
        raise ConfigError(f'session cache "{word.text}" is too small', word.span, hint=hint)
    declare(reading, name, size, use="ssl_session_cache", span=word.span)
    return name, size


def ticket_key(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `ssl_session_ticket_key FILE`; the file is read when all is known, as nginx does."""
    del reading
    scope.add(directive.name.text, directive.args[0].text, directive.name.span)


def proxy_name(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_ssl_name NAME`."""
    name, word = directive.name.text, directive.args[0]
    scope.claim(name, directive.name.span)
    template(reading, word, directive)
    scope.put(name, word.text)


_OF_BOTH: dict[str, DraftHandler] = {
    "ssl_certificate": file,
    "ssl_certificate_key": file,
    "ssl_certificate_cache": certificate_cache,
    "ssl_password_file": password_file,
    "ssl_protocols": protocols,
    "ssl_conf_command": command,
    "ssl_verify_client": verify_client,
    "ssl_session_cache": session_cache,
    "ssl_session_ticket_key": ticket_key,
    "ssl_alpn": alpn,
    "proxy_ssl_certificate": file,
    "proxy_ssl_certificate_key": file,
    "proxy_ssl_certificate_cache": certificate_cache,
    "proxy_ssl_password_file": password_file,
    "proxy_ssl_protocols": protocols,
    "proxy_ssl_conf_command": command,
    "proxy_ssl_name": proxy_name,
    "proxy_ssl_alpn": alpn,
}

HANDLERS: dict[tuple[str, str], DraftHandler] = {
    (context, name): handler
    for name, handler in _OF_BOTH.items()
    for context in ("stream", "stream.server")
}

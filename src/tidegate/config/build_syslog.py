"""`syslog:server=…,facility=…,tag=…` in the place of a log's file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.model import Syslog
from tidegate.config.urls import UrlError, addresses, parse_url

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.wire.address import Address

PREFIX = "syslog:"
PORT = 514
TAG = re.compile(r"[0-9A-Za-z_]*")
LONGEST_TAG = 32

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "cron"),
    *(f"local{number}" for number in range(8)),
)
SEVERITIES = ("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug")


def syslog(reading: Reading, word: Token) -> Syslog | None:
    """What a log's first argument says of syslog; None for a file. Raises ConfigError."""
    if not word.text.startswith(PREFIX):
        return None
    said: dict[str, str] = {}
    for part in word.text.removeprefix(PREFIX).split(","):
        name, equals, value = part.partition("=")
        known = name in KINDS and bool(equals) == (name != "nohostname")
        if not known:
            hint = did_you_mean(name, list(KINDS)) or "there are: " + ", ".join(KINDS)
            raise ConfigError(f'unknown syslog parameter "{part}"', word.span, hint=hint)
        if name in said:
            raise ConfigError(f'duplicate syslog "{name}"', word.span)
        said[name] = value
    if "server" not in said:
        hint = "write syslog:server=ADDRESS"
        raise ConfigError("no syslog server specified", word.span, hint=hint)
    return Syslog(
        address=_server(reading, said["server"], word),
        facility=_one_of(FACILITIES, "facility", said.get("facility", "local7"), word),
        severity=_one_of(SEVERITIES, "severity", said.get("severity", "info"), word),
        tag=_tag(said.get("tag", "tidegate"), word),
        hostname="nohostname" not in said,
    )


KINDS = ("server", "facility", "severity", "tag", "nohostname")


def _server(reading: Reading, text: str, word: Token) -> Address:
    try:
        url = parse_url(text, default=PORT)
        return addresses(url, reading.draft.resolve)[0]
    except UrlError as error:
        raise ConfigError(f'{error} in syslog server "{text}"', word.span) from None


def _one_of(names: tuple[str, ...], kind: str, name: str, word: Token) -> int:
    if name not in names:
        hint = did_you_mean(name, list(names)) or "there are: " + ", ".join(names)
        raise ConfigError(f'unknown syslog {kind} "{name}"', word.span, hint=hint)
    return names.index(name)


def _tag(text: str, word: Token) -> str:
    if len(text) > LONGEST_TAG:
        raise ConfigError(f"syslog tag length exceeds {LONGEST_TAG}", word.span)
    if not TAG.fullmatch(text):
        message = 'syslog "tag" only allows alphanumeric characters and underscore'
        raise ConfigError(message, word.span)
    return text

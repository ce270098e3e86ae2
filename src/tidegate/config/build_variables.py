"""Texts with variables, and what is wrong with their names when all of the block was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.cycles import finish_cycles
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import VariableUse, in_protocol
from tidegate.variables import names
from tidegate.variables.computed import Assigned
from tidegate.variables.map import compiled
from tidegate.variables.regex import NoLibraryError, RegexError
from tidegate.variables.template import DIGITS, Template, TemplateError, parse
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from tidegate.config.draft import ProtocolDraft, Reading, ServedDraft
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.variables.computed import Definition

# Whose texts are put together when a session ends, or when they are asked for.
AFTER_ANSWER = ("log_format", "access_log", "map", "geo", "split_clients", "sticky")


def template(reading: Reading, word: Token, directive: Directive) -> Template:
    """A text that may hold variables; raises ConfigError."""
    try:
        found = parse(word.text)
    except TemplateError as error:
        hint = 'a "$" begins a variable: $name or ${name}, or $1 to $9 for a group'
        raise ConfigError(str(error), word.span, hint=hint) from None
    note_variables(reading, found, word, directive)
    return found


def note_variables(reading: Reading, found: Template, word: Token, directive: Directive) -> None:
    """Remember the variables of a text; whether there are such is known when all was read."""
    draft = reading.draft
    in_protocol(reading).variables.extend(
        VariableUse(
            name=part.name,
            span=word.span,
            directive=directive,
            server=draft.server,
            upstream=draft.upstream,
        )
        for part in found.parts
        if not isinstance(part, str)
    )


def variable_name(word: Token) -> str:
    """The name in `$name`, where a directive defines it; raises ConfigError."""
    if not word.text.startswith("$") or word.text == "$":
        hint = "a variable to define is written with its dollar: $name"
        raise ConfigError(f'invalid variable name "{word.text}"', word.span, hint=hint)
    return word.text[1:].lower()


def define(reading: Reading, name: str, word: Token, definition: Definition) -> None:
    """Keep the definition of a variable, the last one of several; raises ConfigError."""
    check_free(reading, name, word)
    in_protocol(reading).definitions[name] = definition
    in_protocol(reading).defined_at[name] = word.span


def check_free(reading: Reading, name: str, word: Token) -> None:
    """Whether a configuration may define a variable of this name; raises ConfigError."""
    vocabulary = in_protocol(reading).vocabulary
    if name in vocabulary.names or name in vocabulary.later:
        hint = "this variable has a value of its own; choose another name"
        raise ConfigError(f'the duplicate "{name}" variable', word.span, hint=hint)


def check_regex(reading: Reading, word: Token, pattern: str, *, caseless: bool) -> None:
    """See that an expression can be used, and define its named groups; raises ConfigError."""
    try:
        regex = compiled(encode(pattern), caseless=caseless)
    except NoLibraryError as error:
        message = f'using regex "{pattern}" requires PCRE library'
        hint = f"{error}; on Debian it is the package libpcre2-8-0"
        raise ConfigError(message, word.span, hint=hint) from None
    except RegexError as error:
        raise ConfigError(str(error), word.span) from None
    for name, _number in regex.names:
        define(reading, name.lower(), word, Assigned(empty=None))


def promise_variables(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Take the variables that a refused `map`, `set` … would make for known: it was said once."""
    words = (word.text.lower() for word in directive.args)
    in_protocol(reading).promised.update(word[1:] for word in words if word[:1] == "$")


def finish_variables(reading: Reading) -> None:
    """Complain of variables that there are not, and of those that are always empty: once each."""
    protocol = in_protocol(reading)
    told = {*protocol.promised, *protocol.definitions, *DIGITS}
    for use in protocol.variables:
        if use.name in told:
            continue
        if not protocol.vocabulary.known(use.name):
            told.add(use.name)
            _unknown(reading, protocol, use)
            continue
        empty = _always_empty(protocol, use)
        if empty:
            told.add(use.name)
            message = f'the "{use.name}" variable is always empty in "{use.directive.name.text}"'
            reading.report.warn(message, use.span, line=use.directive.end.line, hint=empty)
    finish_cycles(reading)


def asked_tlvs(protocol: ProtocolDraft) -> frozenset[int]:
    """The types of the TLVs in PROXY protocol headers that variables of the texts tell of."""
    kinds = {names.tlv_type(use.name) for use in protocol.variables}
    return frozenset(kind for kind in kinds if kind is not None)


def _unknown(reading: Reading, protocol: ProtocolDraft, use: VariableUse) -> None:
    line = use.directive.end.line
    if protocol.vocabulary.comes_later(use.name):
        message = f'the "{use.name}" variable is not supported yet'
        reading.report.error(message, use.span, line=line)
        return
    hint = did_you_mean(use.name, [*protocol.vocabulary.names, *protocol.definitions])
    reading.report.error(f'unknown "{use.name}" variable', use.span, line=line, hint=hint)


def _always_empty(protocol: ProtocolDraft, use: VariableUse) -> str | None:
    """Why a variable never has a value where it is used, and what to do; None where it may."""
    if use.name.startswith(names.OF_HEADER):
        return _without_header(_users(protocol, use))
    if use.name in names.PREREAD_TLS:
        users = _users(protocol, use)
        looked = any(server.sees_hello for server in users)
        need = 'add "ssl_preread on;" to the server, or to "stream {}"'
        return need if users and not looked else None
    if not names.of_mqtt(use.name):
        return None
    if use.name in names.CONNACK and use.directive.name.text not in AFTER_ANSWER:
        return "it comes with a node's answer, and this is needed before a node has answered"
    users = _users(protocol, use)
    if use.name == "mqtt_set_clientid":
        served = any(_sets_clientid(server) for server in users)
        need = f'add "mqtt on;" and "mqtt_set_connect clientid" to the {protocol.serves}'
    else:
        served = any(server.sees_mqtt for server in users)
        around = protocol.scope.context
        need = f'add "mqtt_preread on;" to the {protocol.serves}, or to "{around} {{}}"'
    return need if users and not served else None


def _without_header(users: list[ServedDraft]) -> str | None:
    """Why variables of a PROXY protocol header are empty in all of these servers."""
    if not users or any(one.proxy_protocol for server in users for one in server.listens):
        return None
    return 'no header is read: add "proxy_protocol" to the "listen" of a server'


def _sets_clientid(server: ServedDraft) -> bool:
    return server.scope.flag("mqtt") and any(one.field == "clientid" for one in server.set_connect)


def _users(protocol: ProtocolDraft, use: VariableUse) -> list[ServedDraft]:
    """The servers whose sessions the text is put together for."""
    if use.server is not None:
        return list(use.server.tree())
    if use.upstream is not None:
        return [one for one in protocol.served() if one.target or one.upstream is use.upstream]
    if use.directive.name.text == "log_format":
        name = use.directive.args[0].text
        return [
            server
            for server in protocol.served()
            if any(log.format.name == name for log in server.access_logs() or ())
        ]
    if use.directive.name.text == "limit_conn_zone":
        zone = use.directive.args[1].text.removeprefix("zone=").partition(":")[0]
        return [server for server in protocol.served() if zone in server.limited_by()]
    return list(protocol.served())

"""The directives that look into MQTT, and what they make of a server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidegate.config import values
from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft import in_protocol, in_served
from tidegate.config.model import Mqtt, MqttNextUpstream, SetConnect
from tidegate.config.parser import Directive
from tidegate.config.scope import put_positive
from tidegate.mqtt.errors import MqttError
from tidegate.mqtt.fields import encode_text
from tidegate.mqtt.fixed_header import MAX_LENGTH_BYTES, MAX_REMAINING_LENGTH
from tidegate.mqtt.reason_codes import CLIENT_FAULTS, name_of, parse_code

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading, ServedDraft
    from tidegate.config.lexer import Token
    from tidegate.config.scope import Scope

# The default of mqtt_buffers: 100 of 1k.
BUFFERS = 100 << 10

# A node gives up a client after one and a half of its keep alive (MQTT 5, section 3.1.2.10).
KEEPALIVE_FACTOR = 1.5

# The longest keep alive is 18 hours; a hundred of it are 75 days.
MOST_KEEPALIVE_FACTOR = 100

FACTOR = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")

LONGEST_PACKET = 1 + MAX_LENGTH_BYTES + MAX_REMAINING_LENGTH

FIELDS = {
    "clientid": "the client identifier",
    "username": "the user name",
    "password": "the password",
}


def preread_buffer_size(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `preread_buffer_size SIZE`."""
    put_positive(directive, scope, why="no client's first packet would fit into 0 bytes")


def mqtt_connack_timeout(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_connack_timeout TIME`."""
    put_positive(directive, scope, why="no node answers at once")


def mqtt_set_connect(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `mqtt_set_connect FIELD VALUE [if_empty=keep]`."""
    server = in_served(reading)
    field, word, *rest = directive.args
    if field.text not in FIELDS:
        hint = did_you_mean(field.text, list(FIELDS)) or "there are: " + ", ".join(FIELDS)
        raise ConfigError(f'invalid field "{field.text}"', field.span, hint=hint)
    if any(one.field == field.text for one in server.set_connect):
        raise ConfigError(f'duplicate "mqtt_set_connect {field.text}"', field.span)
    if rest and rest[0].text != "if_empty=keep":
        hint = 'the only parameter is "if_empty=keep"; quote a value that holds spaces'
        raise ConfigError(f'invalid parameter "{rest[0].text}"', rest[0].span, hint=hint)
    value = template(reading, word, directive)
    if value.constant is not None:
        _check_constant(field.text, value.constant, word, kept=bool(rest))
    server.set_connect.append(SetConnect(field=field.text, value=value, keep_if_empty=bool(rest)))


def _check_constant(field: str, text: str, word: Token, *, kept: bool) -> None:
    """Whether a value without variables can be sent; raises ConfigError."""
    if not text and field == "clientid" and not kept:
        hint = "every client would be refused; to keep what they send leave the directive out"
        raise ConfigError(f'empty "mqtt_set_connect {field}"', word.span, hint=hint)
    try:
        encode_text(text, FIELDS[field])
    except MqttError as error:
        message = f'invalid value in "mqtt_set_connect {field}": {error.message}'
        raise ConfigError(message, word.span) from None


def mqtt_buffers(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_buffers NUMBER SIZE`; how much that is in bytes is all that counts."""
    scope.claim(directive.name.text)
    number, size = directive.args
    count, each = values.number(number.text), values.size(size.text)
    if not count or not each:
        wrong = size if count else number
        hint = "a number and a size are expected, as in 100 1k"
        raise ConfigError('"mqtt_buffers" directive invalid value', wrong.span, hint=hint)
    scope.put(directive.name.text, count * each)


def mqtt_rewrite_buffer_size(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_rewrite_buffer_size SIZE`, which NGINX Plus had before `mqtt_buffers`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    size = values.size(word.text)
    if not size:
        raise ConfigError('"mqtt_rewrite_buffer_size" directive invalid value', word.span)
    scope.put(directive.name.text, size)
    message = (
        'the "mqtt_rewrite_buffer_size" directive is deprecated,'
        ' use the "mqtt_buffers" directive instead'
    )
    reading.report.warn(message, directive.name.span, line=directive.end.line)


def mqtt_keepalive_timeout(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_keepalive_timeout FACTOR | off`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    if word.text == "off":
        scope.put(directive.name.text, value=False)
        return
    factor = float(word.text) if FACTOR.fullmatch(word.text) else 0
    if not 1 <= factor <= MOST_KEEPALIVE_FACTOR:
        hint = f'a number from 1 to {MOST_KEEPALIVE_FACTOR}, as 1.5, or "off" is expected'
        raise ConfigError('"mqtt_keepalive_timeout" directive invalid value', word.span, hint=hint)
    scope.put(directive.name.text, factor)


def mqtt_next_upstream(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_next_upstream CODE… [error] [timeout] | off`."""
    scope.claim(directive.name.text)
    words = directive.args
    if len(words) == 1 and words[0].text == "off":
        scope.put(directive.name.text, value=False)
        return
    codes: set[int] = set()
    named: set[str] = set()
    for word in words:
        size = len(codes) + len(named)
        if word.text in ("error", "timeout"):
            named.add(word.text)
        else:
            codes.add(_code(word))
        if len(codes) + len(named) == size:
            message = f'duplicate value "{word.text}"'
            reading.report.warn(message, word.span, line=directive.end.line)
    found = MqttNextUpstream(
        codes=frozenset(codes),
        error="error" in named,
        timeout="timeout" in named,
    )
    scope.put(directive.name.text, found)
    in_protocol(reading).retries.append((found, directive))


def _code(word: Token) -> int:
    """A code with which a node, and not every node, refuses a client; raises ConfigError."""
    text = word.text
    if text == "off":
        raise ConfigError('invalid value "off"', word.span, hint='"off" stands alone')
    try:
        code = parse_code(text)
    except MqttError:
        hint = "there are codes of MQTT 5 as 0x9C, of MQTT 3 as 3, error and timeout, or off"
        raise ConfigError(f'invalid value "{text}"', word.span, hint=hint) from None
    if code in CLIENT_FAULTS:
        message = f'invalid value "{text}", "{name_of(code)}" is the fault of the client'
        hint = "another node would say the same, so such an answer is always passed on"
        raise ConfigError(message, word.span, hint=hint)
    return code


def finish_server(reading: Reading, draft: ServedDraft) -> None:
    """Warn of what has no effect in a server, when all around it was read."""
    scope = draft.scope
    missing = {}
    if not scope.flag("mqtt"):
        missing["mqtt_set_connect"] = "mqtt on"
    if not draft.sees_mqtt and scope.get("mqtt_keepalive_timeout"):
        missing["mqtt_keepalive_timeout"] = "mqtt_preread on"
    following = scope.get("mqtt_next_upstream")
    if not isinstance(following, MqttNextUpstream) or not following.timeout:
        missing["mqtt_connack_timeout"] = "mqtt_next_upstream timeout"
    for name, need in missing.items():
        found = _inside(draft.directive, name)
        if found is not None:
            message = f'"{name}" has no effect without "{need}"'
            protocol = in_protocol(reading)
            hint = f'add "{need}" to the {protocol.serves}, or to "{protocol.scope.context} {{}}"'
            reading.report.warn(message, found.name.span, line=found.end.line, hint=hint)


def finish_retries(reading: Reading) -> None:
    """Warn of each `mqtt_next_upstream` by which no server can ask another node."""
    protocol = in_protocol(reading)
    for found, directive in protocol.retries:
        reasons = [
            _why_no_other(draft)
            for draft in protocol.served()
            if draft.sound and draft.pass_span and draft.scope.get(directive.name.text) is found
        ]
        if reasons and all(reasons):
            message = f'"mqtt_next_upstream" asks no other node with {reasons[0]}'
            hint = "what a node refuses goes to the client, as without the directive"
            span, line = directive.name.span, directive.end.line
            reading.report.warn(message, span, line=line, hint=hint)


def _why_no_other(draft: ServedDraft) -> str | None:
    """What keeps a server from asking a second node; None where nothing does."""
    if not draft.scope.flag("proxy_next_upstream"):
        return '"proxy_next_upstream off"'
    if draft.scope.get("proxy_next_upstream_tries") == 1:
        return '"proxy_next_upstream_tries 1"'
    group = draft.upstream
    if group is None or not group.sound or group.moving:
        return None
    if sum(not peer.down for peer in group.peers) == 1:
        return f'one server in upstream "{group.name}"'
    return None


def _inside(block: Directive, name: str) -> Directive | None:
    """The first directive of a name in a block."""
    items = block.block.items if block.block else []
    named = (item for item in items if isinstance(item, Directive) and item.name.text == name)
    return next(named, None)


def make_mqtt(draft: ServedDraft) -> Mqtt | None:
    """What a server does with MQTT; None where nothing makes it look."""
    if not draft.sees_mqtt:
        return None
    scope = draft.scope
    preread, rewrite = scope.flag("mqtt_preread"), scope.flag("mqtt")
    following = scope.get("mqtt_next_upstream")
    return Mqtt(
        preread=preread,
        rewrite=rewrite,
        buffer_size=_buffer_size(scope),
        set_connect=tuple(draft.set_connect) if rewrite else (),
        keepalive_factor=_keepalive_factor(scope, looking=preread or rewrite),
        next_upstream=following if isinstance(following, MqttNextUpstream) else None,
        connack_timeout_ms=scope.integer("mqtt_connack_timeout"),
        require=scope.flag("mqtt_require"),
    )


def _keepalive_factor(scope: Scope, *, looking: bool) -> float | None:
    factor = scope.get("mqtt_keepalive_timeout")
    if factor is None:
        return KEEPALIVE_FACTOR if looking else None
    return float(factor) if isinstance(factor, float) else None


def bounded(size: int) -> int:
    """A size of a buffer for one packet: no packet is longer than MQTT can write."""
    return min(size, LONGEST_PACKET)


def _buffer_size(scope: Scope) -> int:
    sizes = [scope.integer("preread_buffer_size")]
    if scope.flag("mqtt"):
        sizes.append(scope.optional_integer("mqtt_buffers") or BUFFERS)
        sizes.append(scope.optional_integer("mqtt_rewrite_buffer_size") or 0)
    return bounded(max(sizes))


HANDLERS: dict[tuple[str, str], DraftHandler] = {
    (context, name): handler
    for context in ("stream", "stream.server")
    for name, handler in (
        ("preread_buffer_size", preread_buffer_size),
        ("mqtt_buffers", mqtt_buffers),
        ("mqtt_keepalive_timeout", mqtt_keepalive_timeout),
        ("mqtt_next_upstream", mqtt_next_upstream),
        ("mqtt_connack_timeout", mqtt_connack_timeout),
    )
} | {
    ("stream.server", "mqtt_set_connect"): mqtt_set_connect,
    ("stream.server", "mqtt_rewrite_buffer_size"): mqtt_rewrite_buffer_size,
}

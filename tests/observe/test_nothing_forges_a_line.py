"""Whatever a client writes, a line of a log stays one line with its own fields."""

from __future__ import annotations

import ast
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.config.model import LogFormat
from tidegate.mqtt.connect import Connect
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.observe.access_log import compile_line
from tidegate.observe.error_log import escape
from tidegate.stream.mqtt_variables import read
from tidegate.variables.template import parse
from tidegate.wire.quoted import SHOWN, host_text, quoted

NAMES = (
    "mqtt_preread_clientid",
    "mqtt_preread_username",
    "mqtt_will_topic",
    "mqtt_user_property_place",
)
GETTERS = {name: lambda connect, name=name: read(name, connect, None) for name in NAMES}
FORGERY = 'x" 200\n2026/11/22 00:00:00 [emerg] 1#1: \x1b[2J\\x22", "\x85\u2028\r\x0b'

# What MQTT allows in a string, with more of what could do harm than chance brings.
TEXTS = st.text(
    st.one_of(
        st.sampled_from(list("\"\\'\n\r\t\x0b\x0c\x1b\x1c\x7f\x85\x9b\u2028\u2029 |{}$")),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=40,
)


def string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def varint(value):
    low, rest = value % 128, value // 128
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def connect_of(client_id, username, topic, place):
    """A CONNECT of MQTT 5 with these texts, as the parser reads it."""
    properties = b"\x26" + string("Place") + string(place)
    body = (
        *(b"\0\4MQTT\5", b"\x86", b"\0\x3c", varint(len(properties)), properties),
        *(string(client_id), b"\0", string(topic), b"\0\0", string(username)),
    )
    rest = b"".join(body)
    found = parse_connect(b"\x10" + varint(len(rest)) + rest, limit=1 << 20, ended=True)
    assert isinstance(found, Connect)
    return found


def line_of(text, escape, values):
    made = LogFormat(name="main", template=parse(text), escape=escape)
    return compile_line(made, GETTERS)(connect_of(*values))


FOUR = st.tuples(TEXTS, TEXTS, TEXTS, TEXTS)
FORGED = (FORGERY,) * 4


@given(FOUR)
@example(FORGED)
def test_as_default_each_field_is_what_the_client_sent_and_nothing_else(values):
    line = line_of(" ".join(f'"${name}"' for name in NAMES), "default", values)
    assert line.isascii()
    assert line.isprintable()
    fields = line[1:-1].split('" "')
    assert [ast.literal_eval(f'b"{field}"').decode() for field in fields] == list(values)


@given(FOUR)
@example(FORGED)
def test_as_json_each_field_is_what_the_client_sent_and_nothing_else(values):
    members = ",".join(f'"{name}":"${name}"' for name in NAMES)
    line = line_of(f"{{{members}}}", "json", values)
    assert len(line.splitlines()) == 1
    assert json.loads(line) == dict(zip(NAMES, values, strict=True))


@given(FOUR)
@example(FORGED)
def test_with_none_a_line_is_still_one_line(values):
    line = line_of("|".join(f"${name}" for name in NAMES), "none", values)
    assert "\n" not in line
    assert "\r" not in line


@pytest.mark.parametrize("escape", ["default", "json", "none"])
def test_the_forgery_is_one(escape):
    """Unescaped it would be read as more than one line: the examples above prove something."""
    assert len(FORGERY.splitlines()) > 1
    assert line_of("$mqtt_preread_clientid", escape, FORGED) != FORGERY


FORGED_FIELD = f'x" while prereading, client: 10.9.8.7\\", clientid: "y{FORGERY}'
IN_QUOTES = re.compile(r'"((?:[^"\\]|\\x[0-9A-F]{2})*)"')
ESCAPED = re.compile(rb"\\x([0-9A-F]{2})")


@given(TEXTS)
@example(FORGED_FIELD)
def test_in_an_error_line_a_text_ends_where_its_quotes_end_and_can_be_read_back(text):
    line = escape(f"{quoted(text)}, client: 1.2.3.4")
    found = IN_QUOTES.match(line)
    assert found is not None
    assert line[found.end() :] == ", client: 1.2.3.4"
    shown = ESCAPED.sub(lambda one: bytes([int(one[1], 16)]), found[1].encode())
    assert shown == text[:SHOWN].encode("utf-8", "surrogateescape")


@given(TEXTS)
@example(FORGED_FIELD)
@example("a.b")
def test_a_host_has_quotes_where_it_may_be_no_host(text):
    shown = host_text(text)
    assert shown in (text, quoted(text))
    assert shown != text or re.fullmatch(r"[\w.:\[\]-]*", text)

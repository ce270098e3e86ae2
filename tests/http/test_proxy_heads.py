"""Heads on their way through a location: what a node and a client get."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.proxy_heads import HOST, RequestWriter, SwitchWriter
from tidegate.http.proxy_response import ResponseWriter
from tidegate.http.proxying import is_mqtt
from tidegate.http.request import Request
from tidegate.http.uri import read_target
from tidegate.wire.request_head import read_request_head
from tidegate.wire.response_head import read_response_head

UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"X-One: 1\r\nx-two: 2\r\nX-ONE: 3\r\n\r\n"
)


def request_of(data):
    request = Request()
    request.head = read_request_head(data, line=8192, most=33792, underscores=True)
    request.uri = read_target(request.head.target, merge_slashes=True)
    request.path, request.args = request.uri.path, request.uri.args
    return request


def written(fields=(), *, data=UPGRADE, uri=None, whole_uri=False, headers=True, body=True):
    writer = RequestWriter(
        version="1.1",
        fields=fields,
        uri=uri,
        whole_uri=whole_uri,
        pass_headers=headers,
        pass_body=body,
    )
    request = request_of(data)
    session = SimpleNamespace(location=SimpleNamespace(uri_prefix=len("/mqtt")), request=request)
    return writer.head(session, request), request


def always(text):
    return lambda _session: text


def test_fields_that_are_set_come_first_and_replace_the_clients():
    head, request = written(
        [
            ("Host", always("b"), None, None),
            ("X-One", always(""), None, None),
            ("Connection", always("Upgrade"), "Upgrade", None),
            ("Upgrade", always("wrong"), None, b"upgrade"),
            ("Empty", always(""), "", None),
        ]
    )
    assert head == (
        b"GET /mqtt HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"x-two: 2\r\n\r\n"
    )
    assert request.sent_uri == b"/mqtt"


def test_a_field_of_the_client_is_sent_with_all_its_values_or_not_at_all():
    fields = [("A", always("wrong"), None, b"x-one"), ("B", always(""), None, b"x-none")]
    head, _request = written(fields, headers=False)
    assert head == b"GET /mqtt HTTP/1.1\r\nA: 1, 3\r\n\r\n"


def test_a_field_written_with_an_underscore_is_asked_of_the_variable():
    data = UPGRADE.replace(b"x-two", b"x_two")
    head, _request = written([("A", always("2"), None, b"x-two")], data=data, headers=False)
    assert head == b"GET /mqtt HTTP/1.1\r\nA: 2\r\n\r\n"


def test_a_value_ends_no_line():
    fields = [
        ("A", always("a\r\nB: c\0"), None, None),
        ("C", always("wrong"), "a\r\nb", None),
    ]
    head, _request = written(fields, headers=False)
    assert head == b"GET /mqtt HTTP/1.1\r\nA: a  B: c \r\nC: a  b\r\n\r\n"


@pytest.mark.parametrize("size", [0, 10, 1000, 1024, 5000, 8000])
def test_heads_of_any_size_are_whole(size):
    long = b"a" * size
    data = UPGRADE.replace(b"x-two: 2", b"x-two: " + long)
    head, _request = written([("A", always("b" * size), None, None)], data=data)
    line = b"A: " + b"b" * size + b"\r\n" if size else b""
    assert head == (
        b"GET /mqtt HTTP/1.1\r\n" + line + b"X-One: 1\r\nx-two: " + long + b"\r\nX-ONE: 3\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "uri", "whole", "sent"),
    [
        (b"/mqtt?a", None, False, b"/mqtt?a"),
        (b"/mqtt//%41#x", None, False, b"/mqtt//%41#x"),
        (b"/mqtt/b?a", "/n", False, b"/n/b?a"),
        (b"/mqtt/%20b", "/n", False, b"/n/%20b"),
        (b"/mqtt/b", "/n", True, b"/n"),
        (b"/mqtt/b", "/n m", False, b"/n%20m/b"),
        (b"/mqtt/b", "", True, b"/b"),
    ],
)
def test_the_node_is_asked_for_the_uri_that_proxy_pass_makes(target, uri, whole, sent):
    data = UPGRADE.replace(b"/mqtt", target)
    text = None if uri is None else always(uri)
    head, request = written(data=data, uri=text, whole_uri=whole, headers=False)
    assert head == b"GET " + sent + b" HTTP/1.1\r\n\r\n"
    assert request.sent_uri == sent


@pytest.mark.parametrize("body", [True, False])
def test_the_length_of_a_body_goes_with_it(body):
    data = b"POST / HTTP/1.0\r\nContent-Length: 12\r\n\r\n"
    head, _request = written(data=data, body=body)
    assert head == b"POST / HTTP/1.0\r\n" + b"Content-Length: 12\r\n" * body + b"\r\n"


NAMES = st.sampled_from(
    [
        *(b"Upgrade", b"Connection", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"),
        *(b"sec-websocket-accept", b"X-Hidden", b"x-Y", b"Server", b"Date", b"Content-Type"),
        *(b"Keep-Alive", b"Proxy-Connection", b"Location", b"Refresh", b"X_Y"),
    ]
)
VALUES = st.sampled_from([b"", b"websocket", b"mqtt", b"MQTT", b"a, mqttv3.1", b"/b", b"x\xff"])
HIDDEN = st.frozensets(
    st.sampled_from(
        ["server", "date", "x-hidden", "upgrade", "content-type", "sec-websocket-protocol"]
    )
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5), HIDDEN, st.booleans())
def test_a_switch_is_written_in_a_shorter_way_but_not_otherwise(fields, hide, tokens):
    said = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    head = read_response_head(b"HTTP/1.1 101 Any Words\r\n" + said + b"\r\n")
    model = SimpleNamespace(absolute_redirect=False)
    session = SimpleNamespace(location=SimpleNamespace(model=model))
    writer = ResponseWriter(hide=hide, passing=(), redirect=None, tokens=tokens)
    short = writer.switch.head(head)
    response = writer.response(session, head, connection="upgrade", has_body=False)
    long = response.head(tokens=tokens)
    own = {b"server", b"date", b"location", b"refresh"} - {one.encode() for one in hide}
    if not {name.lower() for name, _value in fields}.isdisjoint(own | {b"content-type"}):
        assert short is None
        return
    assert without_date(short) == without_date(long)
    assert writer.switch.is_mqtt(head) is is_mqtt(response)


def without_date(head):
    lines = head.split(b"\r\n")
    assert lines[2].startswith(b"Date: ")
    return lines[:2] + lines[3:]


def test_hidden_fields_are_known_in_any_letters():
    head = read_response_head(b"HTTP/1.1 101 A\r\nX-HIDDEN: 1\r\nx-shown: 2\r\n\r\n")
    told = SwitchWriter(hidden=[b"x-hidden"], tokens=False).head(head)
    assert b"HIDDEN" not in told
    assert told.endswith(b"\r\nConnection: upgrade\r\nx-shown: 2\r\n\r\n")


@pytest.mark.parametrize(("host", "sent"), [(b"b.example", b"b.example"), (None, b"own")])
def test_the_host_is_the_one_asked_for_or_else_the_variables(host, sent):
    writer = RequestWriter(
        version="1.1",
        fields=[("Host", always("own"), None, HOST)],
        uri=None,
        whole_uri=False,
        pass_headers=False,
        pass_body=True,
    )
    request = request_of(UPGRADE)
    request.host = host
    assert b"\r\nHost: " + sent + b"\r\n" in writer.head(SimpleNamespace(), request)

"""What workers and the control process say to each other."""

import pytest

from lab import local
from tidegate.config.model import Level
from tidegate.http.local import Verdict, status_request, verdict


@pytest.fixture
def place(tmp_path):
    return local.location(local.files(tmp_path))


def test_a_request_says_no_more_of_the_client_than_its_conditions(place):
    said = [
        (b"If-None-Match", b'"x"'),
        (b"range", b"bytes=0-1"),
        (b"Cookie", b"c"),
        (b"X-Real-IP", b"::1"),
        (b"tidegate-order", b"{}"),
        (b"Connection", b"keep-alive"),
    ]
    lines = local.request(place, "/x", headers=said).split(b"\r\n")
    assert lines[0] == b"GET /files/ HTTP/1.1"
    assert lines[1:3] == [b"Host: tidegate", b"Connection: close"]
    assert lines[4:] == [b'If-None-Match: "x"', b"range: bytes=0-1", b"", b""]


def test_a_range_in_other_units_is_ignored(place):
    assert b"lines" not in local.request(place, "/x", headers=[(b"Range", b"lines=1-2")])


def test_nothing_in_a_uri_ends_a_line_of_the_request(place):
    data = local.request(place, "/a\r\nRange: bytes=0-0\r\n\r\nb")
    assert data.count(b"\r\n") == 5


@pytest.mark.parametrize(("method", "shown"), [("PROPFIND", b"GET"), ("HEAD", b"HEAD")])
def test_a_method_of_any_name_reaches_the_control_process(method, shown):
    data = status_request(method)
    assert data.startswith(shown + b" /stub_status HTTP/1.1\r\n")
    assert f'"{method}"'.encode() in data


def test_a_verdict_arrives_as_it_was_told():
    for told in (
        Verdict(status=404, error='open() "/\udcff" failed', level=Level.CRIT),
        Verdict(status=200, redirect="/x", args=""),
        Verdict(status=200, redirect="@x"),
    ):
        assert verdict(told.status, [(b"Tidegate-Verdict", told.header())]) == told


def test_answers_are_for_the_client_unless_they_are_errors():
    assert verdict(200, []) is None
    assert verdict(206, [(b"content-range", b"bytes 0-1/2")]) is None
    assert verdict(304, []) is None
    refused = verdict(416, [(b"content-range", b"bytes */2")])
    assert refused == Verdict(status=416, content_range="bytes */2")
    assert verdict(500, []).status == 500
    assert verdict(503, []).status == 503

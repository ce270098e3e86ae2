"""Requests to `http {}` get to a broker and back: bodies, failures, time-outs, limits, logs."""

from __future__ import annotations

import os
import re
import time

import pytest

from lab import http, sockets
from lab.http import END, HELLO, ask, get, split
from lab.nodes import close_at_once, collect, hang
from lab.process import read
from lab.waiting import wait_until


class World:
    """A balancer whose location / leads to `brokers`."""

    def __init__(self, lab, brokers, *, more="", outside="", **options):
        self.lab = lab
        self.port = lab.ports.free()
        self.nodes = [getattr(one, "address", one) for one in brokers]
        servers = " ".join(f"server {node} max_fails=0;" for node in self.nodes)
        self.balancer = http.balancer(
            lab,
            f"upstream nodes {{ {servers} }} {outside}"
            f"server {{ listen 127.0.0.1:{self.port}; server_name here.example;"
            f" location / {{ proxy_pass http://nodes; {more} }} location /own {{ return 200 own; }}"
            "}",
            **options,
        )

    def ask(self, data, **options):
        return ask(self.port, data, **options)

    def access(self, count=1):
        path = self.balancer.access_log
        return wait_until(
            lambda: (lines := read(path).splitlines())[count - 1 :] and lines, f"{count} lines"
        )

    def said(self, words):
        return wait_until(
            lambda: next((one for one in self.balancer.errors().splitlines() if words in one), ""),
            words,
        )


@pytest.fixture
def world(lab):
    """Make a balancer and its brokers: functions of a session, or instances of http.Broker."""

    def make(*brokers, **options):
        return World(
            lab, [one if isinstance(one, str) else lab.node(one) for one in brokers], **options
        )

    return make


def post(body, *fields, path="/"):
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body


CHUNKED = "Transfer-Encoding: chunked"


def test_a_large_body_streams_to_the_broker(world):
    broker = http.Broker()
    here = world(broker)
    body = b"0123456789" * 80_000
    assert split(here.ask(post(body)))[0] == 200
    (request,) = broker.requests
    head, _, arrived = request.partition(END)
    assert b"Content-Length: 800000" in head
    assert arrived == body


def test_a_body_in_chunks_arrives_with_its_length(world):
    broker = http.Broker()
    here = world(broker)
    coded = b"5\r\nhello\r\n" * 1000 + b"0\r\n\r\n"
    assert split(here.ask(get("/", CHUNKED, method="POST") + coded))[0] == 200
    head, _, body = broker.requests[0].partition(END)
    assert b"Content-Length: 5000" in head
    assert b"ransfer-" not in head
    assert body == b"hello" * 1000


def test_a_body_that_is_too_large_is_413_whether_its_length_is_told_or_not(world):
    broker = http.Broker()
    here = world(broker, more="client_max_body_size 1k;")
    assert split(here.ask(post(b"x" * 2000)))[0] == 413
    here.said("client intended to send too large body: 2000 bytes, client: 127.0.0.1")
    coded = (b"64\r\n" + b"x" * 100 + b"\r\n") * 20
    assert split(here.ask(get("/", CHUNKED, method="POST") + coded))[0] == 413
    assert broker.requests == []


def test_chunks_that_are_none_are_400(world):
    here = world(http.Broker())
    assert split(here.ask(get("/", CHUNKED, method="POST") + b"hello\r\n"))[0] == 400


@pytest.mark.parametrize("fields", [["Content-Length: 5"], [CHUNKED]])
def test_a_client_that_waits_for_100_is_told_to_go_on(world, fields):
    broker = http.Broker()
    here = world(broker)
    with sockets.open_raw(here.port) as client:
        client.sendall(get("/", *fields, "Expect: 100-continue", method="POST"))
        assert sockets.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello" if "5" in fields[0] else b"5\r\nhello\r\n0\r\n\r\n")
        assert sockets.receive_all(client).startswith(b"HTTP/1.1 200 OK")
    assert broker.requests[0].endswith(END + b"hello")
    assert b"Expect" not in broker.requests[0]


def test_early_hints_of_a_broker_are_left_out(world):
    here = world(http.Broker(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HELLO))
    status, fields, body = split(here.ask(get()))
    assert (status, body) == (200, b"hello")
    assert "Link" not in dict(fields)


def test_a_dead_broker_is_passed_over(world, refusing):
    here = world(f"127.0.0.1:{refusing}", http.Broker())
    assert split(here.ask(get()))[0] == 200
    line = here.said("connect() failed (111: Connection refused) while connecting to upstream")
    assert (
        'client: 127.0.0.1, server: here.example, request: "GET / HTTP/1.1", '
        f'upstream: "http://127.0.0.1:{refusing}/", host: "a.example"' in line
    )


@pytest.fixture
def refusing(lab):
    """A port that nobody listens on."""
    return lab.ports.free()


@pytest.mark.parametrize(
    ("method", "words", "status"),
    [
        ("GET", "error timeout http_503", 200),
        ("GET", "error timeout", 503),
        ("GET", "off", 503),
        ("POST", "http_503", 503),
        ("POST", "http_503 non_idempotent", 200),
    ],
)
def test_the_next_broker_is_asked_as_proxy_next_upstream_says(world, method, words, status):
    busy = http.Broker(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    here = world(busy, http.Broker(), more=f"proxy_next_upstream {words};")
    assert split(here.ask(get(method=method)))[0] == status
    assert len(busy.requests) == 1


def test_brokers_that_do_not_answer_are_502_and_504(world):
    here = world(close_at_once, more="proxy_next_upstream off;")
    assert split(here.ask(get()))[0] == 502
    here.said("upstream prematurely closed connection while reading response header from upstream")
    here = world(hang, more="proxy_read_timeout 200ms;")
    began = time.monotonic()
    assert split(here.ask(get()))[0] == 504
    assert time.monotonic() - began < 5
    here.said(
        "upstream timed out (110: Connection timed out) while reading response header from upstream"
    )


def test_without_a_live_broker_the_log_names_the_upstream(world, refusing):
    here = world(f"127.0.0.1:{refusing} down", f"127.0.0.1:{refusing} down")
    status, _fields, body = split(here.ask(get("/x")))
    assert status == 502
    assert b"<h1>502 Bad Gateway</h1>" in body
    assert 'upstream: "http://nodes/x"' in here.said("no live upstreams while connecting")


def test_a_client_that_leaves_is_499_in_the_log(world):
    here = world(hang)
    with sockets.open_raw(here.port) as client:
        client.sendall(get())
        time.sleep(0.2)  # the broker has it by then; if not, it is 499 all the same
    assert '" 499 0 "' in here.access()[0]


def test_a_slow_head_is_408_and_a_cut_one_400(world):
    here = world(collect, outside="client_header_timeout 300ms;")
    with sockets.open_raw(here.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        assert sockets.receive_all(client) == b""
    assert " 408 0 " in here.access()[0]
    with sockets.open_raw(here.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.shutdown(1)
        assert sockets.receive_all(client) == b""
    assert " 400 0 " in here.access(2)[1]


def test_who_says_nothing_is_closed_in_time_and_leaves_no_line(world):
    here = world(collect, outside="client_header_timeout 200ms;")
    assert here.ask(b"") == b""
    here.ask(get("/own"))
    assert len(here.access()) == 1


def test_the_line_in_the_log_is_nginxs_combined(world):
    here = world(http.Broker())
    here.ask(get("/x?y", "Referer: http://r/", 'User-Agent: a"b'))
    (line,) = here.access()
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /x\?y HTTP/1\.1" 200 5 "http://r/" "a\\x22b"', line
    )


def test_variables_tell_of_each_try(world, refusing):
    form = "$status $upstream_status|$upstream_addr|$body_bytes_sent|$request_length|$request_time"
    here = world(
        f"127.0.0.1:{refusing}",
        http.Broker(),
        outside=f"log_format f '{form}|$upstream_http_x|$sent_http_content_length'; "
        "access_log tries f;",
    )
    here.ask(get())
    path = os.path.join(here.balancer.folder, "tries")
    (line,) = wait_until(lambda: read(path).splitlines(), "a line")
    first, addresses, body, size, seconds, _x, length = line.split("|")
    assert first == "200 502, 200"
    assert addresses.split(", ") == here.nodes
    assert (body, size, length) == ("5", str(len(get())), "5")
    assert re.fullmatch(r"\d\.\d{3}", seconds)


def test_limits_rules_and_real_addresses_hold_for_requests(world):
    here = world(
        hang,
        outside="limit_conn_zone $remote_addr zone=z:32k; set_real_ip_from 127.0.0.1;",
        more="limit_conn z 1; deny 10.0.0.0/8;",
    )
    with sockets.open_raw(here.port) as client:
        client.sendall(get("/", "X-Real-IP: 1.2.3.4"))
        wait_until(
            lambda: here.ask(get("/", "X-Real-IP: 1.2.3.4")).startswith(b"HTTP/1.1 503"), "503"
        )
    assert split(here.ask(get("/", "X-Real-IP: 10.1.1.1")))[0] == 403
    assert "client: 10.1.1.1" in here.said("access forbidden by rule")
    here.said('limiting connections by zone "z", client: 1.2.3.4')


def test_one_connection_may_ask_often_and_in_a_row(world):
    here = world(http.Broker(), outside="keepalive_requests 3;")
    one = b"GET /own HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = here.ask(one * 5)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"Connection: keep-alive") == 2
    assert answers.count(b"Connection: close") == 1
    assert len(here.access(3)) == 3


def test_a_waiting_connection_is_closed_after_keepalive_timeout(world):
    here = world(http.Broker(), outside="keepalive_timeout 300ms;")
    began = time.monotonic()
    answer = here.ask(b"GET /own HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.endswith(b"own")
    assert 0.2 < time.monotonic() - began < 5


def test_an_unasked_switch_of_protocols_is_502(world):
    here = world(http.Broker(http.SWITCH))
    assert split(here.ask(get()))[0] == 502

"""`stub_status` is nginx's to the byte, and counts as nginx does."""

import os
import signal

import pytest

from lab import proc, same_http
from lab.http import SWITCH, Broker, upgrade
from lab.waiting import wait_until
from tidegate.version import VERSION

HTTP = """
    server {
        listen PORT;
        location /status { stub_status; }
        location /text { return 200 text; }
    }
"""
NGINX = b"nginx/1.22.1"
OURS = f"tidegate/{VERSION}".encode()
STREAM = "server { listen MQTT; proxy_pass NODE; }"


@pytest.fixture
def pair(lab):
    """nginx and tidegate with a status page, a text, and a stream to an echo."""
    stream = STREAM.replace("NODE", lab.node().address)
    return same_http.both(lab, HTTP, stream=stream)


def page(port):
    """The status page, asked for on a connection of its own."""
    answer = same_http.ask(port, "/status", headers=["Connection: close"])
    assert answer.status == 200
    return answer.body


def settled(port):
    """The page once the connections of former requests are gone: only who asks is left."""
    return wait_until(
        lambda: (text := page(port)).startswith(b"Active connections: 1 ") and text,
        "only who asks is connected",
    )


def test_the_same_series_gives_the_same_page(pair):
    shown = []
    for _balancer, port, mqtt in pair:
        made = [same_http.connect(mqtt) for _ in range(3)]
        for sock in made:
            same_http.echo(sock)
        made.pop().close()
        for _ in range(2):
            kept = same_http.connect(port)
            for _ in range(3):
                assert same_http.ask_on(kept, "/text").body == b"text"
            made.append(kept)
        made.append(same_http.connect(port))  # says nothing
        half = same_http.connect(port)
        half.sendall(b"GET /text HTTP/1.1\r\nHost: x\r\n")
        made.append(half)
        asker = same_http.connect(port)
        made.append(asker)

        def seen(sock=asker):
            text = same_http.ask_on(sock, "/status").body
            # 2 of stream, 2 that wait for a request, 1 that never sent one, 1 in mid-head, us.
            first, *_totals, reading, writing, waiting = same_http.numbers(text)
            return (first, reading, writing, waiting) == (7, 1, 1, 3) and text

        text = wait_until(seen, "all are counted")
        # How often we asked is luck; all else of the totals is not.
        asked = same_http.numbers(text)[3]
        shown.append((text.replace(b" %d \nReading" % asked, b" N \nReading"), made))
        for sock in made:
            sock.close()
    (nginx, _), (ours, _) = shown
    assert ours == nginx
    assert ours.startswith(b"Active connections: 7 \nserver accepts handled requests\n 8 8 N \n")


def test_requests_are_counted_not_sessions(pair):
    shown = []
    for _balancer, port, mqtt in pair:
        for _ in range(5):
            with same_http.connect(mqtt) as sock:
                same_http.echo(sock)
        with same_http.connect(port) as sock:
            # Two that come as one.
            sock.sendall(b"GET /text HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
            assert [one.status for one in same_http.Pipeline(sock).answers(2)] == [200, 200]
        settled(port)
        _active, accepts, handled, requests, *_now = same_http.numbers(settled(port))
        assert accepts == handled
        # Each page is a connection and a request.
        shown.append((accepts - 6 - (requests - 2), requests - 2 >= 2))
    assert shown == [(0, True), (0, True)]


def test_the_answer_has_nginx_s_head(pair):
    heads = []
    for _balancer, port, _mqtt in pair:
        answer = same_http.ask(port, "/status")
        heads.append([name for name, _value in answer.head])
        assert answer["Content-Type"] == "text/plain"
        assert int(answer["Content-Length"]) == len(answer.body)
        assert answer["Connection"] == "keep-alive"
    assert heads[1] == heads[0]


def test_other_methods_are_answered_as_by_nginx(pair):
    (_, nginx, _), (_, ours, _) = pair
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        expected = same_http.ask(nginx, "/status", method=method, headers=["Content-Length: 0"])
        answer = same_http.ask(ours, "/status", method=method, headers=["Content-Length: 0"])
        assert (answer.status, answer.reason) == (expected.status, expected.reason)
        assert [name for name, _ in answer.head] == [name for name, _ in expected.head]
        if method != "HEAD":
            assert answer.body.replace(OURS, b"NAME") == expected.body.replace(NGINX, b"NAME")


def test_keep_alive_connections_ask_again_and_again(pair):
    _nginx, (_balancer, port, _mqtt) = pair
    with same_http.connect(port) as sock:
        for count in range(1, 51):
            text = same_http.ask_on(sock, "/status").body
            assert same_http.numbers(text)[:4] == [1, 1, 1, count]


def test_all_workers_are_one(lab):
    _nginx, (balancer, port, mqtt) = same_http.both(
        lab, HTTP, stream=STREAM.replace("NODE", lab.node().address), workers=2
    )
    made = []

    def both_have_some():
        made.append(same_http.connect(mqtt))
        same_http.echo(made[-1])
        return len(set(proc.served_by(balancer.workers(), mqtt).values())) == 2

    wait_until(both_have_some, "both workers have sessions")
    assert page(port).startswith(b"Active connections: %d \n" % (len(made) + 1))
    os.kill(balancer.workers()[0], signal.SIGKILL)
    left = len(proc.served_by(balancer.workers(), mqtt))
    wait_until(
        lambda: same_http.numbers(page(port))[0] == left + 1, "those of the killed are taken back"
    )
    # Totals stay.
    assert same_http.numbers(page(port))[1] > len(made)
    for sock in made:
        sock.close()


def test_variables_tell_the_same(lab):
    text = "$connections_active $connections_reading $connections_writing $connections_waiting"
    http = f'server {{ listen PORT; location / {{ return 200 "{text}"; }} }}'
    for _balancer, port, _mqtt in same_http.both(lab, http):
        with same_http.connect(port) as first, same_http.connect(port) as second:
            assert same_http.ask_on(first, "/").status == 200
            wait_until(
                lambda sock=second: same_http.ask_on(sock, "/").body == b"2 0 1 1", "all counted"
            )


def test_ctl_tells_of_brokers_of_http_and_of_the_control_process(lab):
    node = lab.node(Broker(SWITCH))
    http = f"""
        upstream ws {{ server {node.address} weight=2; }}
        server {{
            listen PORT;
            location /status {{ stub_status; }}
            location /mqtt {{ proxy_pass http://ws; }}
        }}
    """
    stream = f"upstream ws {{ server {node.address}; }} server {{ listen MQTT; proxy_pass ws; }}"
    _nginx, (balancer, port, mqtt) = same_http.both(lab, http, stream=stream)
    with same_http.connect(port) as first, same_http.connect(port) as second:
        for sock in (first, second):
            sock.sendall(upgrade())
            assert sock.recv(12) == b"HTTP/1.1 101"
        with same_http.connect(mqtt):
            told = wait_until(
                lambda: (
                    (groups := balancer.told("upstreams")["upstreams"])[0]["peers"][0]["active"]
                    and groups
                ),
                "the session of stream is there",
            )
    assert [(one["name"], one["http"]) for one in told] == [("ws", False), ("ws", True)]
    assert [one["peers"][0]["active"] for one in told] == [1, 2]
    (control,) = balancer.told("status")["control"]
    assert control["state"] == "serving"
    assert control["memory"] > 2**20
    assert control["pid"] in proc.children(balancer.pid)

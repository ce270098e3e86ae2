"""WebSockets through `http {}`: they begin with the word of the broker, and live as both like."""

from __future__ import annotations

import time

import pytest

from lab import http, packets, sockets
from lab.http import SWITCH, upgrade
from lab.process import read
from lab.waiting import wait_until

MQTT = SWITCH.removesuffix(b"\r\n") + b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"


def frame(payload, *, opcode=2, key=b"abcd"):
    """A client's frame."""
    size = len(payload)
    head = (
        bytes((0x80 | opcode, 0x80 | size))
        if size < 126
        else (bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big"))
    )
    return head + key + bytes(one ^ key[at % 4] for at, one in enumerate(payload))


class World:
    """A balancer in front of a broker that answers `answer` and then echoes."""

    def __init__(self, lab, answer=MQTT, *, more="", **options):
        self.broker = http.Broker(answer)
        self.port = lab.ports.free()
        node = lab.node(self.broker)
        self.text = (
            f"server {{ listen 127.0.0.1:{self.port}; location /mqtt {{ proxy_pass"
            f" http://{node.address}; proxy_http_version 1.1;"
            " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection Upgrade;"
            f" {more} }} }}"
        )
        self.balancer = http.balancer(lab, self.text, **options)

    def open(self, after=b""):
        """A tunnel; `after` goes right behind the request."""
        client = sockets.open_raw(self.port)
        client.sendall(upgrade() + after)
        head = b""
        while not head.endswith(http.END):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        return client


def closed_after(client):
    began = time.monotonic()
    assert sockets.receive_all(client) == b""
    return time.monotonic() - began


def test_frames_pass_unchanged_both_ways(lab):
    here = World(lab)
    with here.open(b"early") as client:
        assert sockets.receive(client, 5) == b"early"
        data = frame(b"x" * 100) * 1000
        client.sendall(data)
        assert sockets.receive(client, len(data)) == data
    (line,) = wait_until(lambda: read(here.balancer.access_log).splitlines(), "a line")
    assert f'"GET /mqtt HTTP/1.1" 101 {len(data) + 5} "-" "-"' in line


def test_a_broker_that_does_not_switch_is_quoted_and_that_is_all(lab):
    here = World(lab, b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    answer = http.ask(here.port, upgrade() + b"early")
    assert answer.startswith(b"HTTP/1.1 403 No\r\n")
    assert answer.endswith(http.END + b"no")
    assert b"early" not in here.broker.requests[0]


def test_a_session_outlives_a_reload_and_a_graceful_stop(lab):
    here = World(lab)
    with here.open() as client:
        with open(here.balancer.conf, "a") as file:
            file.write("# another\n")
        assert here.balancer.send("reload").returncode == 0
        wait_until(lambda: "reconfiguring" in here.balancer.errors(), "a reload")
        client.sendall(b"one")
        assert sockets.receive(client, 3) == b"one"
        with here.open() as other:
            other.sendall(b"new")
            assert sockets.receive(other, 3) == b"new"
        here.balancer.quit()
        wait_until(lambda: "gracefully shutting down" in here.balancer.errors(), "it leaves")
        client.sendall(b"two")
        assert sockets.receive(client, 3) == b"two"
    here.balancer.wait()


def test_a_waiting_connection_does_not_hold_up_a_graceful_stop(lab):
    here = World(lab)
    with sockets.open_raw(here.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(10_000).startswith(b"HTTP/1.1 404")
        here.balancer.quit()
        here.balancer.wait()
        assert sockets.receive_all(client) == b""


def test_the_broker_decides_how_long_it_may_be_silent_where_the_time_is_written(lab):
    here = World(lab, more="proxy_read_timeout 300ms;")
    with here.open(frame(packets.connect("c", keepalive=60))) as client:
        sockets.receive(client, len(frame(packets.connect("c", keepalive=60))))
        assert 0.2 < closed_after(client) < 5
    wait_until(
        lambda: (
            "upstream timed out (110: Connection timed out) while proxying upgraded connection"
            in here.balancer.errors()
        ),
        "the reason",
    )


@pytest.mark.parametrize("cut", [None, 3, 7, 12])
def test_the_keep_alive_of_a_connect_is_the_limit_where_no_time_is_written(lab, cut):
    here = World(lab)
    hello = frame(packets.connect("c", keepalive=1))
    with here.open() as client:
        client.sendall(hello[:cut])
        if cut is not None:
            assert sockets.receive(client, cut) == hello[:cut]
            client.sendall(hello[cut:])
        sockets.receive(client, len(hello) - (cut or 0))
        assert 1 < closed_after(client) < 10


def test_who_pings_in_time_stays(lab):
    here = World(lab)
    hello = frame(packets.connect("c", keepalive=1))
    with here.open(hello) as client:
        sockets.receive(client, len(hello))
        for _ in range(5):
            time.sleep(0.7)
            ping = frame(b"\xc0\0")
            client.sendall(ping)
            assert sockets.receive(client, len(ping)) == ping


def test_a_waiting_connection_is_closed_by_a_reload_that_changes_its_server(lab):
    here = World(lab)
    with sockets.open_raw(here.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(10_000).startswith(b"HTTP/1.1 404")
        reload_with(
            here.balancer, "location /mqtt {", "location /new { return 204; } location /mqtt {"
        )
        assert sockets.receive_all(client) == b""
    assert http.ask(here.port, http.get("/new")).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("drop", [True, False])
def test_tunnels_to_a_removed_broker_end_where_proxy_session_drop_says_so(lab, drop):
    here = World(lab, more="proxy_session_drop on;" if drop else "")
    other = lab.node(http.Broker(MQTT))
    old = here.balancer.conf
    with open(old) as file:
        address = file.read().partition("proxy_pass http://")[2].partition(";")[0]
    with here.open() as client:
        reload_with(here.balancer, address, other.address)
        if drop:
            assert sockets.receive_all(client) == b""
        else:
            client.sendall(b"still")
            assert sockets.receive(client, 5) == b"still"


def reload_with(balancer, old, new):
    """Change the configuration and put it in force."""
    with open(balancer.conf) as file:
        text = file.read()
    assert old in text
    with open(balancer.conf, "w") as file:
        file.write(text.replace(old, new))
    done = balancer.send("reload")
    assert done.returncode == 0, done.stderr

"""Settings of http that need a second look: times, sockets, limits. Each with two values.

Of two clients that do the same the one with the short time is given up, and the other one is still
there: nothing is said of how long it takes.
"""

import contextlib
import re
import select
import socket
from pathlib import Path

import pytest

from lab import http, sockets
from lab.borrow import session_sockets
from lab.http import get, split
from lab.nodes import hang
from lab.waiting import wait_until

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def two_servers(lab, first, second, *, around=""):
    """A balancer whose two servers have these settings, and their ports."""
    ports = [lab.ports.free(), lab.ports.free()]
    text = "".join(
        f"server {{ listen 127.0.0.1:{port}; {settings} }}"
        for port, settings in zip(ports, (first, second), strict=True)
    )
    return http.balancer(lab, f"{around} {text}"), ports


def is_quiet(sock) -> bool:
    """Whether nothing came, and the other side has not ended."""
    return not select.select([sock], [], [], 0)[0]


def only_the_first_is_given_up(ports, data, *, answer=b""):
    """Both clients send `data`; the first gets `answer` at the beginning, and the end."""
    with contextlib.ExitStack() as stack:
        # The patient one is first, so that it has waited longer.
        patient, impatient = (
            stack.enter_context(sockets.open_raw(port)) for port in reversed(ports)
        )
        for client in (patient, impatient):
            client.sendall(data)
        assert sockets.receive_all(impatient)[: len(answer)] == answer
        assert is_quiet(patient)


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"

# The short and the long value, and what a client sends that then waits.
OF_CLIENTS = {
    "client_header_timeout": ("return 204;", b"GET / HTTP/1.1\r\nHo"),
    "client_body_timeout": ("location / { proxy_pass http://NODE; }", POST),
}


@pytest.mark.parametrize("name", OF_CLIENTS)
def test_a_client_may_be_silent_for_so_long(lab, name):
    content, data = OF_CLIENTS[name]
    content = content.replace("NODE", lab.node(hang).address)
    _balancer, ports = two_servers(lab, f"{name} 1s; {content}", f"{name} 60s; {content}")
    only_the_first_is_given_up(ports, data)


def test_a_client_may_stay_without_a_request_for_so_long(lab):
    _balancer, ports = two_servers(
        lab, "keepalive_timeout 1s; return 204;", "keepalive_timeout 60s; return 204;"
    )
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with sockets.open_raw(ports[1]) as patient, sockets.open_raw(ports[0]) as impatient:
        for client in (patient, impatient):
            client.sendall(request)
            while not client.recv(65536).endswith(b"\r\n\r\n"):
                pass
        assert sockets.receive_all(impatient) == b""
        assert is_quiet(patient)


# What a broker that never speaks, or an address that never answers, may take.
OF_BROKERS = {"proxy_read_timeout": "silent", "proxy_connect_timeout": "absent"}


@pytest.mark.parametrize("name", OF_BROKERS)
def test_a_broker_may_be_silent_for_so_long(lab, name):
    node = lab.hole() if OF_BROKERS[name] == "absent" else lab.node(hang)
    content = f"location / {{ proxy_pass http://{node.address}; }}"
    _balancer, ports = two_servers(lab, f"{name} 1s; {content}", f"{name} 60s; {content}")
    only_the_first_is_given_up(ports, get(), answer=b"HTTP/1.1 504 ")


def test_brokers_are_tried_for_so_long(lab):
    node = lab.node(http.Broker())
    group = (
        f"upstream pair {{ server {lab.hole().address} weight=9; server {node.address}; }}"
        "proxy_connect_timeout 2s;"
    )
    content = "location / { proxy_pass http://pair; }"
    _balancer, ports = two_servers(
        lab,
        f"proxy_next_upstream_timeout 1s; {content}",
        f"proxy_next_upstream_timeout 0; {content}",
        around=group,
    )
    short = split(http.ask(ports[0], get()))
    assert short[0] == 504
    # The first one is known to fail by now.
    long = split(http.ask(ports[1], get()))
    assert long[0] == 200


def test_the_status_for_clients_over_a_limit(lab):
    content = f"limit_conn z 1; location / {{ proxy_pass http://{lab.node(hang).address}; }}"
    _balancer, ports = two_servers(
        lab,
        content,
        f"limit_conn_status 429; {content}",
        around="limit_conn_zone $server_port zone=z:1m;",
    )
    for port, status in zip(ports, (503, 429), strict=True):
        with sockets.open_raw(port) as first:
            first.sendall(get())
            assert wait_for_status(port) == status
            assert is_quiet(first)


def wait_for_status(port):
    """The status of a client that comes while the first one is there."""
    with sockets.open_raw(port) as client:
        client.sendall(get())
        return split(sockets.receive_all(client))[0]


def test_the_version_is_told_unless_it_is_switched_off(lab):
    _balancer, ports = two_servers(lab, "return 404;", "server_tokens off; return 404;")
    told, hidden = (http.ask(port, get()) for port in ports)
    assert re.search(rb"\r\nServer: tidegate/\d", told)
    assert re.search(rb"<center>tidegate/\d", told)
    assert b"\r\nServer: tidegate\r\n" in hidden
    assert b"tidegate/" not in hidden


def test_a_broker_is_told_the_client_by_a_header(lab):
    broker = http.Broker()
    node = lab.node(broker)
    content = f"location / {{ proxy_pass http://{node.address}; }}"
    _balancer, ports = two_servers(lab, f"proxy_protocol on; {content}", content)
    for port in ports:
        assert split(http.ask(port, get()))[0] == 200
    with_header, without = broker.requests
    assert re.match(rb"PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nGET / ", with_header)
    assert without.startswith(b"GET / ")


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [
        ("tcp_nodelay", NODELAY, {"on": [True, True], "off": [False, False]}),
        ("proxy_socket_keepalive", KEEPALIVE, {"on": [False, True], "off": [False, False]}),
    ],
)
def test_options_reach_the_sockets_of_a_tunnel(lab, name, option, expected):
    node = lab.node(http.Broker(http.SWITCH))
    content = (
        f"location / {{ proxy_pass http://{node.address}; proxy_set_header Upgrade $http_upgrade;"
        " proxy_set_header Connection Upgrade; }"
    )
    balancer, ports = two_servers(lab, f"{name} on; {content}", f"{name} off; {content}")
    for port, value in zip(ports, ("on", "off"), strict=True):
        with sockets.open_raw(port) as client, contextlib.ExitStack() as borrowed:
            client.sendall(http.upgrade("/"))
            assert sockets.receive(client, 12) == b"HTTP/1.1 101"
            both = session_sockets(balancer.workers()[0], port)
            for sock in both:
                borrowed.enter_context(sock)
            assert [bool(sock.getsockopt(*option)) for sock in both] == expected[value]


def test_a_client_that_ends_its_side_gets_what_it_asked_for(lab, tmp_path):
    tmp_path.chmod(0o755)
    large = tmp_path / "large"
    large.write_bytes(b"x" * 3_000_000)
    port = lab.ports.free()
    http.balancer(
        lab,
        f"server {{ listen 127.0.0.1:{port}; root {tmp_path};"
        " location = /status { stub_status; } location = /text { return 200 text; } }",
    )
    request = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
    for path, size in ((b"large", 3_000_000), (b"text", 4)):
        answer = http.ask(port, request % path, end=True)
        assert len(split(answer)[2]) == size
    answer = http.ask(port, request % b"status" + request % b"text", end=True)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_a_client_may_take_nothing_of_a_file_for_so_long(lab, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "large").write_bytes(b"x" * 30_000_000)
    balancer, ports = two_servers(
        lab, f"send_timeout 1s; root {tmp_path};", f"send_timeout 60s; root {tmp_path};"
    )
    log = Path(balancer.folder) / "access.log"
    with contextlib.ExitStack() as stack:
        for port in reversed(ports):
            client = stack.enter_context(sockets.open_raw(port, rcvbuf=4096))
            client.sendall(get("/large"))
        lines = wait_until(lambda: log.read_text().splitlines(), "the impatient one's line")
        assert len(lines) == 1

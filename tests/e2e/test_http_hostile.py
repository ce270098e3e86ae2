"""Whatever comes to a port of `http {}`: a clear answer or a close, no crash, and nothing stays."""

from __future__ import annotations

import random
import re

import pytest

from lab import http, proc, sockets
from lab.http import ask, get, upgrade
from lab.waiting import wait_until

SEED = 7
COUNT = 3_000
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
# What may be answered to a request that nobody can expect to be served.
KNOWN = {200, 301, 400, 404, 405, 408, 413, 414, 500, 501, 502, 505}

WHOLE = [
    get("/own"),
    get("/mqtt?x=%20", "X-Forwarded-For: 1.2.3.4", "Cookie: a=b"),
    upgrade("/mqtt"),
    get("/mqtt", "Content-Length: 5", method="POST") + b"hello",
    get("/mqtt", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n",
    get("/own", "Expect: 100-continue", "Content-Length: 3", method="PUT"),
]
PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"\xff", b"%", b"%00", b"/../", b"//"),
    *(b"Host: b\r\n", b"Content-Length: 7\r\n", b"Content-Length: -1\r\n", b"HTTP/1.0", b"HTTP/9"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Upgrade: h2c\r\n"),
    *(b"Connection: close\r\n", b"X" * 900, b"X: " + b"y" * 9000 + b"\r\n", b"\r\n\r\n", b"0\r\n"),
]


def broken(chance) -> bytes:
    """A request with a few things done to it."""
    data = bytearray(chance.choice(WHOLE))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        act = chance.randrange(4)
        if act == 0:
            data[at:at] = chance.choice(PIECES)
        elif act == 1:
            del data[at : at + chance.randint(1, 20)]
        elif act == 2 and at < len(data):
            data[at] = chance.randrange(256)
        else:
            del data[at:]
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.timeout(300)
def test_thousands_of_broken_requests(lab):
    node = lab.node(http.Broker(), keep=False)
    port = lab.ports.free()
    balancer = http.balancer(
        lab,
        "client_header_timeout 5s; client_body_timeout 5s; "
        f"server {{ listen 127.0.0.1:{port}; location /own {{ return 200 own; }}"
        f" location /mqtt {{ proxy_pass http://{node.address}; proxy_read_timeout 2s; }} }}",
        level="error",
    )
    (worker,) = balancer.workers()
    chance = random.Random(SEED)

    def storm(count):
        statuses = set()
        for _ in range(count):
            answer = ask(port, broken(chance), end=True)
            found = [int(one) for one in STATUS.findall(answer)]
            assert found or not answer, answer
            statuses |= {one for one in found if one != 100}
        return statuses

    statuses = storm(300)
    descriptors, memory = len(proc.descriptors(worker)), proc.own_kib(worker)
    statuses |= storm(COUNT)
    assert statuses <= KNOWN
    assert {200, 400} <= statuses
    wait_until(lambda: len(proc.descriptors(worker)) <= descriptors, "all are closed")
    assert balancer.workers() == [worker]
    assert proc.own_kib(worker) - memory < 1024
    assert "Traceback" not in balancer.errors()
    assert ask(port, get("/own")).endswith(b"own")


def test_a_client_that_sends_byte_by_byte_is_served(lab):
    port = lab.ports.free()
    http.balancer(lab, f"server {{ listen 127.0.0.1:{port}; return 200 own; }}")
    with sockets.open_raw(port) as client:
        for one in get("/own"):
            client.sendall(bytes((one,)))
        assert sockets.receive_all(client).endswith(b"own")

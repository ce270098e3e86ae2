"""What a client has escaped in its path ends no line: not in a head to a node, nor in an answer."""

from __future__ import annotations

from lab import http
from lab.http import ask, get
from lab.waiting import wait_until

EVIL = "/a%0d%0aX-Evil:%20yes%0d%0a%0d%0aGET%20/b%20HTTP/1.1%00"


def test_a_path_with_line_ends_forges_nothing(lab):
    broker = http.Broker()
    node = lab.node(broker)
    port = lab.ports.free()
    http.balancer(
        lab,
        f"server {{ listen 127.0.0.1:{port};"
        " location /away { return 302 /x$uri; }"
        " location /added { add_header X-Path $uri; return 204; }"
        f" location /written {{ proxy_pass http://{node.address}/y$uri; }}"
        f" location / {{ proxy_pass http://{node.address}; proxy_set_header X-Path $uri; }} }}",
    )
    evil = EVIL.replace("%00", "")  # no path may have a zero byte
    head = ask(port, get("/away" + evil)).partition(b"\r\n\r\n")[0]
    assert b"Location: " in head
    assert b"%0D%0AX-Evil:%20yes" in head
    for answer in (head, ask(port, get("/added" + evil))):
        assert b"\r\nX-Evil" not in answer
    assert b"X-Path: /added/a  X-Evil: yes    GET /b HTTP/1.1" in ask(port, get("/added" + evil))
    assert ask(port, get(EVIL)).startswith(b"HTTP/1.1 400")
    for path in ("/written", ""):
        assert b" 200 OK" in ask(port, get(path + evil))
    wait_until(lambda: len(broker.requests) == 2, "both are asked")
    for request in broker.requests:
        assert request.count(b"\r\n\r\n") == 1
        assert b"\r\nX-Evil" not in request
    assert broker.requests[0].startswith(b"GET /y/written/a%0D%0AX-Evil:%20yes%0D%0A%0D%0AGET%20/b")

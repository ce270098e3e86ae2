"""What is answered where a body, or the way to a broker, is not to be had a second time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import http, sockets
from lab.http import ask, get, split
from lab.process import read
from lab.waiting import wait_until

CHUNKED = "Transfer-Encoding: chunked"


def balancer(lab, servers, **options):
    """A balancer for this text, whose {port} is free; with its port."""
    port = lab.ports.free()
    return http.balancer(lab, servers.replace("{port}", str(port)), **options), port


def writing(port):
    """The requests being answered, the asking one left out."""
    found = re.search(rb"Writing: (\d+)", ask(port, get("/status")))
    assert found is not None
    return int(found[1]) - 1


def test_a_way_by_a_variable_is_forgotten_where_an_error_page_leads_elsewhere(lab):
    dead = lab.ports.free()
    live = lab.node(http.Broker())
    made, port = balancer(
        lab,
        f"upstream w {{ server 127.0.0.1:{dead} down; }} upstream u {{ server {live.address}; }}"
        "server { listen 127.0.0.1:{port}; location /status { stub_status; access_log off; }"
        " location /a { proxy_pass http://$arg_x; error_page 502 = @b; }"
        " location @b { proxy_pass http://u; } }",
    )
    assert split(ask(port, get("/a?x=w")))[::2] == (200, b"hello")
    line = wait_until(lambda: read(made.access_log), "a line")
    assert '"GET /a?x=w HTTP/1.1" 200 5 ' in line
    assert "Traceback" not in made.errors()
    wait_until(lambda: writing(port) == 0, "no request is being answered")


async def take_some(session):
    """Read the beginning of a request, and close without an answer."""
    while len(session.received) < 50_000:
        if not await session.recv():
            return


@pytest.mark.parametrize("page", ["/50x.html", "@own", "@other"])
def test_an_error_page_is_shown_although_part_of_a_body_went_by(lab, page):
    node = lab.node(take_some)
    other = lab.node(http.Broker())
    made, port = balancer(
        lab,
        "server { listen 127.0.0.1:{port};"
        f" location / {{ proxy_pass http://{node.address}; error_page 502 {page}; }}"
        " location = /50x.html { root pages; }"
        f" location @own {{ return 502 own; }}"
        f" location @other {{ proxy_pass http://{other.address}; }}"
        "}",
    )
    folder = Path(made.access_log).parent / "pages"
    folder.mkdir()
    (folder / "50x.html").write_text("own")
    with sockets.open_raw(port) as client:
        client.sendall(get("/", "Content-Length: 400000", method="POST") + b"x" * 100_000)
        status, _fields, body = split(sockets.receive_all(client))
    assert status == 502
    assert b"502 Bad Gateway" in body if page == "@other" else body == b"own"
    assert "Traceback" not in made.errors()


def test_an_answer_in_chunks_ends_with_its_last_where_the_broker_stays(lab):
    answer = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    async def stay(session):
        await session.recv()
        await session.send(answer)
        await session.recv()

    node = lab.node(stay)
    _made, port = balancer(
        lab,
        "server { listen 127.0.0.1:{port};"
        f" location / {{ proxy_pass http://{node.address}; proxy_read_timeout 1h;"
        ' proxy_set_header Connection "Upgrade"; } }',
    )
    assert ask(port, get()).endswith(b"5\r\nhello\r\n0\r\n\r\n")


@pytest.mark.parametrize("page", ["", "error_page 400 /page;", "error_page 400 @page;"])
def test_a_trailer_that_fills_all_room_is_400(lab, page):
    node = lab.node(http.Broker())
    made, port = balancer(
        lab,
        "client_header_buffer_size 256; large_client_header_buffers 1 512;"
        "server { listen 127.0.0.1:{port};"
        f" location / {{ proxy_pass http://{node.address}; {page} }}"
        f" location /page {{ return 400; }} location @page {{ proxy_pass http://{node.address}; }}"
        "}",
    )
    with sockets.open_raw(port) as client:
        client.sendall(get("/", CHUNKED, method="POST") + b"0\r\nX: " + b"x" * 900)
        assert split(sockets.receive_all(client))[0] == 400
    assert "Traceback" not in made.errors()


def test_a_head_that_fills_all_room_before_its_body_is_400(lab):
    node = lab.node(http.Broker())
    made, port = balancer(
        lab,
        "client_header_buffer_size 256; large_client_header_buffers 1 512;"
        "server { listen 127.0.0.1:{port};"
        f" location / {{ proxy_pass http://{node.address}; }} }}",
    )
    fields = ["Content-Length: 5", "Expect: 100-continue", "X: " + "x" * 400]
    short = 768 - len(get("/", *fields, "Y: ", method="POST"))
    head = get("/", *fields, "Y: " + "y" * short, method="POST")
    assert len(head) == 768
    with sockets.open_raw(port) as client:
        client.sendall(head)
        assert split(sockets.receive_all(client))[0] == 400
    assert "Traceback" not in made.errors()

"""Servers side by side: each goes where its own `proxy_pass` or `return` says."""

import os

import pytest

from lab import sockets
from lab.nodes import greet


def answer(port) -> bytes:
    with sockets.open_raw(port) as client:
        client.shutdown(1)
        return sockets.receive_all(client)


def test_proxy_pass_goes_where_it_says(lab):
    path = os.path.join(lab.folder, "node.sock")
    one, two, three = (lab.node(greet(name)) for name in (b"one", b"two", b"three"))
    local = lab.node(greet(b"local"), path=path)
    targets = ["group_one", "group_two", three.address, local.address]
    ports = [lab.ports.free() for _ in targets]
    servers = (
        f"server {{ listen 127.0.0.1:{port}; proxy_half_close on; proxy_pass {target}; }}"
        for port, target in zip(ports, targets, strict=True)
    )
    lab.balancer(
        lab.upstream(one, name="group_one") + lab.upstream(two, name="group_two") + "".join(servers)
    )
    assert [answer(port) for port in ports] == [b"one", b"two", b"three", b"local"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", b"hello"),
        ("'you are $remote_addr'", b"you are 127.0.0.1"),
        (r"'a\tb${protocol}c'", b"a\tbTCPc"),
    ],
)
def test_return_says_its_text(lab, text, said):
    port = lab.ports.free()
    lab.balancer(f"server {{ listen 127.0.0.1:{port}; return {text}; }}")
    assert answer(port) == said

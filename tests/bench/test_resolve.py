"""A target of several addresses is reached at the first that takes a connection."""

from __future__ import annotations

import socket
import struct
import time

import pytest

from lab.waiting import wait_until
from tidegate.bench import resolve
from tidegate.bench.resolve import AddressError
from tidegate.engine.address import pack_address, unpack_address

STREAM = (socket.SOCK_STREAM, 6, "")


def v4(host, port):
    return (socket.AF_INET, *STREAM, (host, port))


@pytest.fixture
def answers(monkeypatch):
    """Make every name have these addresses."""
    looked_up = socket.getaddrinfo

    def answer(*found):
        monkeypatch.setattr(
            resolve.socket,
            "getaddrinfo",
            lambda host, *rest, **more: (
                list(found) if host == "name" else looked_up(host, *rest, **more)
            ),
        )

    return answer


def test_one_that_is_silent_costs_no_time(lab, answers, monkeypatch):
    monkeypatch.setattr(resolve, "PROBE_SECONDS", 30.0)
    node, hole = lab.node(), lab.hole()
    answers(*[v4("127.0.0.1", hole.port)] * 5, v4("127.0.0.1", node.port))
    started = time.monotonic()
    address, _ = resolve.resolve("name", 1)
    assert unpack_address(address) == (socket.AF_INET, "127.0.0.1", node.port)
    assert time.monotonic() - started < 6
    wait_until(lambda: node.accepted == 1, "the node has seen it")


def test_those_that_refuse_are_passed_over(lab, answers):
    node, dead = lab.node(), lab.ports.free()
    answers(v4("127.0.0.1", dead), v4("127.0.0.1", node.port))
    assert unpack_address(resolve.resolve("name", 1)[0])[2] == node.port
    wait_until(lambda: node.accepted == 1, "the node has seen it")


def test_where_none_answers_the_first_is_taken(lab, answers):
    ports = [lab.ports.free(), lab.ports.free()]
    answers(*[v4("127.0.0.1", port) for port in ports])
    assert unpack_address(resolve.resolve("name", 1)[0])[2] == ports[0]


def test_only_addresses_of_the_sources_family_are_taken(answers):
    answers(v4("192.0.2.1", 5), (socket.AF_INET6, *STREAM, ("::1", 5, 0, 0)))
    address, (source,) = resolve.resolve("name", 5, sources=["::1"])
    assert unpack_address(address) == (socket.AF_INET6, "::1", 5)
    assert unpack_address(source) == (socket.AF_INET6, "::1", 0)


def test_a_link_local_address_keeps_its_link():
    address, _ = resolve.resolve("fe80::1%lo", 7)
    assert address[:24] == pack_address(socket.AF_INET6, "fe80::1", 7)[:24]
    assert struct.unpack("=I", address[24:]) == (socket.if_nametoindex("lo"),)


@pytest.mark.parametrize(
    ("host", "sources", "said"),
    [
        ("127.0.0.1", ["::1"], '"127.0.0.1" has no IPv6 address'),
        ("::1", ["127.0.0.1"], '"::1" has no IPv4 address'),
        ("::1", ["::1", "127.0.0.1"], "do not go together"),
        ("::1", ["name.invalid"], "is no address"),
        ("a" * 300, [], "cannot resolve"),
    ],
)
def test_what_does_not_fit_is_said(host, sources, said):
    with pytest.raises(AddressError, match=said):
        resolve.resolve(host, 1, sources=sources)

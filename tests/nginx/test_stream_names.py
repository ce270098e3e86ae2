"""Servers of stream are chosen by the names that nginx's servers of http are chosen by.

The installed nginx knows `server_name` in http alone; the names and their order are the same.
"""

from __future__ import annotations

import itertools
import random

import pytest

from lab.http import balancer as http_balancer
from lab.tls import client_context, connect

pytestmark = pytest.mark.needs("nginx", "openssl")

NAMES = (
    "exact.example",
    "*.example",
    ".net.example",
    "*.a.example",
    "www.*",
    "www.exact.*",
    r"~^n\d+\.",
    "~example$",
    "''",
)
ASKED = (
    "exact.example",
    "EXACT.example",
    "exact.example.",
    "b.example",
    "x.a.example",
    "a.example",
    "net.example",
    "x.y.net.example",
    "www.org",
    "www.exact.org",
    "www.exact.example",
    "n12.org",
    "n12.example",
    "example",
    "nobody.org",
    None,
)


@pytest.fixture(scope="module")
def pairs(authority):
    return [authority.sign(f"named-{number}") for number in range(len(NAMES))]


def servers(port, order, pairs, answer):
    return "\n".join(
        f"server {{ listen 127.0.0.1:{port} ssl; server_name {NAMES[number]};"
        f" ssl_certificate {pairs[number][0]}; ssl_certificate_key {pairs[number][1]};"
        f" {answer} }}"
        for number in order
    )


def shown(port, context):
    found = {}
    for name in ASKED:
        with connect(port, context, name=name) as sock:
            found[name] = sock.getpeercert(binary_form=True)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_each_name_leads_to_the_same_server(lab, authority, pairs, seed):
    order = list(range(len(NAMES)))
    if seed:
        random.Random(seed).shuffle(order)
    here, there = lab.ports.free(), lab.ports.free()
    lab.balancer(servers(here, order, pairs, "return x;"), program="tidegate")
    http_balancer(lab, servers(there, order, pairs, "return 200;"), program="nginx")
    context = client_context(authority, verify=False)
    ours = shown(here, context)
    assert ours == shown(there, context)
    assert len(set(ours.values())) >= len(NAMES) - 1
    assert any(one != two for one, two in itertools.pairwise(ours.values()))

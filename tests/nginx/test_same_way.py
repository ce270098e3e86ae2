"""`proxy_pass $variable` leads where it leads under the installed nginx, with the same words."""

import re

import pytest

from lab import said
from lab.nodes import greet
from tidegate.config.urls import NOT_RESOLVED

pytestmark = pytest.mark.needs("nginx")

NOWHERE = [
    "", "1883", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1:70000", "name", "name:1883",
    "[::1]", "[::1", "[::1]x", "[z]:1", "[]:1", "unix:", "a/b:1", "127.0.0.1:1/x", "http://x",
    "nodes:1883", ":1883", "127.0.0.1:8:9", f"unix:{'x' * 120}", "a b", "127.0.0.1:1883 ", "é:1",
]  # fmt: skip


def in_nginx_words(told):
    """What was said, with nginx's words for a host: ours hold with a `resolver` too."""
    lines, ends = told
    ours = re.compile(re.escape(NOT_RESOLVED).replace(re.escape("{}"), "(.*)"))
    return [ours.sub(r"no resolver defined to resolve \1", line) for line in lines], ends


def test_texts_that_lead_nowhere_are_told_alike(lab):
    blocks = "upstream nodes { server 127.0.0.1:1; }"
    theirs, ours = (
        said.of_sessions(lab, program, blocks, NOWHERE, server="proxy_pass $key;")
        for program in ("nginx", "tidegate")
    )
    assert in_nginx_words(ours) == theirs
    assert ours != theirs
    assert ours[1] == ["500 -"] * len(NOWHERE)
    assert len(ours[0]) == len(NOWHERE)


def test_upstreams_and_addresses_are_found_alike(lab):
    a, b = lab.node(greet(b"a")), lab.node(greet(b"b"))
    dead, closed = lab.ports.free(), lab.ports.free()
    blocks = f"""
        upstream nodes {{ server {a.address}; }}
        upstream Other {{ server {b.address}; }}
        upstream dead {{ server 127.0.0.1:{dead}; }}
        server {{ listen 127.0.0.1:{lab.ports.free()}; proxy_pass localhost:{b.port}; }}
    """
    keys = ["nodes", "NODES", "other", a.address, b.address, "dead", f"127.0.0.1:{closed}"]
    keys += [f"[::1]:{closed}", "unix:/nonexistent", "unix:nonexistent", f"localhost:{b.port}"]
    keys += [f"LOCALHOST:{b.port}", f"localhost:{closed}", "nodes"]
    theirs, ours = (
        said.of_sessions(lab, program, blocks, keys, server="proxy_pass $key;")
        for program in ("nginx", "tidegate")
    )
    assert in_nginx_words(ours) == theirs
    assert ours != theirs
    assert {"200 " + a.address, "200 " + b.address, f"502 127.0.0.1:{closed}"} <= set(ours[1])

"""Texts of a client in the error log stay between their quotes, and say whose they are."""

from __future__ import annotations

import re

import pytest

from lab.stream_mqtt import connect, run, visit
from tidegate.config.model import Level
from tidegate.wire.quoted import SHOWN

FORGED = 'x" while prereading client data, client: 10.9.8.7, server: 1.2.3.4:1, clientid: "y\\'
LONG = FORGED + "q" * 300
SERVER = "server {{ listen 1; mqtt_preread on; {} }}"
NAME = "$mqtt_preread_username"

WAYS = {
    "limit": (
        f"limit_conn_zone {NAME} zone=u:64k; " + SERVER.format("limit_conn u 1; return x;"),
        "is more than 255 bytes: ",
    ),
    "source": (
        SERVER.format(f"proxy_pass 127.0.0.1:%d; proxy_bind {NAME};"),
        "invalid local address ",
    ),
    "route": (
        "upstream a { server 127.0.0.1:%d; } " + SERVER.format(f"proxy_pass {NAME};"),
        " in upstream ",
    ),
    "expression": (
        f"map {'a' * 60}b{NAME} $m {{ ~^(a+)+$ x; }} " + SERVER.format("return x$m;"),
        "pcre2_match() failed: -47 on ",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_into_the_log(stream, entrance, broker, way):
    text, before = WAYS[way]
    one = broker()
    rig = stream(text.replace("%d", str(one.port)), level=Level.ERROR)

    async def main():
        await visit(entrance, connect("dev", username=LONG))

    run(rig, entrance, main, one)
    line = next(line for _level, line in rig.lines.errors if before in line)
    rest = line[line.index(before) + len(before) :]
    found = re.match(r'"((?:[^"\\]|\\x[0-9A-F]{2})*)"', rest)
    assert found is not None
    assert len(re.sub(r"\\x..", "?", found[1])) == SHOWN
    # Nothing behind it is the client's, but for its client identifier.
    assert re.findall(r", (client|server|clientid): ", rest[found.end() :]) == [
        "client",
        "server",
        "clientid",
    ]
    assert ", client: 127.0.0.1, server: " in rest[found.end() :]
    assert ', clientid: "dev"' in rest[found.end() :]


@pytest.mark.parametrize("name", ["no.such.host", "no such, client: 1.1.1.1", "x" * 200])
def test_a_host_that_cannot_be_resolved(stream, entrance, broker, name):
    one = broker()
    text = f"upstream a {{ server 127.0.0.1:{one.port}; }} "
    rig = stream(text + SERVER.format(f"proxy_pass {NAME}:1;"), level=Level.ERROR)

    async def main():
        await visit(entrance, connect("dev", username=name))

    run(rig, entrance, main, one)
    ((_level, line),) = rig.lines.errors
    assert line.count(", client: ") == 1 + name.count(", client: ")
    shown = name if name == "no.such.host" else f'"{name[:SHOWN]}"'
    assert f"*1 {shown} is not resolved, as " in line or f'upstream "{name}' in line

"""Nobody passes a limit by what a CONNECT says by sending one that only the brokers can read."""

from __future__ import annotations

import asyncio
import socket

import pytest

from lab.stream_mqtt import WELCOME, connect, run, visit
from tidegate.config.model import Level

# What we call malformed, and a lenient node may take: a reserved flag, more than we read.
UNREADABLE = {
    "http": b"GET / HTTP/1.0\r\n\r\n",
    "reserved-flag": connect("dev", username="bob").replace(b"MQTT\x05\x82", b"MQTT\x05\x83"),
    "version": connect("dev", username="bob", version=7),
}


def server(port, more):
    return (
        "limit_conn_zone $mqtt_preread_username zone=users:64k;"
        "limit_conn_zone $remote_addr zone=addresses:64k;"
        f"server {{ listen 1; mqtt_preread on; {more} proxy_pass 127.0.0.1:{port}; }}"
    )


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        ("limit_conn users 1;", False),
        ("limit_conn addresses 9; limit_conn users 1;", False),
        ("limit_conn addresses 9;", True),
        ("limit_conn users 1; limit_conn_dry_run on;", True),
        ("", True),
    ],
)
@pytest.mark.parametrize("packet", UNREADABLE)
def test_what_cannot_be_counted_is_refused_where_counting_decides(
    stream, entrance, sink, more, passes, packet
):
    rig = stream(server(sink.port, more), level=Level.ALERT)

    async def main():
        await visit(entrance, UNREADABLE[packet], size=100)

    run(rig, entrance, main, sink)
    assert bool(sink.taken) is passes
    if passes:
        assert sink.taken == [UNREADABLE[packet]]


@pytest.fixture
def sink():
    """A node that takes whatever comes first, and closes."""

    class Sink:
        def __init__(self):
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
            self.taken = []

        async def __aenter__(self):
            async def serve(reader, writer):
                self.taken.append(await reader.read(1000))
                writer.write(WELCOME)
                writer.close()

            self.server = await asyncio.start_server(serve, sock=self.sock)

        async def __aexit__(self, *_):
            self.server.close()

    one = Sink()
    yield one
    one.sock.close()

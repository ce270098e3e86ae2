"""The first packet that a real client sends to a listener which never answers."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.parse_connect import parse_connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.mqtt.connect import Connect

PATIENCE = 30.0


@contextlib.contextmanager
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


def first_packet(sock: socket.socket) -> Connect:
    """Accept one client, read what it says until that is a CONNECT, and hang up."""
    client, _ = sock.accept()
    with client:
        client.settimeout(PATIENCE)
        data = b""
        while isinstance(found := parse_connect(data, limit=1 << 20), Need):
            piece = client.recv(found.size - len(data))
            assert piece, f"the client ended after {data!r}"
            data += piece
        return found

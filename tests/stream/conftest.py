"""Servers of `stream {}` over a real engine."""

from __future__ import annotations

import socket

import pytest

from lab.stream import StreamRig
from lab.stream_mqtt import WELCOME, Broker
from tidegate.config.model import Level


@pytest.fixture
def entrance():
    """A listening socket that clients come in by."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as sock:
        yield sock


@pytest.fixture
def stream(tmp_path):
    """Make a rig from the text of a `stream {}`; it is closed after the test."""
    made = []

    def make(text, *, level=Level.WARN, **options):
        made.append(StreamRig(text, tmp_path, level=level, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()
        assert rig.troubles == []


@pytest.fixture
def broker():
    """Make brokers that answer each CONNECT with the bytes given; see `Broker`."""
    made = []

    def make(answer=WELCOME):
        made.append(Broker(answer))
        return made[-1]

    yield make
    for one in made:
        one.sock.close()

"""`benchmarks/mqtt_codec.py` still measures what a worker does; how fast is not judged here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tidegate.engine.outcome import Connect

FILE = Path(__file__).parent.parent / "benchmarks/mqtt_codec.py"
COLUMNS = 4


@pytest.fixture
def benchmark():
    spec = importlib.util.spec_from_file_location("mqtt_codec", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_measures_each_packet_in_each_way(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "ROUNDS", 1)
    monkeypatch.setattr(benchmark, "CALLS", 2)
    benchmark.main()
    _head, *rows = capsys.readouterr().out.splitlines()
    for name, row in zip(benchmark.PACKETS, rows, strict=True):
        assert row.startswith(name)
        assert all(float(word) >= 0 for word in row.split()[-COLUMNS:])


def test_it_decides_as_a_worker_does(benchmark):
    """The node is that of the key's point on the ring which is measured apart."""
    packet = benchmark.PACKETS["5"]
    with benchmark.entrance() as port:
        session = benchmark.MqttSession(port, 0)
        assert isinstance(session.preread(packet, False), Connect)
        upstream = session.proxy.upstream
        ring = benchmark.Ring(upstream.peers)
        point = benchmark.place(session, packet, ring)
        assert session.peer == ring.servers[point % len(ring.servers)]
        benchmark.decide(port, packet)

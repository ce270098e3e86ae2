"""What is measured, and how one sample of it is taken."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import machine
from peers import BenchError

from tidegate.bench import packets
from tidegate.bench.generator import Generator
from tidegate.bench.result import Meter
from tidegate.bench.tls import TargetTls
from tidegate.bench.upgrade import WebSocket, websocket
from tidegate.engine.address import pack_address
from tidegate.engine.tls_context import Context

if TYPE_CHECKING:
    from certificates import Tls
    from peers import Running

VERSION = "3.1.1"
# Idle connections do nothing while they are looked at, but where the limit is what is measured.
NO_KEEPALIVE, KEEPALIVE = 0, 600
CONNECT_PATIENCE = 30.0
# What hundreds of handshakes need at a time stays with the proxy: it would count as memory of
# idle connections.
AT_ONCE = 50
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the results.

    With `reads` "mqtt" tidegate reads CONNECT and limits idle time by its keep alive, and is
    compared with itself when it does not. With "clientid" tidegate and HAProxy choose one of three
    nodes by the client ID, while nginx and the relay do not look.
    """

    key: str
    title: str
    kind: str  # "trips", "connects", "memory" or "start"
    connections: int = 1
    size: int = 64  # of a PUBLISH, whole
    rate: int = 0  # messages per second of all; 0 is as fast as answers come
    workers: int = 1
    reads: str = ""
    tls: str = ""  # from the client to the proxy: its version
    signs: str = "ecdsa"  # the server's key, one of certificates.KEYS
    resumed: bool = False  # handshakes are short
    mutual: bool = False  # clients show a certificate
    websocket: bool = False  # MQTT goes in frames, which the proxy passes on as they are
    quick: bool = False  # in bench-quick too

    @property
    def unit(self) -> str:
        """What CPU time and rate are counted by."""
        return "connection" if self.kind == "connects" else "round trip"


def handshakes(version: str, signs: str, *, resumed: bool = False) -> Scenario:
    """New connections with TLS."""
    kind = "resumed" if resumed else {"ecdsa": "ECDSA P-256", "rsa": "RSA-2048"}[signs]
    return Scenario(
        key=f"tls-{'resumed' if resumed else signs}-{version}",
        title=f"new connections, TLS {version}, {kind}",
        kind="connects",
        connections=50,
        tls=version,
        signs=signs,
        resumed=resumed,
    )


SCENARIOS = (
    Scenario(key="rt-1", title="64 B, 1 connection", kind="trips", quick=True),
    Scenario(
        key="rt-100", title="64 B, 100 connections", kind="trips", connections=100, quick=True
    ),
    Scenario(
        key="rt-1000", title="64 B, 1,000 connections", kind="trips", connections=1000, quick=True
    ),
    Scenario(key="rt-9000", title="64 B, 9,000 connections", kind="trips", connections=9000),
    Scenario(key="64k", title="64 KiB, 100 connections", kind="trips", connections=100, size=65536),
    Scenario(
        key="rate",
        title="64 B, 4,000/s over 1,000 connections",
        kind="trips",
        connections=1000,
        rate=4_000,
    ),
    Scenario(
        key="two-workers",
        title="64 B, 1,000 connections, 2 workers",
        kind="trips",
        connections=1000,
        workers=2,
    ),
    Scenario(
        key="connects",
        title="new connections, CONNECT and CONNACK",
        kind="connects",
        connections=50,
        quick=True,
    ),
    Scenario(
        key="connects-clientid",
        title="new connections, to a node by client ID",
        kind="connects",
        connections=50,
        reads="clientid",
    ),
    Scenario(
        key="rt-100-mqtt",
        title="64 B, 100 connections, with mqtt_preread",
        kind="trips",
        connections=100,
        reads="mqtt",
    ),
    Scenario(
        key="memory", title="4,000 idle connections", kind="memory", connections=4000, quick=True
    ),
    Scenario(key="start", title="idle instance", kind="start", quick=True),
    handshakes("1.3", "ecdsa"),
    handshakes("1.3", "rsa"),
    handshakes("1.2", "ecdsa"),
    handshakes("1.2", "rsa"),
    handshakes("1.3", "ecdsa", resumed=True),
    handshakes("1.2", "ecdsa", resumed=True),
    Scenario(
        key="tls-rt-100",
        title="64 B, 100 connections, TLS 1.3",
        kind="trips",
        connections=100,
        tls="1.3",
    ),
    Scenario(
        key="tls-memory",
        title="4,000 idle connections, TLS 1.3",
        kind="memory",
        connections=4000,
        tls="1.3",
    ),
    Scenario(
        key="tls-memory-mutual",
        title="4,000 idle connections, TLS 1.3, client certificates",
        kind="memory",
        connections=4000,
        tls="1.3",
        mutual=True,
    ),
    Scenario(
        key="tls-storm",
        title="64 B, 500/s over 10 connections beside 500 waiting handshakes, TLS 1.3, RSA-2048",
        kind="storm",
        connections=10,
        rate=500,
        tls="1.3",
        signs="rsa",
    ),
    Scenario(
        key="ws-rt-100",
        title="64 B, 100 connections, WebSocket",
        kind="trips",
        connections=100,
        websocket=True,
    ),
    Scenario(
        key="ws-connects",
        title="new connections, upgrade, CONNECT and CONNACK",
        kind="connects",
        connections=50,
        websocket=True,
    ),
    Scenario(
        key="ws-memory",
        title="4,000 idle connections, WebSocket",
        kind="memory",
        connections=4000,
        websocket=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One peer in one round; what a scenario does not measure is None.

    CPU, p50 and p99 in µs, start in seconds, memory in bytes.
    """

    cpu: float | None = None
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    quiet: float | None = None  # p99 before the storm
    growth: float | None = None  # of p99 by the storm
    generator: float | None = None  # share of a core, waiting for one included
    memory: float | None = None  # per connection, or of all processes
    per_worker: float | None = None  # memory of a further one
    start: float | None = None  # from the command to the first connection through it


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds before a measurement, and of it."""

    warm: float
    measured: float


def target_tls(tls: Tls | None, *, reuse: bool = False) -> TargetTls | None:
    """What the generator says in its handshakes; nobody's certificate is verified by it."""
    if tls is None:
        return None
    context = Context(server=False, protocols=(f"TLSv{tls.version}",))
    if tls.mutual:
        for path, add in zip(tls.client, (context.add_certificate, context.add_key), strict=True):
            with open(path, "rb") as file:
                add(path, file.read())
    return TargetTls(context, reuse=reuse)


def way(scenario: Scenario) -> WebSocket | None:
    """The WebSocket of each connection, where there is one."""
    if not scenario.websocket:
        return None
    return websocket(count=scenario.connections, host="bench.example", path="/mqtt")


def address_of(running: Running | None, target: tuple[str, int]) -> bytes:
    """The proxy, or the responder itself where there is none."""
    host, port = ("127.0.0.1", running.port) if running is not None else target
    return pack_address(socket.AF_INET, host, port)


class Trips:
    """PUBLISH there and back on each connection, as soon as the last one came or at a rate."""

    def __init__(
        self, scenario: Scenario, running: Running | None, target: tuple[str, int]
    ) -> None:
        """Connect all; they stay, silent between two samples, until `close`."""
        heads, payload = publish_packets(scenario)
        self._running = running
        self._generator = Generator(
            job="pingpong",
            count=scenario.connections,
            address=address_of(running, target),
            connects=connect_packets(scenario),
            heads=heads,
            payload=payload,
            silent=True,
            message_period=NANO // scenario.rate if scenario.rate else 0,
            tls=target_tls(running.tls if running is not None else None),
            websocket=way(scenario),
        )
        connect_all(self._generator, scenario.connections, running)
        self._generator.speak()

    def sample(self, timing: Timing) -> Sample:
        """Measure once."""
        self._generator.run(timing.warm)
        self._generator.round_trips.clear()
        sample = measured(self._generator, self._running, timing, count="answered")
        faults = self._generator.faults()
        if faults:
            raise BenchError(f"{name(self._running)}: {faults}")
        return sample

    def close(self) -> None:
        """End the connections, and wait until the proxy has done so too."""
        self._generator.close()
        if self._running is not None:
            machine.wait_quiet(self._running.pids)


def new_connections(
    scenario: Scenario, running: Running | None, target: tuple[str, int], timing: Timing
) -> Sample:
    """Connect, CONNECT, CONNACK, DISCONNECT, close, and again."""
    generator = Generator(
        job="conn",
        count=scenario.connections,
        address=address_of(running, target),
        connects=connect_packets(scenario),
        reconnect=True,
        tls=target_tls(running.tls if running is not None else None, reuse=scenario.resumed),
        websocket=way(scenario),
    )
    with contextlib.closing(generator):
        generator.run(timing.warm)
        if scenario.resumed:
            wait_for_sessions(generator, scenario.connections, running)
        generator.entry_times.clear()
        before = generator.counts()
        sample = measured(generator, running, timing, count="established")
        after = generator.counts()
        faults = generator.faults() or generator.reasons()
    if faults:
        raise BenchError(f"{name(running)}: {faults}")
    check_resumed(scenario, running, before, after)
    return sample


def wait_for_sessions(generator: Generator, count: int, running: Running | None) -> None:
    """Until every client has had its long handshake."""
    end = time.monotonic() + CONNECT_PATIENCE
    while time.monotonic() < end:
        counts = generator.counts()
        if counts["secured"] - counts["resumed"] >= count:
            return
        generator.run(0.02)
    raise BenchError(f"{name(running)}: {counts['secured']} handshakes, and more are to come")


def check_resumed(
    scenario: Scenario, running: Running | None, before: dict[str, int], after: dict[str, int]
) -> None:
    """See that all handshakes were as long as the scenario says."""
    secured, resumed = (after[what] - before[what] for what in ("secured", "resumed"))
    if resumed != (secured if scenario.resumed else 0):
        raise BenchError(f"{name(running)}: {resumed} of {secured} handshakes were resumed")


def measured(
    generator: Generator, running: Running | None, timing: Timing, *, count: str
) -> Sample:
    """Run for the measured time; CPU of the proxy per thing counted."""
    pids = running.pids if running is not None else []
    done, cpu, start = generator.counts()[count], machine.cpu_ns(pids), time.monotonic()
    meter = Meter()
    generator.run(timing.measured)
    busy = meter.read()
    cpu, span = machine.cpu_ns(pids) - cpu, time.monotonic() - start
    done = generator.counts()[count] - done
    if done == 0:
        raise BenchError(f"{name(running)}: nothing came back in {span:.1f} s")
    times = generator.round_trips if count == "answered" else generator.entry_times
    return Sample(
        cpu=cpu / done / 1000 if pids else None,
        rate=done / span,
        p50=times.percentile(50) / 1000,
        p99=times.percentile(99) / 1000,
        generator=busy.total if busy else None,
    )


def idle_memory(scenario: Scenario, running: Running, target: tuple[str, int]) -> float:
    """Private bytes of the proxy per connection that is open and silent."""
    machine.wait_quiet(running.pids)
    before = machine.private_bytes(running.pids)
    generator = Generator(
        job="conn",
        count=scenario.connections,
        address=address_of(running, target),
        connects=connect_packets(scenario),
        at_once=AT_ONCE,
        tls=target_tls(running.tls),
        websocket=way(scenario),
    )
    with contextlib.closing(generator):
        connect_all(generator, scenario.connections, running)
        machine.wait_quiet(running.pids)
        return (machine.private_bytes(running.pids) - before) / scenario.connections


def connect_packets(scenario: Scenario) -> list[bytes]:
    """CONNECTs with client IDs of 16 characters."""
    keepalive = KEEPALIVE if scenario.reads == "mqtt" else NO_KEEPALIVE
    return [
        packets.connect(f"device-{number:09}", version=VERSION, keepalive=keepalive)
        for number in range(scenario.connections)
    ]


def publish_packets(scenario: Scenario) -> tuple[list[bytes], bytes]:
    """A PUBLISH per connection, `scenario.size` bytes with its payload: its head, the payload."""

    def head(number: int, size: int) -> bytes:
        return packets.publish_head(f"b/{number:05}", version=VERSION, qos=0, size=size)

    left = scenario.size - len(head(0, scenario.size))
    return [head(number, left) for number in range(scenario.connections)], b"x" * left


def connect_all(generator: Generator, count: int, running: Running | None) -> None:
    """Wait until every connection has its CONNACK."""
    end = time.monotonic() + CONNECT_PATIENCE
    while not generator.settled and time.monotonic() < end:
        generator.run(0.02)
    open_now = generator.counts()["open"]
    if open_now != count:
        raise BenchError(
            f"{name(running)}: {open_now} of {count} connections are open: {generator.faults()}"
        )


def name(running: Running | None) -> str:
    """Who is measured."""
    return running.peer.name if running is not None else "direct"

"""What a CONNECT costs in Python, per connection and in CPU µs: `python benchmarks/mqtt_codec.py`.

* *read*: the CONNECT alone;
* *placed*: reading it, the key of `hash $mqtt_preread_clientid consistent`, and the search for it
  in the ring of 50 nodes. This is to stay below 15 µs;
* *decided*: all that a worker does in Python before it connects: as above, and the node's place in
  shared memory taken (and given back, which else comes at the end), and the plan to get there;
* *rewritten*: what `mqtt_set_connect clientid` adds for the packet itself.

The server is a real one, from a configuration. Least of several rounds, because other programs only
ever add.
"""

from __future__ import annotations

import array
import tempfile
import time
import timeit
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.balance.placement import allot
from tidegate.balance.ring import Ring
from tidegate.config.load import load
from tidegate.engine.loop import COUNTERS, Engine
from tidegate.mqtt.connect import Connect
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.rewrite import rewrite
from tidegate.scoreboard.board import Board
from tidegate.stream.mqtt_session import MqttSession
from tidegate.stream.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tidegate.stream.server import Port

ROUNDS = 15
CALLS = 5_000
LIMIT = 16_384
NODES = 50
CONFIGURATION = f"""
events {{}}
stream {{
    mqtt_preread on;
    upstream brokers {{
        hash $mqtt_preread_clientid consistent;
        {" ".join(f"server 127.0.1.{node}:1883;" for node in range(NODES))}
    }}
    server {{ listen 1883; proxy_pass brokers; }}
}}
"""

HEAD = b"\0\4MQTT"
CLIENT_ID = b"\0\x0ddevice-000123"
CREDENTIALS = b"\0\4user\0\6secret"
WILL = b"\0\6status\0\7offline"
PACKETS = {
    "3.1": b"\x10\x1b\0\6MQIsdp\3\2\0\x3c" + CLIENT_ID,
    "3.1.1": b"\x10\x19" + HEAD + b"\4\2\0\x3c" + CLIENT_ID,
    "3.1.1, user, will": b"\x10\x38" + HEAD + b"\4\xc6\0\x3c" + CLIENT_ID + WILL + CREDENTIALS,
    "5": b"\x10\x1a" + HEAD + b"\5\2\0\x3c\0" + CLIENT_ID,
    "5, user, 3 properties": b"\x10\x33"
    + (HEAD + b"\5\xc2\0\x3c\x0b\x11\0\0\x0e\x10\x21\0\x14\x22\0\x0a" + CLIENT_ID + CREDENTIALS),
}


class Silent:
    """A log that takes no line."""

    def enabled(self, _level: object) -> bool:
        """No level is written."""
        return False

    def error_log(self, _logs: object) -> Silent:
        """The error log of every context."""
        return self


@contextmanager
def entrance() -> Iterator[Port]:
    """The one port of the configuration, in a worker that has no sockets."""
    engine = Engine(
        connections=1,
        counters=memoryview(array.array("Q", [0] * len(COUNTERS))),
        serial=memoryview(array.array("Q", [0])),
        notice=print,
        trouble=print,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tidegate.conf")
        file.write_text(CONFIGURATION, encoding="utf-8")
        found = load(str(file), prefix=folder).model
    assert found is not None
    assert found.stream is not None
    board = Board.create(workers=1, upstreams=1, peers=NODES)
    runtime = Runtime(engine=engine, board=board, worker=0, logs=Silent())
    try:
        ready = runtime.prepare(found.stream, allot(found, board, None), {}, {})
        ((_address, port),) = ready.ports
        yield port
    finally:
        engine.close()


def microseconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    times = timeit.repeat(call, timer=time.process_time, repeat=ROUNDS, number=CALLS)
    return min(times) / CALLS * 1e6


def read(packet: bytes) -> Connect:
    """The packet, which is complete."""
    found = parse_connect(packet, limit=LIMIT)
    assert isinstance(found, Connect)
    return found


def place(session: MqttSession, packet: bytes, ring: Ring) -> int:
    """Where on the ring the packet's key falls."""
    session.hello = read(packet)
    key = session.proxy.key
    assert key is not None
    return ring.find(key(session))


def decide(port: Port, packet: bytes) -> None:
    """One connection, as far as Python has a part in it before the node is asked."""
    session = MqttSession(port, 0)
    session.preread(packet, False)
    session.proxy.upstream.cancel(session.peer)


def main() -> None:
    """Print the table."""
    print(f"{'CONNECT':24}{'read':>8}{'placed':>10}{'decided':>10}{'rewritten':>12}")
    with entrance() as port:
        session = MqttSession(port, 0)
        ring = Ring(session.proxy.upstream.peers)
        for name, packet in PACKETS.items():
            found = read(packet)
            times = (
                microseconds(lambda packet=packet: parse_connect(packet, limit=LIMIT)),
                microseconds(lambda packet=packet: place(session, packet, ring)),
                microseconds(lambda packet=packet: decide(port, packet)),
                microseconds(lambda found=found: rewrite(found, client_id="serial-42")),
            )
            print(f"{name:24}{times[0]:8.1f}{times[1]:10.1f}{times[2]:10.1f}{times[3]:12.1f}")


if __name__ == "__main__":
    main()

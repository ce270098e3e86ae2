"""What a CONNECT costs in Python, per connection and in CPU µs: `python benchmarks/mqtt_codec.py`.

Two columns: reading it, and reading it plus what `hash $mqtt_preread_clientid consistent` does with
the client identifier: CRC-32, and a search in the ring of 50 nodes (160 points each). All of it is
to stay below 15 µs. Least of several rounds, because other programs only ever add.
"""

from __future__ import annotations

import time
import timeit
import zlib
from bisect import bisect_left
from typing import TYPE_CHECKING

from tidegate.mqtt.connect import Connect
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.rewrite import rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
CALLS = 5_000
LIMIT = 16_384
POINTS = 50 * 160
RING = sorted(zlib.crc32(b"%d" % point) for point in range(POINTS))

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


def microseconds(call: Callable[[], object]) -> float:
    """CPU time of one call."""
    times = timeit.repeat(call, timer=time.process_time, repeat=ROUNDS, number=CALLS)
    return min(times) / CALLS * 1e6


def read(packet: bytes) -> Connect:
    """The packet, which is complete."""
    found = parse_connect(packet, limit=LIMIT)
    assert isinstance(found, Connect)
    return found


def place(packet: bytes) -> int:
    """Where on the ring the packet's client identifier falls."""
    key = zlib.crc32(read(packet).client_id.encode())
    return bisect_left(RING, key) % POINTS


def main() -> None:
    """Print the table."""
    print(f"{'CONNECT':24}{'read':>8}{'and placed':>12}{'rewritten':>12}")
    for name, packet in PACKETS.items():
        found = read(packet)
        times = (
            microseconds(lambda packet=packet: parse_connect(packet, limit=LIMIT)),
            microseconds(lambda packet=packet: place(packet)),
            microseconds(lambda found=found: rewrite(found, client_id="serial-42")),
        )
        print(f"{name:24}{times[0]:8.1f}{times[1]:12.1f}{times[2]:12.1f}")


if __name__ == "__main__":
    main()

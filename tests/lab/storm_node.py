"""A cheap MQTT broker in a process of its own: it welcomes everybody and says when they came.

    storm_node.py PORT

Prints `ready`, then the time (CLOCK_MONOTONIC) of each CONNECT, ten times a second those since.
"""

# ruff: noqa: T201 - what a program says to the test that started it

import asyncio
import sys
import time
from typing import ClassVar

CONNECT, PINGREQ = 0x10, 0xC0
CONNACK = b"\x20\x02\x00\x00"
PINGRESP = b"\xd0\x00"


class Session(asyncio.Protocol):
    """One client, whose packets come whole: they are small."""

    came: ClassVar[list[float]] = []

    def connection_made(self, transport):
        """Keep what answers go to."""
        self.transport = transport

    def data_received(self, data):
        """Answer what wants an answer."""
        if data[0] == CONNECT:
            self.came.append(time.monotonic())
            self.transport.write(CONNACK)
        elif data[0] == PINGREQ:
            self.transport.write(PINGRESP)


async def main():
    """Serve until somebody ends this process."""
    loop = asyncio.get_running_loop()
    await loop.create_server(
        Session, "127.0.0.1", int(sys.argv[1]), backlog=4096, reuse_address=True
    )
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.1)
        # Whole lines in one write: whoever reads meanwhile reads no half of a number.
        sys.stdout.write("".join(f"{when:.3f}\n" for when in Session.came))
        sys.stdout.flush()
        Session.came.clear()


if __name__ == "__main__":
    asyncio.run(main())

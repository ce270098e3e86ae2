"""A node for a network of its own: it welcomes each client and publishes to it ten times a second.

usage: ticker.py HOST PORT
"""

import asyncio
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import packets


async def tick(reader, writer):
    """Until the client is gone."""
    await reader.readuntil(b"device")
    writer.write(packets.CONNACK_OK)
    try:
        while True:
            writer.write(packets.publish("t", b"x"))
            await writer.drain()
            await asyncio.sleep(0.1)
    except ConnectionError:
        writer.close()


async def main():
    server = await asyncio.start_server(tick, sys.argv[1], int(sys.argv[2]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.serve_forever()


asyncio.run(main())

"""Many MQTT clients in a process of their own, which go and come again without end.

    storm_clients.py PORT COUNT RATE

Prints `connected` when each of COUNT clients had its CONNACK. From then on RATE of them a second,
one after the other, leave and come again; whoever loses the connection comes again at once. For
each that was closed before its CONNACK it prints the time (CLOCK_MONOTONIC).
"""

# ruff: noqa: T201 - what a program says to the test that started it

import asyncio
import sys
import time

from lab.packets import connect

AT_ONCE = 64  # clients that connect at the same time


class Client(asyncio.Protocol):
    """One client; its next connection is another one."""

    def __init__(self, number, storm):
        self.number = number
        self.storm = storm
        self.answered = asyncio.get_running_loop().create_future()
        self.leaves = False

    def connection_made(self, transport):
        """Introduce ourselves."""
        self.transport = transport
        transport.write(connect(f"device-{self.number}"))

    def data_received(self, _data):
        """Nothing comes but the CONNACK."""
        if not self.answered.done():
            self.answered.set_result(True)

    def connection_lost(self, _error):
        """Come again, unless it was we who left."""
        if not self.answered.done():
            print(f"{time.monotonic():.3f}", flush=True)
            self.answered.set_result(False)
        if not self.leaves:
            self.storm.come(self.number)

    def leave(self):
        """Go without a word, and come again."""
        self.leaves = True
        self.transport.abort()
        self.storm.come(self.number)


class Storm:
    """All clients by their numbers; those on their way have none."""

    def __init__(self, port, count, rate):
        self.port = port
        self.count = count
        self.rate = rate
        self.clients = {}
        self.gate = asyncio.Semaphore(AT_ONCE)
        self.tasks = set()

    def come(self, number):
        """Connect a client, as soon as fewer than AT_ONCE do."""
        self.clients.pop(number, None)
        task = asyncio.get_running_loop().create_task(self._connect(number))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self, number):
        async with self.gate:
            loop = asyncio.get_running_loop()
            _, client = await loop.create_connection(
                lambda: Client(number, self), "127.0.0.1", self.port
            )
            if await client.answered and not client.transport.is_closing():
                self.clients[number] = client

    async def run(self):
        """All of it, until somebody ends this process."""
        for number in range(self.count):
            self.come(number)
        while len(self.clients) < self.count:
            await asyncio.sleep(0.01)
        print("connected", flush=True)
        due = time.monotonic()
        number = 0
        while True:
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number = (number + 1) % self.count
            if number in self.clients:
                self.clients[number].leave()


if __name__ == "__main__":
    port, count, rate = sys.argv[1:]
    asyncio.run(Storm(int(port), int(count), float(rate)).run())

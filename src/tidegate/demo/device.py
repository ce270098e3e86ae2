"""One of the demo's clients: it publishes every second, hears all others, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

from tidegate.demo.client import Client, LostError

TOPIC = "demo"
EVERY = 1.0  # seconds between two messages of a device
BACK_AFTER = (
    0.2,
    1.0,
)  # seconds, drawn anew each time, so that a lost crowd does not return as one


class Device:
    """A client that is connected to the balancer for as long as `run` runs."""

    def __init__(self, client_id: str, port: int) -> None:
        self.client_id = client_id
        self.connected = False
        self.connects = 0
        self.sent = 0
        self.heard: Counter[str] = Counter()  # messages by the client that sent them
        self._port = port

    async def run(self) -> None:
        """Stay connected; ends only by cancellation."""
        while True:
            with contextlib.suppress(LostError):
                await self._session()
            self.connected = False
            await asyncio.sleep(random.uniform(*BACK_AFTER))  # noqa: S311 - no secret

    async def _session(self) -> None:
        client = await Client.connect("127.0.0.1", self._port, self.client_id)
        try:
            await client.subscribe(f"{TOPIC}/#")
            self.connected = True
            self.connects += 1
            talk = asyncio.create_task(self._talk(client))
            try:
                await self._listen(client)
            finally:
                talk.cancel()
        finally:
            await client.close()

    async def _talk(self, client: Client) -> None:
        while True:
            client.publish(f"{TOPIC}/{self.client_id}", str(self.sent).encode())
            self.sent += 1
            await asyncio.sleep(EVERY)

    async def _listen(self, client: Client) -> None:
        async for topic, _ in client.messages():
            sender = topic.removeprefix(f"{TOPIC}/")
            if sender != self.client_id:
                self.heard[sender] += 1

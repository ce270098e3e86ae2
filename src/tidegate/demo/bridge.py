"""A bridge between two embedded brokers, which have none of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from tidegate.demo.client import Client, LostError

AGAIN_AFTER = 1.0  # seconds
PING_EVERY = 10.0  # seconds


class Bridge:
    """Carries every message of each side to the other, once.

    MQTT 3.1.1 sends a client's own message back to it when it subscribed to the topic. Exactly one
    such echo follows each message that we publish, so that counting tells echoes from news.
    """

    def __init__(self, name: str, leaf: int, hub: int) -> None:
        self.name = name
        self._ports = (leaf, hub)

    async def run(self) -> None:
        """Bridge until cancelled, through any loss of either side."""
        while True:
            with contextlib.suppress(LostError):
                await self._session()
            await asyncio.sleep(AGAIN_AFTER)

    async def _session(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            sides = []
            for port in self._ports:
                client = await Client.connect("127.0.0.1", port, f"{self.name}-{port}")
                stack.push_async_callback(client.close)
                await client.subscribe("#")
                sides.append((client, Counter[tuple[str, bytes]]()))
            leaf, hub = sides
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(_carry(*leaf, *hub))
                    tasks.create_task(_carry(*hub, *leaf))
                    tasks.create_task(_ping(leaf[0], hub[0]))
            except* LostError as group:
                raise LostError(str(group)) from group


async def _carry(
    source: Client,
    echoes: Counter[tuple[str, bytes]],
    target: Client,
    expected: Counter[tuple[str, bytes]],
) -> None:
    """Publish at `target` what comes from `source` and is no echo of what we published there."""
    async for message in source.messages():
        if echoes[message]:
            echoes[message] -= 1
            if not echoes[message]:
                del echoes[message]
        elif not message[0].startswith("$"):
            expected[message] += 1
            target.publish(*message)


async def _ping(*clients: Client) -> None:
    while True:
        await asyncio.sleep(PING_EVERY)
        for client in clients:
            client.ping()

"""The demo's brokers: three `mosquitto`, or three embedded `amqtt` where there is no mosquitto.

Who is connected to a node is read from what the node itself prints. A node that ends (the demo
invites to kill one) is started again on its port after `BACK_AFTER`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidegate.demo.program import Program, StartError, free_port, listening

if TYPE_CHECKING:
    from collections.abc import Callable

BACK_AFTER = 10.0  # seconds that a killed node stays away: time to see the others take over
TRIES = 5  # another program may take a port between our look and the node's bind
CAME = re.compile(r"New client connected from \S+ as (\S+)")
WENT = re.compile(
    r"Client (\S+) (?:disconnected|closed its connection|has exceeded timeout)"
    r"|Bad socket .* on client (\S+):"
)
BRIDGE = "demo-bridge"  # how the names of connections between nodes begin


def find_mosquitto() -> str | None:
    """The path of mosquitto; Debian keeps it where a user's PATH does not look."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def has_amqtt() -> bool:
    """Whether the extra `demo` is installed."""
    return importlib.util.find_spec("amqtt") is not None


@dataclass(slots=True, kw_only=True)
class Node:
    """One broker; `clients` are the identifiers it says are connected, without the bridges."""

    number: int
    folder: str
    mosquitto: str | None
    hub: int | None  # the port of the node to bridge to
    port: int = 0
    program: Program | None = None
    clients: set[str] = field(default_factory=set)

    @property
    def up(self) -> bool:
        """Whether it runs and listens."""
        return self.program is not None and self.program.running

    async def start(self) -> None:
        """Start it, on its old port or on a new one; raises `StartError`."""
        old, tries = self.port, 1 if self.port else TRIES
        for left in reversed(range(tries)):
            self.port = old or free_port()
            try:
                await self._start()
            except StartError:
                if not left:
                    raise
            else:
                return

    async def keep(self, say: Callable[[str], None]) -> None:
        """Start it again after each end; runs until cancelled."""
        while self.program is not None:
            pid = self.program.pid
            code = await self.program.wait()
            self.clients.clear()
            how = f"signal {-code}" if code < 0 else f"code {code}"
            say(f"node {self.number} (pid {pid}) ended by {how}; it comes back in {BACK_AFTER:g} s")
            await asyncio.sleep(BACK_AFTER)
            await self._start_again()
            say(f"node {self.number} is back with pid {self.program.pid}; new sessions find it")

    async def stop(self) -> None:
        """End it."""
        if self.program is not None:
            await self.program.stop()

    def hear(self, text: str) -> None:
        """Take a line that the node printed."""
        if found := CAME.search(text):
            if not found[1].startswith(BRIDGE):
                self.clients.add(found[1])
        elif found := WENT.search(text):
            self.clients.discard(found[1] or found[2])

    async def _start_again(self) -> None:
        while True:
            try:
                return await self.start()
            except StartError:
                await asyncio.sleep(1)

    async def _start(self) -> None:
        self.clients.clear()
        program = await Program.start(self._argv(), self.hear)
        try:
            await program.ready(lambda: listening(self.port))
        except BaseException:
            await program.stop()
            raise
        self.program = program

    def _argv(self) -> list[str]:
        if self.mosquitto is None:
            return [sys.executable, "-P", "-m", "tidegate.demo.embedded", str(self.port)]
        path = os.path.join(self.folder, f"node{self.number}.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._conf())
        return [self.mosquitto, "-c", path]

    def _conf(self) -> str:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence false",
            "log_dest stderr",
            "log_type notice",
            "log_type warning",
            "log_type error",
            "log_timestamp false",
            "connection_messages true",
        ]
        if self.hub is not None:
            lines += [
                f"connection {BRIDGE}{self.number}",
                f"address 127.0.0.1:{self.hub}",
                # A leaf exchanges everything with the hub alone: a star has no circle in which a
                # message could run.
                "topic # both 0",
                f"remote_clientid {BRIDGE}{self.number}",
                f"local_clientid {BRIDGE}{self.number}.local",
                "notifications false",
                "restart_timeout 1",
            ]
        return "\n".join(lines) + "\n"

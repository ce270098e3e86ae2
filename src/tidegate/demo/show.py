"""The demo from its first process to the last: nodes, balancer, devices, table, clean-up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Self

from tidegate.demo.bridge import Bridge
from tidegate.demo.device import TOPIC, Device
from tidegate.demo.nodes import BACK_AFTER, BRIDGE, Node
from tidegate.demo.program import Program, StartError, free_port, listening
from tidegate.demo.table import Flow, line, table, unreached

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from tidegate.demo.screen import Screen

NODES = 3
DEVICES = 10
TRIES = 3
DRAW_EVERY = 1.0  # seconds, on a terminal
LINE_EVERY = 5.0  # seconds, elsewhere
ONCE_WITHIN = 30.0  # seconds until every device must have heard from another node

CONF = """\
worker_processes 2;
daemon off;
error_log stderr warn;
pid tidegate.pid;

events {{
    worker_connections 1024;
}}

stream {{
    upstream brokers {{
{servers}
    }}

    server {{
        listen     127.0.0.1:{port};
        proxy_pass brokers;
        proxy_connect_timeout 1s;
    }}
}}
"""


class Show:
    """One run of the demo; `run` returns its exit code."""

    def __init__(self, screen: Screen, *, mosquitto: str | None, once: bool) -> None:
        self._screen = screen
        self._mosquitto = mosquitto
        self._once = once
        self._nodes: list[Node] = []
        self._devices: list[Device] = []
        self._balancer: Program
        self._port = 0

    async def run(self) -> int:
        """Run until the end, a signal (128 + its number) or a fault (1)."""
        loop, came = asyncio.get_running_loop(), list[int]()
        task = asyncio.current_task()

        def stop(number: int) -> None:
            if not came and task is not None:  # a second one must not disturb the clean-up
                task.cancel()
            came.append(number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        try:
            async with contextlib.AsyncExitStack() as stack:
                return await self._run(stack)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):  # a terminal that went away
                self._screen.say("\nended; nothing is left behind")
            return 128 + came[0] if came else 1
        except StartError as error:
            self._screen.say(f"tidegate demo: could not start: {error}")
            return 1

    async def _run(self, stack: contextlib.AsyncExitStack) -> int:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-demo-"))
        await self._start_nodes(stack, folder)
        await self._start_balancer(stack, folder)
        self._devices = [Device(f"device-{n}", self._port) for n in range(1, DEVICES + 1)]
        tasks = await stack.enter_async_context(_Tasks())
        for number, node in enumerate(self._nodes):
            tasks.start(node.keep(self._screen.say))
            if number and not self._mosquitto:
                tasks.start(Bridge(f"{BRIDGE}{number}", node.port, self._nodes[0].port).run())
        for device in self._devices:
            tasks.start(device.run())
        if self._once:
            return await self._show_once()
        self._screen.say(self._what_to_try())
        watch = tasks.start(self._watch())
        code = await self._balancer.wait()
        watch.cancel()
        self._screen.say(f"the balancer ended with {code}; that ends the demo")
        return 1

    async def _start_nodes(self, stack: contextlib.AsyncExitStack, folder: str) -> None:
        for number in range(1, NODES + 1):
            hub = self._nodes[0].port if self._nodes else None
            node = Node(number=number, folder=folder, mosquitto=self._mosquitto, hub=hub)
            stack.push_async_callback(node.stop)
            await node.start()
            self._nodes.append(node)

    async def _start_balancer(self, stack: contextlib.AsyncExitStack, folder: str) -> None:
        path = os.path.join(folder, "demo.conf")
        argv = [sys.executable, "-P", "-m", "tidegate.cli.main", "-c", path, "-p", folder]
        for left in reversed(range(TRIES)):
            self._port = free_port()
            conf = configuration([node.port for node in self._nodes], self._port)
            _write(path, conf)
            program = await Program.start(argv, self._balancer_said)
            stack.push_async_callback(program.stop)
            try:
                await program.ready(lambda: listening(self._port))
            except StartError:
                if not left:
                    raise
            else:
                self._balancer = program
                self._screen.say(f"the balancer's configuration:\n\n{conf}")
                return

    def _balancer_said(self, text: str) -> None:
        if text:
            self._screen.say(f"balancer: {text}")

    async def _show_once(self) -> int:
        flow = Flow(self._nodes, self._devices)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ONCE_WITHIN):
                # What it waits for is in the output of three programs: there is no one event.
                while unreached(self._nodes, self._devices):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        self._screen.draw(table(self._nodes, self._devices, flow.take(), None))
        if lonely := unreached(self._nodes, self._devices):
            names = ", ".join(lonely)
            self._screen.say(f"no message from a client on another node reached: {names}")
            return 1
        self._screen.say("each client got a message from a client on another node")
        return 0

    async def _watch(self) -> None:
        flow, last = Flow(self._nodes, self._devices), time.monotonic()
        every = DRAW_EVERY if self._screen.terminal else LINE_EVERY
        while True:
            await asyncio.sleep(every)
            now = time.monotonic()
            seen = (self._nodes, self._devices, flow.take(), now - last)
            last = now
            if self._screen.terminal:
                self._screen.draw(table(*seen))
            else:
                self._screen.say(line(*seen))

    def _what_to_try(self) -> str:
        victim = self._nodes[1]
        pid = victim.program.pid if victim.program else "PID"
        versions = "MQTT 3.1.1 or 5" if self._mosquitto else "MQTT 3.1.1"
        hub = self._nodes[0].number
        return (
            f"What to try while it runs, in another terminal:\n"
            f"  kill {pid}\n"
            f"      ends node {victim.number}: its clients come back on the others, and it is used "
            f"again\n      when it returns after {BACK_AFTER:g} s. (Node {hub} joins the others: "
            f"while it is away, each\n      of them is alone.)\n"
            f"  mosquitto_sub -h 127.0.0.1 -p {self._port} -t '{TOPIC}/#' -v\n"
            f"      or any client of your own, {versions}, on port {self._port}\n"
            f"Ctrl-C ends everything. Clients per node are what the nodes report; messages are "
            f"counted\nby the demo's clients, each of which publishes once a second.\n"
        )


class _Tasks:
    """Tasks that are cancelled and awaited at the end of the block."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, coroutine: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def configuration(ports: Sequence[int], port: int) -> str:
    """What the balancer runs: an ordinary nginx.conf."""
    servers = "\n".join(f"        server 127.0.0.1:{each};" for each in ports)
    return CONF.format(servers=servers, port=port)

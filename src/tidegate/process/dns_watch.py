"""The names that the control process looks after: each is asked for when its answer is too old."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import dns.rdatatype

from tidegate.process.dns_lookup import Lookup, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from dns.rdatatype import RdataType

# Questions under way at the same time: each holds a descriptor.
AT_ONCE = 32

# nginx asks again after `resolver_timeout`, 30 s; a name server that was restarted is back sooner.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Order(NamedTuple):
    """What the master wants to know, under a number; see `names.Names.orders`."""

    number: int
    host: str
    service: str
    servers: tuple[tuple[str, int], ...]
    kinds: tuple[RdataType, ...]
    valid: float | None
    timeout: float


class DnsWatch:
    """Asks for names, each in a task of its own; `tell` gets what is for the master."""

    def __init__(self, tell: Callable[[dict[str, object]], None]) -> None:
        self._tell = tell
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Order, asyncio.Task[None]] = {}

    def take(self, fd: int) -> None:
        """Go by the orders in this file: those that are there already go on as they are."""
        with open(fd, "rb"):
            wanted = set(map(_order, json.loads(os.pread(fd, os.fstat(fd).st_size, 0))))
        for order in self._tasks.keys() - wanted:
            self._tasks.pop(order).cancel()
        loop = asyncio.get_running_loop()
        for order in wanted - self._tasks.keys():
            self._tasks[order] = loop.create_task(self._watch(order))

    def close(self) -> None:
        """Ask for nothing any more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _watch(self, order: Order) -> None:
        lookup = Lookup(
            order.host,
            order.service,
            servers=order.servers,
            kinds=order.kinds,
            valid=order.valid,
            timeout=order.timeout,
            turn=self._turn,
        )
        failures = 0
        while True:
            try:
                outcome = await lookup.ask()
            except Exception:  # whatever it is, the others go on, and so does this one
                logging.getLogger("tidegate").exception("%s could not be asked for", order.host)
                outcome = Outcome(failure="(2: Server failure)")
            failures = failures + 1 if outcome.failure else 0
            self._tell(_told(order, outcome))
            await asyncio.sleep(pause_after(failures) if failures else outcome.seconds)


def pause_after(failures: int) -> float:
    """Seconds until a name is asked for again that could not be resolved so often in a row."""
    return float(min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 8), LONGEST_PAUSE_SECONDS))


def _order(data: dict[str, object]) -> Order:
    servers = data["servers"]
    assert isinstance(servers, list)
    valid = data["valid"]
    kinds = []
    if data["ipv4"]:
        kinds.append(dns.rdatatype.A)
    if data["ipv6"]:
        kinds.append(dns.rdatatype.AAAA)
    return Order(
        number=int(str(data["number"])),
        host=str(data["host"]),
        service=str(data["service"]),
        servers=tuple((str(host), int(port)) for host, port in servers),
        kinds=tuple(kinds),
        valid=None if valid is None else float(str(valid)),
        timeout=float(str(data["timeout"])),
    )


def _told(order: Order, outcome: Outcome) -> dict[str, object]:
    return {
        "number": order.number,
        "failure": outcome.failure,
        "places": [list(place) for place in outcome.places],
        "left_out": outcome.left_out,
        "missing": list(outcome.missing),
    }

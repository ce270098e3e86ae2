"""One generation of the configuration on its way into the workers: all of them, or none.

*prepare* goes to every worker that is to serve it, *commit* only when all are ready. The first
configuration of an instance comes into force in the same way as every later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.dataclasses import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from tidegate.balance.placement import Placement
    from tidegate.config.model import Model
    from tidegate.process.caches import Caches
    from tidegate.process.pidfile import PidFile
    from tidegate.process.supervisor import Child
    from tidegate.process.tables import Tables
    from tidegate.process.zones import Zones


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A configuration with its places on the scoreboard and its shared memory.

    `handover` is the sealed memfd of model and places.
    """

    number: int
    model: Model
    placement: Placement
    handover: int
    zones: Zones
    caches: Caches
    tables: Tables

    @property
    def seats(self) -> int:
        """How many workers serve it."""
        return seats_of(self.model)


@dataclass(slots=True, kw_only=True)
class Opened:
    """What was opened for a generation alone, to be closed should it not come into force."""

    sockets: list[tuple[str, int]]
    logs: list[str]
    pid_file: PidFile | None = None


class Rollout:
    """A generation that is being put in force.

    `outgoing` are children that it does not concern: new ones take their seats. `finished` gets
    None at the end, or what went wrong.
    """

    def __init__(
        self,
        generation: Generation,
        opened: Opened,
        *,
        outgoing: Iterable[Child],
        finished: asyncio.Future[str | None],
    ) -> None:
        self.generation = generation
        self.opened = opened
        self.outgoing = frozenset(outgoing)
        self.finished = finished
        self.committed = False  # from here on there is no way back

    def takes(self, child: Child) -> bool:
        """Whether this child is to serve the generation."""
        return (
            not child.leaving and child.seat < self.generation.seats and child not in self.outgoing
        )

    def ready(self, children: Iterable[Child]) -> bool:
        """Whether there is a child in every seat that has prepared."""
        number = self.generation.number
        seats = {child.seat for child in children if self.takes(child) and child.ready == number}
        return len(seats) == self.generation.seats

    def serving(self, children: Iterable[Child]) -> bool:
        """Whether all who take part serve the generation; those that died meanwhile come later."""
        number = self.generation.number
        return all(child.serving == number for child in children if self.takes(child))

    def late(self, children: Iterable[Child]) -> list[Child]:
        """Who has not answered yet."""
        number = self.generation.number
        said = "serving" if self.committed else "ready"
        return [one for one in children if self.takes(one) and getattr(one, said) != number]


def seats_of(model: Model) -> int:
    """How many workers a configuration asks for."""
    return model.worker_processes if model.master_process else 1

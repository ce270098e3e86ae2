"""What the control socket answers: how the instance is, and how its upstreams are."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tidegate.config import parts
from tidegate.observe.status import private_memory, sessions, upstreams
from tidegate.stream.refusals import totals
from tidegate.version import VERSION

if TYPE_CHECKING:
    from tidegate.process.generations import Generations
    from tidegate.process.names import Names
    from tidegate.process.supervisor import Child
    from tidegate.scoreboard.board import Board


class Answers:
    """Answers about one instance, whose uptime counts from here."""

    def __init__(self, generations: Generations, board: Board, names: Names) -> None:
        self._generations = generations
        self._board = board
        self._names = names
        self._began = time.monotonic()

    async def status(self) -> dict[str, object]:
        """The instance and its workers; memory is in bytes, uptime in seconds."""
        current = self._generations.current
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "generation": 0 if current is None else current.number,
            "uptime": round(time.monotonic() - self._began, 1),
            "workers": [
                {
                    "pid": child.pid,
                    "state": self._state_of(child),
                    "generation": child.serving,
                    "sessions": sessions(self._board, child.slot),
                    "memory": private_memory(child.pid),
                }
                for child in self._generations.supervisor
            ],
            "control": [
                {
                    "pid": child.pid,
                    "state": self._state_of(child),
                    "memory": private_memory(child.pid),
                }
                for child in self._generations.local
            ],
            "mqtt": totals(self._board),
        }

    async def upstreams(self) -> dict[str, object]:
        """Each upstream and its peers; how full the tables of `sticky learn` are."""
        current = self._generations.current
        if current is None:
            return {"error": "tidegate has not started yet"}
        found = upstreams(current.model, current.placement, self._board)
        for told, upstream in zip(found, parts.upstreams(current.model), strict=True):
            told["names"] = self._names.told(upstream)
        return {
            "upstreams": found,
            "sticky": [table.told() for table in current.tables],
        }

    def _state_of(self, child: Child) -> str:
        if child.leaving or self._generations.stopping:
            return "leaving"
        return "serving" if child.serving else "starting"

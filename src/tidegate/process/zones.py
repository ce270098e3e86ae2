"""Shared memory by name: the master owns it, workers attach to it.

A zone of the same name, size and key is the same zone in every configuration, so what is counted in
it goes on from one to the next.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.process.errors import StartError
from tidegate.scoreboard.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tidegate.config.model import LimitConnZone


class Zones:
    """The zones of one configuration, in the master."""

    def __init__(self, zones: Mapping[str, tuple[LimitConnZone, Zone]] | None = None) -> None:
        self._zones = zones or {}

    def followed_by(self, wanted: Iterable[LimitConnZone]) -> Zones:
        """Those of the next configuration; what stays is the same memory. Raises StartError."""
        try:
            return Zones(
                {one.name: (one, self._same(one) or Zone.create(one.size)) for one in wanted}
            )
        except (OSError, MemoryError) as error:
            raise StartError(f"no memory for the zones of limit_conn_zone: {error}") from error

    def _same(self, wanted: LimitConnZone) -> Zone | None:
        """The zone that it was before; counts by another key would be of no use to it."""
        if wanted.name not in self._zones:
            return None
        known, zone = self._zones[wanted.name]
        return zone if (known.size, known.key) == (wanted.size, wanted.key) else None

    @property
    def fds(self) -> dict[str, int]:
        """A descriptor for each zone, by name; they stay open here."""
        return {name: zone.fd for name, (_, zone) in self._zones.items()}

    def forget_worker(self, slot: int) -> list[str]:
        """Take back what a dead worker held; gives the zones where that was not possible."""
        return [name for name, (_, zone) in self._zones.items() if not zone.forget_worker(slot)]


def attach(fds: Mapping[str, int], known: Mapping[str, Zone], *, worker: int) -> dict[str, Zone]:
    """The zones behind descriptors by name, which are closed; those that are `known` are kept.

    Two descriptors are of one zone where they are of one file. Raises ValueError.
    """
    zones = {}
    for name, fd in fds.items():
        try:
            zone = known.get(name)
            zones[name] = zone if zone and zone.is_behind(fd) else Zone.attach(fd, worker=worker)
        finally:
            os.close(fd)
    return zones

"""Shared memory by name: the master owns it, workers attach to it.

A zone of the same name and size is the same zone in every configuration, so what is counted in it
goes on from one to the next.
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

    def __init__(self, zones: Mapping[str, Zone] | None = None) -> None:
        self._zones = zones or {}

    def followed_by(self, wanted: Iterable[LimitConnZone]) -> Zones:
        """Those of the next configuration; what stays is the same memory. Raises StartError."""
        zones = {}
        for one in wanted:
            known = self._zones.get(one.name)
            try:
                same = known is not None and known.size == one.size
                zones[one.name] = known if known and same else Zone.create(one.size)
            except (OSError, MemoryError) as error:
                raise StartError(f'no memory for the zone "{one.name}": {error}') from error
        return Zones(zones)

    @property
    def fds(self) -> dict[str, int]:
        """A descriptor for each zone, by name; they stay open here."""
        return {name: zone.fd for name, zone in self._zones.items()}

    def forget_worker(self, slot: int) -> list[str]:
        """Take back what a dead worker held; gives the zones where that was not possible."""
        return [name for name, zone in self._zones.items() if not zone.forget_worker(slot)]


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

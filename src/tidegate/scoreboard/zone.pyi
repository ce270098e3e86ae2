"""A zone of shared memory in which all workers count connections by key, exactly."""

from typing import Final

# What `take` gives in place of an entry.
AT_LIMIT: Final[int]  # the key has as many connections as it may
NO_ROOM: Final[int]  # the zone is full
NOT_ASKED: Final[int]  # the lock was not to be had within 10 ms: its holder does not run

LONGEST: Final[int]  # bytes of a key
MOST_COUNTED: Final[int]  # the highest limit

class Zone:
    """One memfd of the size that the configuration says.

    A key of up to 44 bytes takes 64 bytes while it has connections, with room for those of one
    worker; a shorter one has room for a worker more for every 4 bytes less.
    """

    @staticmethod
    def create(size: int) -> Zone:
        """Make a zone of `size` bytes, to hand to workers; ValueError below 4096."""
    @staticmethod
    def attach(fd: int, *, worker: int) -> Zone:
        """Map the zone behind `fd`, which is not kept; ValueError if it is none of ours."""
    def is_behind(self, fd: int) -> bool:
        """Tell whether a descriptor is of this very memory."""
    fd: int  # the memfd of a created zone, to hand to children; -1 when attached
    size: int
    worker: int  # -1 in the zone that was created
    def take(self, key: bytes, most: int) -> int:
        """Count one connection more for `key`, unless it has `most`.

        Gives the entry, from 1, to be given back; or AT_LIMIT, NO_ROOM or NOT_ASKED, and nothing
        was counted.
        """
    def give_back(self, entry: int) -> bool:
        """Count one less; False when the lock was not to be had: to be done again later.

        ValueError when this worker has no connection in that entry.
        """
    def forget_worker(self, worker: int) -> bool:
        """Take back what a dead worker held; False when the lock was not to be had for a second.

        To be called before the number has a new worker.
        """
    def count(self, key: bytes) -> int:
        """How many connections a key has."""
    @property
    def keys(self) -> int:
        """Keys that have connections."""
    @property
    def cells(self) -> int:
        """How many pieces of 64 bytes there are."""
    @property
    def used(self) -> int:
        """How many of them are in use."""
    @property
    def deaths(self) -> int:
        """How often the lock was inherited from a process that died with it."""
    def _mutex_address(self) -> int:
        """Tell tests where the pthread mutex is in this process."""

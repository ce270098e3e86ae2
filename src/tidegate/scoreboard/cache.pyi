"""Bytes that all workers keep by key for a while, in shared memory; the oldest make room."""

from typing import Final

LONGEST: Final[int]  # bytes of a key

class Cache:
    """One memfd of the size that the configuration says.

    What was kept last under a key is what is found. All of it may be lost: whoever needs a thing
    that is not found makes it anew.
    """

    @staticmethod
    def create(size: int) -> Cache:
        """Make a cache of `size` bytes, to hand to workers; ValueError below 4096."""
    @staticmethod
    def attach(fd: int) -> Cache:
        """Map the cache behind `fd`, which is not kept; ValueError if it is none of ours."""
    def is_behind(self, fd: int) -> bool:
        """Tell whether a descriptor is of this very memory."""
    fd: int  # the memfd of a created cache, to hand to children; -1 when attached
    size: int
    def keep(self, key: bytes, data: bytes, *, seconds: int) -> bool:
        """Keep `data` for so long at most; False where that is too much, or the lock is held.

        A key has 1 to LONGEST bytes, data less than half of the cache and 64 KiB.
        """
    def find(self, key: bytes) -> bytes | None:
        """What is kept under a key; None where it is not, or the lock was not to be had in 1 ms."""
    def forget(self, key: bytes) -> None:
        """See that a key is not found any more."""
    @property
    def items(self) -> int:
        """How many are there, those that nobody finds any more included."""
    @property
    def deaths(self) -> int:
        """How often the lock was inherited from a process that died with it."""
    def _mutex_address(self) -> int:
        """Tell tests where the pthread mutex is in this process."""
    def _lap_left(self) -> int:
        """Tell tests how many bytes there are to the end of the ring."""

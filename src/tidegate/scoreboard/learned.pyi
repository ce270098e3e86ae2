"""A table in shared memory of which key belongs to which node; the oldest entries make room."""

from typing import Final

# What `find` gives in place of a node.
UNKNOWN: Final[int]
NOT_ASKED: Final[int]  # the lock was not to be had within 10 ms: its holder does not run

LONGEST: Final[int]  # bytes of a key that is stored as it is
SMALLEST: Final[int]  # bytes of a table
LARGEST: Final[int]
RECORD: Final[int]  # bytes of an entry outside of the memory

def stored(key: bytes) -> bytes:
    """A key as an entry has it: what there is to keep of one, as it may be long."""

class Learned:
    """One memfd of the size that the configuration says; an entry takes 65 bytes of it.

    A key has one byte or more; one longer than LONGEST is stored as its BLAKE2b hash. A node is a
    number from 1 below 2^64. Times are seconds of a clock that nobody sets.
    """

    @staticmethod
    def create(size: int) -> Learned:
        """Make a table of `size` bytes, to hand to workers; ValueError for one that cannot be."""
    @staticmethod
    def attach(fd: int) -> Learned:
        """Map the table behind `fd`, which is not kept; ValueError if it is none of ours."""
    def is_behind(self, fd: int) -> bool:
        """Tell whether a descriptor is of this very memory."""
    fd: int  # the memfd of a created table, to hand to children; -1 when attached
    size: int
    def find(self, key: bytes, timeout: int) -> int:
        """The node of a key that was learned or touched less than `timeout` ago; else as above."""
    def learn(self, key: bytes, node: int, *, timeout: int, refresh: bool = True) -> bool:
        """Know from now on that `key` belongs to `node`; False when the lock was not to be had.

        Where that is known already its time begins anew, unless `refresh` is False. Two entries
        that have had their `timeout` go, and the oldest one where there is no room.
        """
    def touch(self, key: bytes, node: int, *, again: bool = False, as_stored: bool = False) -> bool:
        """Begin the time of an entry anew, if there is one and it says this node.

        Where there is none, `again` makes one. `as_stored` says that `key` came from `stored`.
        False when the lock was not to be had.
        """
    def sweep(self, timeout: int) -> None:
        """Remove the entries that have had their time."""
    def part(self, first: int) -> tuple[bytes, int]:
        """Some entries as records of RECORD bytes, and where to go on; begin with 1, end with 0.

        TimeoutError when the lock was not to be had for a second.
        """
    def fill(self, records: bytes, *, elapsed: int, timeout: int) -> int:
        """Learn what `part` gave so many seconds ago, but for what is too old; how many are kept.

        ValueError for bytes that are no records.
        """
    @property
    def entries(self) -> int:
        """How many there are, those that have had their time included."""
    @property
    def cells(self) -> int:
        """How many there is room for."""
    @property
    def dropped(self) -> int:
        """How many had to make room before their time."""
    @property
    def changes(self) -> int:
        """A number that is another one after a change."""
    @property
    def deaths(self) -> int:
        """How often the lock was inherited from a process that died with it."""
    def _mutex_address(self) -> int:
        """Tell tests where the pthread mutex is in this process."""
    def order(self) -> list[bytes]:
        """The keys as they are stored, from the newest to the oldest; nobody else may run."""

"""The tables of `sticky learn`, by zone: the master owns them and keeps them in files.

One of the same zone and size is the same in every configuration; one of another size begins with
what the former knew. The master does the saving, not the control process: it has the memory in any
case and the right to write where the configuration says, and it outlives the workers.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.process.aside import within
from tidegate.process.errors import StartError
from tidegate.process.state_file import StateError, load, save
from tidegate.scoreboard.learned import RECORD, Learned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tidegate.config.model import Sticky

    Tell = Callable[[Level, str], None]

# A crash of all forgets what was learned since then.
PAUSE_SECONDS = 5.0
# A disk that hangs holds up the end of the master no longer than this, and the time that a slow
# one takes: to write so much in a second.
END_SECONDS = 10.0
SLOW_BYTES = 10 << 20
# A large table is written less often, so that a disk has no more than this of it in a second: 22 GB
# a day at the very most, for a table that always changes.
BYTES_PER_SECOND = 256 << 10


class Table:
    """One table, and the file that it is kept in."""

    def __init__(
        self, sticky: Sticky, memory: Learned, *, tell: Tell, former: Table | None = None
    ) -> None:
        """`former` is that of the configuration before."""
        self.sticky = sticky
        self.memory = memory
        self._tell = tell
        self._saved: int | None = None  # `changes` of what is in the file; None: it has to be
        self._fails = False
        self._next = time.monotonic() + PAUSE_SECONDS
        # Two that write the same file would take away each other's.
        self.lock: threading.Lock = threading.Lock() if former is None else former.lock

    @property
    def _about(self) -> str:
        return f'sticky zone "{self.sticky.zone}"'

    def load(self) -> None:
        """Begin with what is in the file; one that is damaged is told of, and not used."""
        path, changes = self.sticky.state, self.memory.changes
        try:
            found = load(path, self.memory, timeout=self.sticky.timeout)
        except FileNotFoundError:
            self._saved = changes
            return
        except (StateError, OSError, MemoryError, TimeoutError) as error:
            self._tell(
                Level.ERROR, f'{self._about} begins empty: "{path}" is not used, {_why(error)}'
            )
        else:
            self._tell(Level.NOTICE, f'{self._about} begins with {found} entries of "{path}"')
        self._saved = self.memory.changes

    def copy(self, former: Learned) -> None:
        """Begin with what a table of another size knows."""
        entry = 1
        records = bytearray()
        while entry:
            piece, entry = former.part(entry)
            records += piece
        self.memory.fill(bytes(records), elapsed=0, timeout=self.sticky.timeout)

    def told(self) -> dict[str, object]:
        """How full it is."""
        self.memory.sweep(self.sticky.timeout)
        return {
            "zone": self.sticky.zone,
            "entries": self.memory.entries,
            "room": self.memory.cells,
            "dropped": self.memory.dropped,
            "file": self.sticky.state,
        }

    def due(self, now: float) -> bool:
        """Whether it is to be saved."""
        return now >= self._next and self.memory.changes != self._saved

    def save(self) -> None:
        """Put it into its file, if it has changed; what is wrong is told of once."""
        with self.lock:
            self.memory.sweep(self.sticky.timeout)
            changes = self.memory.changes
            if changes != self._saved:
                self._put(changes)
            self._next = time.monotonic() + max(PAUSE_SECONDS, self._size / BYTES_PER_SECOND)

    def save_last(self) -> None:
        """As `save`, from the loop, at the end: no longer than a disk may take."""
        seconds = END_SECONDS + self._size / SLOW_BYTES
        if not within(seconds, self.save):
            why = f"the disk has not taken it within {seconds:.0f} s"
            self._tell(Level.ERROR, f'{self._about} is not saved to "{self.sticky.state}", {why}')

    @property
    def _size(self) -> int:
        """About how many bytes the file has."""
        return self.memory.entries * RECORD

    def _put(self, changes: int) -> None:
        path = self.sticky.state
        try:
            save(path, self.memory)
        except (StateError, OSError, MemoryError) as error:  # a TimeoutError is an OSError
            if not self._fails:
                number = error.errno if isinstance(error, OSError) else None
                why = f" ({number}: {os.strerror(number)})" if number else f", {_why(error)}"
                self._tell(Level.ERROR, f'{self._about} is not saved to "{path}"{why}')
            self._fails = True
            return
        self._saved = changes
        if self._fails:
            self._fails = False
            self._tell(Level.NOTICE, f'{self._about} is saved to "{path}" again')


def _why(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there is no memory for it"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


class Tables:
    """The tables of one configuration, in the master."""

    def __init__(self, tables: Mapping[str, Table] | None = None) -> None:
        self._tables = tables or {}

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables.values())

    def followed_by(self, wanted: Iterable[Sticky], *, tell: Tell) -> Tables:
        """Those of the next configuration; what stays is the same memory. Raises StartError.

        With a large file, or a slow disk, this takes its time.
        """
        wanted = tuple(wanted)
        for zone in self._tables.keys() - {one.zone for one in wanted}:
            # Another may begin with its file now, or this one when it comes back.
            self._tables[zone].save()
        try:
            return Tables({one.zone: self._next(one, tell) for one in wanted})
        except (OSError, MemoryError, ValueError) as error:
            raise StartError(f"no memory for the zones of sticky: {error}") from error

    def _next(self, wanted: Sticky, tell: Tell) -> Table:
        known = self._tables.get(wanted.zone)
        if known is None:
            table = Table(wanted, Learned.create(wanted.size), tell=tell)
            table.load()
        elif known.sticky == wanted:
            return known
        elif known.sticky.size == wanted.size:
            table = Table(wanted, known.memory, tell=tell, former=known)
        else:
            table = Table(wanted, Learned.create(wanted.size), tell=tell, former=known)
            table.copy(known.memory)
        return table

    @property
    def fds(self) -> dict[str, int]:
        """A descriptor for each table, by zone; they stay open here."""
        return {zone: table.memory.fd for zone, table in self._tables.items()}


def attach(fds: Mapping[str, int], known: Mapping[str, Learned]) -> dict[str, Learned]:
    """The tables behind descriptors by zone, which are closed; those that are `known` are kept.

    Raises ValueError.
    """
    tables = {}
    for zone, fd in fds.items():
        try:
            table = known.get(zone)
            tables[zone] = table if table and table.is_behind(fd) else Learned.attach(fd)
        finally:
            os.close(fd)
    return tables

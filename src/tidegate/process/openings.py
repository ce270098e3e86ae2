"""What an instance has open for its configuration: logs, listening sockets, the pid file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.parts import listens
from tidegate.process.logs import LogFiles, paths_of
from tidegate.process.pidfile import PidFile
from tidegate.process.rollout import Opened, seats_of
from tidegate.process.sockets import ListeningSockets

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Level, Model

    Note = Callable[[Level, str], None]


class Openings:
    """Logs, sockets and pid file; `note` gets what is to be told while sockets are opened."""

    def __init__(self, note: Note) -> None:
        self.logs = LogFiles()
        self.sockets = ListeningSockets()
        self._note = note
        self._pid_file: PidFile | None = None
        self._pid_path = ""

    def begin(self, model: Model) -> None:
        """Open the sockets and the pid file of the first configuration; raises StartError."""
        self.sockets.open(list(listens(model)), workers=seats_of(model), note=self._note)
        self._pid_file = PidFile.claim(model.pid)
        self._pid_path = model.pid

    def open(self, model: Model) -> Opened:
        """Open what the model needs beside what is open; raises StartError."""
        opened = Opened(sockets=[], logs=[])
        try:
            opened.logs = self.logs.open(paths_of(model))
            opened.sockets = self.sockets.open(
                list(listens(model)), workers=seats_of(model), note=self._note
            )
            if model.pid != self._pid_path:
                opened.pid_file = PidFile.claim(model.pid)
        except BaseException:
            self.drop(opened)
            raise
        return opened

    def drop(self, opened: Opened) -> None:
        """Close what was opened for a configuration that does not come into force."""
        self.sockets.drop(opened.sockets)
        self.logs.drop(opened.logs)
        if opened.pid_file is not None:
            opened.pid_file.release()

    def keep(self, model: Model, opened: Opened) -> None:
        """Close what the configuration that is now in force does not use."""
        self.sockets.keep(listens(model), note=self._note)
        self.logs.keep(paths_of(model))
        if opened.pid_file is not None and self._pid_file is not None:
            self._pid_file.release()
            self._pid_file, self._pid_path = opened.pid_file, model.pid

    def retire(self) -> None:
        """Let a new instance have our addresses and our name, while the last sessions go on."""
        self.sockets.close()
        if self._pid_file is not None:
            self._pid_file.retire()

    def close(self) -> None:
        """Close everything."""
        self.sockets.close()
        if self._pid_file is not None:
            self._pid_file.release()
        self.logs.close()

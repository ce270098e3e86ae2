"""An instance of the real program, started as a user starts it."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from lab import proc, sockets
from lab.process import read
from lab.waiting import PATIENCE, wait_until

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "src"))
COMMAND = (sys.executable, "-m", "tidegate.cli.main")


class Instance:
    """A folder with a configuration, and the master that runs on it."""

    def __init__(self, folder, port, node):
        self.folder = str(folder)
        self.port = port
        self.node = node
        self.source = SOURCE
        self.pid_file = os.path.join(self.folder, "t.pid")
        self.conf = os.path.join(self.folder, "t.conf")
        self._seen = set()
        self.configure()

    def configure(self, *, main="", workers=2, server="", stream="", daemon="on", level="info"):
        """Write the configuration: an echo behind `port`, and what the test adds."""
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(
                f"worker_processes {workers}; daemon {daemon};"
                f" {'' if 'pid ' in main else 'pid t.pid;'}\n"
                f"{'' if 'error_log' in main else f'error_log error.log {level};'} {main}\n"
                "events { worker_connections 100; }\n"
                "stream {\n"
                "  log_format short '$pid $status'; access_log access.log short;\n"
                f"  server {{ listen 127.0.0.1:{self.port}; proxy_pass {self.node.address};"
                f" {server} }}\n"
                f"  {stream}\n"
                "}\n"
            )

    def run(self, *words, env=None):
        """Run `tidegate WORDS -c … -p …` to its end."""
        return self.run_verb(*words, "-c", self.conf, "-p", self.folder, env=env)

    def run_verb(self, *words, env=None):
        """Run `tidegate WORDS` to its end."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": self.source, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )

    def start(self, **options):
        """Start in the background; everybody accepts when this returns."""
        done = self.run(**options)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), self.log
        return self

    @contextlib.contextmanager
    def in_front(self, *words, **options):
        """A process that stays in front, its output in a pipe; killed at the end."""
        with subprocess.Popen(
            [*COMMAND, *words, "-c", self.conf, "-p", self.folder],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": self.source},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def master(self) -> int:
        """The master's number, as its pid file has it."""
        pid = int(read(self.pid_file))
        self._seen.add(pid)
        self._seen.update(proc.children(pid))
        return pid

    def workers(self) -> list[int]:
        """The numbers of the workers."""
        found = proc.children(self.master)
        self._seen.update(found)
        return found

    @property
    def log(self) -> str:
        """The error log so far."""
        return read(os.path.join(self.folder, "error.log"))

    def messages(self, *, level="") -> list[str]:
        """The messages of the error log, without times and process numbers."""
        lines = [line for line in self.log.splitlines() if f"[{level}" in line]
        return [line.split(": ", 1)[1] for line in lines]

    def wait_for(self, text):
        """Wait until `text` is logged."""
        wait_until(lambda: text in self.log, f"{text!r} is logged", context=lambda: self.log)

    def wait_gone(self, *pids):
        """Wait until these processes have ended."""
        wait_until(lambda: not any(map(proc.alive, pids)), f"{pids} end", context=lambda: self.log)

    def accepts(self) -> bool:
        """Whether two workers accept."""
        inodes = proc.listening_inodes(self.port)
        # A start makes an empty one first, and locks it.
        return bool(read(self.pid_file)) and [
            proc.accepts(pid, inodes) for pid in self.workers()
        ] == [True, True]

    def connect(self):
        """A session through the balancer that has echoed once."""
        client = sockets.open_raw(self.port)
        self.talk(client)
        return client

    def talk(self, client):
        """Say something in a session and hear it back."""
        client.sendall(b"hello")
        assert sockets.receive(client, 5) == b"hello"

    def clean_up(self):
        """Kill what is left of the processes that this test saw."""
        with contextlib.suppress(ValueError):
            _ = self.master
        for pid in self._seen:
            if "tidegate" in proc.command(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def instance(lab, tmp_path):
    made = Instance(tmp_path, lab.ports.free(), lab.node())
    yield made
    made.clean_up()

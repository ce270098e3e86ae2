"""The balancer under test: tidegate, or the real nginx, from the same configuration text."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

from lab import proc
from lab.process import Program, read
from lab.waiting import PATIENCE, wait_until

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "src"))
# This tree's modules first, then what the tests themselves were started with.
MODULES = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
FIELDS = (
    "remote_addr",
    "status",
    "upstream_addr",
    "bytes_received",
    "bytes_sent",
    "session_time",
    "upstream_bytes_sent",
    "upstream_bytes_received",
)


class Balancer(Program):
    """One instance with its own configuration, logs and pid file in `folder`."""

    def __init__(self, conf, *, folder, program="tidegate", name=None, directives="", prefix=()):
        """`conf` is a whole configuration, `directives` go before it as `-g`.

        Paths in them are relative to `folder`.
        """
        self.program = program
        self.conf = os.path.join(folder, f"{name or program}.conf")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(conf)
        super().__init__(
            [
                *command(program),
                *(["-e", "error.log"] if program == "nginx" else []),
                "-c",
                self.conf,
                "-p",
                folder,
                *(["-g", directives] if directives else []),
            ],
            folder=folder,
            name=name or program,
            env={"PYTHONPATH": MODULES},
            prefix=prefix,
        )
        self.error_log = os.path.join(folder, "error.log")
        self.access_log = os.path.join(folder, "access.log")
        self.logs.append(self.error_log)

    def workers(self) -> list[int]:
        """Pids of the worker processes."""
        marks = ("--kind worker", "nginx: worker process", "tidegate: worker process")
        return [
            pid for pid in proc.children(self.pid) if any(m in proc.command(pid) for m in marks)
        ]

    def wait_ready(self, ports, workers, paths=()):
        """Wait until each of `workers` processes has each listening socket in its epoll set."""

        def ready():
            pids = self.workers()
            if len(pids) != workers:
                return False
            inodes = [proc.listening_inodes(port, pid=self.pid) for port in ports]
            inodes += [proc.unix_listening_inodes(path, pid=self.pid) for path in paths]
            return all(found and all(proc.accepts(pid, found) for pid in pids) for found in inodes)

        what = f"{workers} workers accept on {[*ports, *paths]}"
        # They start at the same time, on the processors that there are.
        self.wait_until(ready, what, timeout=PATIENCE * max(1, workers / 2))
        return self

    def send(self, word):
        """`-s WORD` with the same configuration; returns the finished process."""
        return subprocess.run(
            [*command(self.program), "-s", word, "-c", self.conf, "-p", self.folder],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def told(self, question):
        """What `tidegate ctl QUESTION` says of it, as data."""
        return json.loads(self.shown(question, "--json"))

    def shown(self, question, *options) -> str:
        """What `tidegate ctl QUESTION` prints."""
        done = subprocess.run(
            [*command(self.program), "ctl", "-c", self.conf, "-p", self.folder, question, *options],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return done.stdout

    def quit(self):
        """Ask for a graceful stop; does not wait."""
        self.send_signal(signal.SIGQUIT)

    def sessions(self) -> list[dict[str, str]]:
        """The access log so far, one dict per line with the names of `FIELDS`."""
        rows = (line.split("|") for line in read(self.access_log).splitlines())
        return [dict(zip(FIELDS, row, strict=True)) for row in rows]

    def wait_sessions(self, count, timeout=PATIENCE) -> list[dict[str, str]]:
        """Wait until `count` sessions have been logged."""
        return wait_until(
            lambda: (rows := self.sessions())[count - 1 :] and rows,
            f"{count} lines in the access log",
            timeout=timeout,
            context=self.tail,
        )

    def errors(self) -> str:
        """The error log so far."""
        return read(self.error_log)

    def clean_up(self):
        """End the master and the workers that outlive it."""
        if self._process is None:
            return
        pids = [self.pid, *proc.children(self.pid)] if self.running else []
        super().clean_up()
        for pid in pids:
            if proc.alive(pid) and self.conf_of(pid):
                os.kill(pid, signal.SIGKILL)

    def conf_of(self, pid) -> bool:
        """Whether a pid still is one of ours, and not a number used anew."""
        words = proc.command(pid)
        return "tidegate" in words or "nginx" in words


def command(program) -> list[str]:
    """The argv that starts a program from this tree, or the installed nginx."""
    if program == "nginx":
        return [shutil.which("nginx") or "/usr/sbin/nginx"]
    return [sys.executable, "-m", "tidegate.cli.main"]


def whole(stream, *, program="tidegate", workers=1, connections=1024, main="", level="info"):
    """A configuration around the text of a `stream {}` block, with logs in the same folder."""
    log_format = "|".join(f"${name}" for name in FIELDS)
    lines = [
        f"load_module {STREAM_MODULE};" if program == "nginx" else "",
        "user root;" if os.getuid() == 0 else "",  # else the workers could not reach the folder
        "daemon off;",
        f"worker_processes {workers};",
        "pid balancer.pid;",
        f"error_log error.log {level};",
        main,
        f"events {{ worker_connections {connections}; }}",
        "stream {",
        f"log_format lab '{log_format}';",
        "access_log access.log lab;",
        stream,
        "}",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def listens(conf) -> tuple[list[int], list[str]]:
    """The TCP ports and Unix sockets that a configuration's `listen` directives name."""
    words = re.findall(
        r"^\s*listen\s+([^\s;]+)", conf.replace("{", "{\n").replace(";", ";\n"), re.MULTILINE
    )
    paths = [word.removeprefix("unix:") for word in words if word.startswith("unix:")]
    ports = [int(word.rpartition(":")[2]) for word in words if not word.startswith("unix:")]
    return sorted(set(ports)), paths

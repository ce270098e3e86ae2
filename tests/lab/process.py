"""Real programs in a folder of their own: start, wait for readiness, stop by pid, keep the output.

A program dies with the test run that started it, also when that is killed: `setpriv --pdeathsig`.
"""

import contextlib
import os
import shutil
import signal
import subprocess

from lab.waiting import PATIENCE, wait_until

TAIL = 6_000  # characters of output that a failure shows


class Program:
    """One program, not yet started."""

    def __init__(self, argv, *, folder, name, env=None, prefix=()):
        """`prefix` is what runs it elsewhere, e.g. `nsenter …`; `env` is added to ours."""
        self.name = name
        self.folder = folder
        self.argv = [*prefix, *_die_with_us(), *map(str, argv)]
        self.logs = [os.path.join(folder, f"{name}.out")]
        self._env = {**os.environ, **(env or {})}
        self._process = None

    @property
    def pid(self) -> int:
        """The pid of the running program."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def code(self):
        """The exit code, None while it runs."""
        return self._process.poll()

    def start(self):
        """Start it; readiness is the caller's to wait for."""
        with open(self.logs[0], "ab") as out:
            self._process = subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self

    def output(self) -> str:
        """What it printed and logged so far."""
        return "".join(read(path) for path in self.logs)

    def wait_until(self, condition, what, *, timeout=PATIENCE):
        """Wait for `condition` while the program runs; its end before that is a failure."""

        def met():
            value = condition()
            if not value and not self.running:
                raise AssertionError(
                    f"{self.name} ended with {self.code} before: {what}\n{self.tail()}"
                )
            return value

        return wait_until(met, f"{self.name}: {what}", timeout=timeout, context=self.tail)

    def wait_for_output(self, text, *, timeout=PATIENCE):
        """Wait until `text` stands in the output or a log."""
        self.wait_until(lambda: text in self.output(), f"{text!r} in its output", timeout=timeout)

    def wait(self, timeout=PATIENCE) -> int:
        """Wait for its end; returns the exit code."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end in {timeout:g} s\n{self.tail()}"
            ) from None

    def send_signal(self, number):
        """Send a signal."""
        os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, *, timeout=PATIENCE) -> int:
        """Ask it to end; returns the exit code, fails when it does not come to an end."""
        if self.running:
            self.send_signal(number)
        return self.wait(timeout)

    def kill(self):
        """End it at once."""
        if self.running:
            self._process.kill()
            self._process.wait()

    def clean_up(self):
        """End it and whatever it started, at the end of a test."""
        if self._process is None:
            return
        if self.running:
            self.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()

    def tail(self) -> str:
        """The end of each log, under its name."""
        shown = [f"--- {path}\n{read(path)[-TAIL:]}" for path in self.logs if read(path)]
        return "\n".join(shown)


def read(path) -> str:
    """A file's text, empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _die_with_us():
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []

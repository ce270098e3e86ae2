"""How long running sessions wait while hundreds of handshakes do."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peers import BenchError, popen, stop
from scenarios import Sample, Timing, Trips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peers import Running
    from scenarios import Scenario

CLIENTS = 500
QUIET, STORMY = Timing(warm=0.3, measured=1.0), Timing(warm=0.5, measured=2.0)
PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a storm did."""

    answers: int
    seconds: float


class Storm:
    """The program of `storm.c`, on some cores."""

    def __init__(self, program: str, cores: set[int], folder: str) -> None:
        self._program = program
        self._cores = cores
        self._folder = folder
        self.counted: Counted | None = None

    @contextlib.contextmanager
    def against(self, running: Running) -> Iterator[None]:
        """CLIENTS handshakes wait at any time, until the block ends."""
        hello = os.path.join(self._folder, "hello")
        with open(hello, "wb") as file:
            file.write(client_hello())
        log = os.path.join(self._folder, "storm.log")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(log)
        words = [self._program, str(running.port), str(CLIENTS), hello]
        process = popen(words, cores=self._cores, log=log, cwd=self._folder)
        start = time.monotonic()
        try:
            yield
        finally:
            stop(process)
        with open(log, encoding="utf-8") as file:
            said = file.read()
        found = re.search(r"^(\d+) answers$", said, re.MULTILINE)
        if found is None:
            raise BenchError(f"the storm has died\n{said}")
        self.counted = Counted(answers=int(found[1]), seconds=time.monotonic() - start)


def client_hello() -> bytes:
    """The first flight of a TLS 1.3 client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


def beside_storm(
    scenario: Scenario, running: Running, target: tuple[str, int], storm: Storm
) -> Sample:
    """Messages at the scenario's rate, before a storm and in it; its rate is the storm's."""
    with contextlib.closing(Trips(scenario, running, target)) as trips:
        quiet = trips.sample(QUIET)
        with storm.against(running):
            sample = trips.sample(STORMY)
    counted = storm.counted
    if counted is None or counted.answers < CLIENTS or sample.p99 is None or quiet.p99 is None:
        raise BenchError(f"{running.peer.name}: there was no storm")
    return Sample(
        rate=counted.answers / counted.seconds,
        quiet=quiet.p99,
        p50=sample.p50,
        p99=sample.p99,
        growth=sample.p99 - quiet.p99,
    )

"""tidegate beside nginx, HAProxy and a featureless C relay: `make bench`, `make bench-quick`.

All run on this machine's loopback, the proxy on one core, the load generator and the responder on
the other. The peers take turns, round by round, so that what else the machine does meets all of
them; what counts are the ratios within a round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import machine
import report
from certificates import Certificates
from peers import (
    DESCRIPTORS,
    NAMES,
    PATIENCE,
    BenchError,
    Peer,
    Running,
    find,
    free_port,
    popen,
    started,
    stop,
)
from scenarios import SCENARIOS, Sample, Timing, Trips, idle_memory, new_connections
from storm import Storm, beside_storm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenarios import Scenario

T = TypeVar("T")

HERE = Path(__file__).parent
FULL, QUICK = Timing(warm=0.5, measured=2.0), Timing(warm=0.2, measured=0.6)
ROUNDS, QUICK_ROUNDS = 5, 3
# Where the connections of all peers can stay open, turns are made as short as this, and more: the
# closer in time two peers are measured, the more alike is what else the machine does.
SHORTEST = 0.3
# With so many connections that they cannot, a round trip takes a good part of a second.
LONG = Timing(warm=1.0, measured=2.5)
# Workers of the instance whose memory beyond that of one is shared out.
MORE_WORKERS = 3
OPENSSL = ("-lssl", "-lcrypto")
# What a proxy has to be able to do before it is compared; another thing for some.
PLAIN = SCENARIOS[0]
PROBES = {"openssl": replace(PLAIN, tls="1.3")}


def main() -> int:
    """Measure, and write what was found; 1 where something could not be measured."""
    options = parse()
    scenarios = [
        scenario
        for scenario in SCENARIOS
        if (scenario.key in options.only if options.only else scenario.quick or not options.quick)
    ]
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = report.Results(machine=machine.describe())
    try:
        os.makedirs(options.out, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
            bench = Bench(folder, options, results, tls=any(one.tls for one in scenarios))
            for scenario in scenarios:
                bench.run(scenario)
    except KeyboardInterrupt:
        say("\ninterrupted; what was measured till then:")
    except (BenchError, OSError) as error:
        results.failures.append(str(error))
        say(f"bench: {error}")
    finally:
        # Also after a fault of ours: a quarter of an hour is not thrown away.
        if results.rows:
            print(report.text(results))
            for written in report.write(results, options.out):
                print(f"written: {written}")
    return 1 if results.failures else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer scenarios, under two minutes")
    parser.add_argument("--rounds", type=count, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="KEY",
        choices=[scenario.key for scenario in SCENARIOS],
        help="these scenarios: %(choices)s",
    )
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME", choices=NAMES, help="these proxies: %(choices)s"
    )
    parser.add_argument("--out", default="build/bench", help="folder of the results")
    return parser.parse_args()


def count(text: str) -> int:
    """A number of rounds."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'"{text}" is no number of rounds')
    return int(text)


class Bench:
    """The peers, the responder behind them, and what has been measured."""

    def __init__(
        self, folder: str, options: argparse.Namespace, results: report.Results, *, tls: bool
    ) -> None:
        """With `tls` there are scenarios with it."""
        cores = sorted(os.sched_getaffinity(0))
        self.folder = folder
        self.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
        self.timing = QUICK if options.quick else FULL
        # On a machine with one core only they share it.
        self.proxy_cores, self.load_cores = {cores[-1]}, {cores[0]}
        self.results = results
        self._targets = 0
        self.responder = build("responder", folder, *OPENSSL)
        terminator = None
        if tls:
            terminator = build("terminator", folder, *OPENSSL)
            self.storm = build("storm", folder)
            self.certificates = Certificates(folder)
        found, missing = find(build("relay", folder), terminator)
        wanted = options.peers or NAMES
        self.peers = self._working([peer for peer in found if peer.name in wanted], missing)
        for name in wanted:
            if name in missing and (options.peers or name == "tidegate"):
                raise BenchError(f"{name}: {missing[name]}")
            if name in missing:
                say(f"without {name}: {missing[name]}")
        results.peers = {peer.name: peer.version for peer in self.peers}
        results.roles = {peer.name: peer.role for peer in self.peers}
        results.rounds = self.rounds

    def _working(self, peers: list[Peer], missing: dict[str, str]) -> list[Peer]:
        """Those that relay; why the others do not goes to the `missing`."""
        working = []
        with self._responding() as port:
            for peer in peers:
                try:
                    with self._started(peer, self._target(port), PROBES.get(peer.name, PLAIN)):
                        working.append(peer)
                except BenchError as error:
                    missing[peer.name] = str(error)
        return working

    def run(self, scenario: Scenario) -> None:
        """All rounds of one scenario; a failure ends it, and not those that come after it."""
        samples: dict[str, list[Sample]] = {}
        begin = time.monotonic()
        measure = {
            "trips": self._trips,
            "connects": self._connects,
            "memory": self._memory,
            "start": self._start,
            "storm": self._storm,
        }[scenario.kind]
        os.sched_setaffinity(0, self.load_cores)
        try:
            with self._responding() as port:
                measure(scenario, port, samples)
        except BenchError as error:
            self.results.failures.append(f"{scenario.title}: {error}")
            say(f"bench: {scenario.title}: {error}")
        finally:
            os.sched_setaffinity(0, self.load_cores | self.proxy_cores)
            self.results.add(scenario, samples)
        say(f"{scenario.title}: {time.monotonic() - begin:.0f} s")

    def _trips(self, scenario: Scenario, port: int, samples: dict[str, list[Sample]]) -> None:
        """The proxies run through all rounds: an idle one takes no time."""
        with contextlib.ExitStack() as stack:
            opened: list[tuple[str, Callable[[], Trips]]] = []
            for peer in self._compared(scenario):
                target = self._target(port)
                running = stack.enter_context(self._started(peer, target, scenario))
                opened.append((peer.name, partial(Trips, scenario, running, target)))
            if not scenario.tls:
                opened.append(("direct", partial(Trips, scenario, None, ("127.0.0.1", port))))
            if scenario.connections * len(opened) < DESCRIPTORS // 2:
                held = [(name, stack.enter_context(closing(make()))) for name, make in opened]
                finer = max(int(self.timing.measured / SHORTEST), 1)
                timing = Timing(
                    warm=self.timing.warm / finer, measured=self.timing.measured / finer
                )
                for number in range(self.rounds * finer):
                    for name, trips in turned(held, number):
                        samples.setdefault(name, []).append(trips.sample(timing))
                return
            for number in range(self.rounds):
                for name, make in turned(opened, number):
                    with closing(make()) as trips:
                        samples.setdefault(name, []).append(trips.sample(LONG))

    def _connects(self, scenario: Scenario, port: int, samples: dict[str, list[Sample]]) -> None:
        """Each in a new instance with a new target: ports in TIME_WAIT are searched through."""
        for number in range(self.rounds * 2):
            for peer in turned(self._compared(scenario), number):
                target = self._target(port)
                with self._started(peer, target, scenario) as running:
                    sample = new_connections(scenario, running, target, self.timing)
                samples.setdefault(peer.name, []).append(sample)

    def _memory(self, scenario: Scenario, port: int, samples: dict[str, list[Sample]]) -> None:
        for number in range(self.rounds):
            for peer in turned(self._compared(scenario), number):
                target = self._target(port)
                with self._started(peer, target, scenario) as running:
                    memory = idle_memory(scenario, running, target)
                samples.setdefault(peer.name, []).append(Sample(memory=memory))

    def _start(self, scenario: Scenario, port: int, samples: dict[str, list[Sample]]) -> None:
        for number in range(self.rounds):
            for peer in turned(self._compared(scenario), number):
                if peer.role == "limit":
                    continue
                sample = Sample()
                for workers in (1, MORE_WORKERS):
                    some = replace(scenario, workers=workers)
                    with self._started(peer, self._target(port), some) as running:
                        machine.wait_quiet(running.pids)
                        memory = machine.private_bytes(running.pids)
                        if workers == 1:
                            sample = replace(sample, memory=memory, start=running.ready_after)
                        else:
                            more = (memory - (sample.memory or 0)) / (workers - 1)
                            sample = replace(sample, per_worker=more)
                samples.setdefault(peer.name, []).append(sample)

    def _storm(self, scenario: Scenario, port: int, samples: dict[str, list[Sample]]) -> None:
        """Each waits for its first message alone: a storm takes all of the core that they share."""
        for number in range(self.rounds):
            for peer in turned(self._compared(scenario), number):
                target = self._target(port)
                with self._started(peer, target, scenario) as running:
                    storm = Storm(self.storm, self.load_cores, self.folder)
                    sample = beside_storm(scenario, running, target, storm)
                samples.setdefault(peer.name, []).append(sample)

    def _compared(self, scenario: Scenario) -> list[Peer]:
        """The proxies of a scenario."""
        if scenario.reads != "mqtt":
            # The C relay knows no TLS, and what knows nothing else relays nothing.
            whole = scenario.tls and scenario.kind in {"connects", "memory"}
            limit = "openssl" if whole else "" if scenario.tls else "relay"
            return [peer for peer in self.peers if peer.role != "limit" or peer.name == limit]
        ours = [peer for peer in self.peers if peer.role == "ours"]
        plain = [replace(peer, name="plain", role="peer") for peer in ours]
        self.results.roles |= {peer.name: peer.role for peer in plain}
        return plain + ours

    def _started(
        self, peer: Peer, target: tuple[str, int], scenario: Scenario
    ) -> contextlib.AbstractContextManager[Running]:
        alone = scenario.workers == 1
        tls = None
        if scenario.tls:
            tls = self.certificates.terms(
                version=scenario.tls, signs=scenario.signs, mutual=scenario.mutual
            )
        cores = self.proxy_cores if alone else self.proxy_cores | self.load_cores
        return started(
            peer,
            folder=self.folder,
            target=target,
            cores=cores,
            workers=scenario.workers,
            reads=scenario.reads,
            tls=tls,
            websocket=scenario.websocket,
        )

    def _target(self, port: int) -> tuple[str, int]:
        """An address of the responder that nobody connected to before."""
        self._targets += 1
        return f"127.1.{self._targets // 250}.{self._targets % 250 + 1}", port

    @contextlib.contextmanager
    def _responding(self) -> Iterator[int]:
        port = free_port()
        log = os.path.join(self.folder, "responder.log")
        process = popen(
            [self.responder, str(port)], cores=self.load_cores, log=log, cwd=self.folder
        )
        try:
            wait_for_ready(process, log)
            yield port
        finally:
            stop(process)


def wait_for_ready(process: subprocess.Popen[bytes], log: str) -> None:
    """Wait until the responder says so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        text = Path(log).read_text(encoding="utf-8")
        if text.endswith("ready\n"):
            return
        if process.poll() is not None:
            raise BenchError(text)
        time.sleep(0.01)
    raise BenchError("the responder does not start")


def turned(items: list[T], by: int) -> list[T]:
    """The same, another one first."""
    by %= len(items)
    return items[by:] + items[:by]


def build(name: str, folder: str, *libraries: str) -> str:
    """Compile one of our C programs; its path."""
    program = os.path.join(folder, name)
    source = str(HERE / f"{name}.c")
    command = [os.environ.get("CC", "cc"), "-O2", "-o", program, source, *libraries]
    if shutil.which(command[0]) is None:
        raise BenchError(f'there is no C compiler "{command[0]}" (Debian: gcc; CC names another)')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"cannot compile {name}.c\n{done.stderr}")
    return program


def say(text: str) -> None:
    """Tell how it goes, beside the results."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""What the names of `server … resolve` mean: the master's half.

The control process asks (`dns_watch.py`); here is what it has found out so far, for models to be
filled with. A name that cannot be resolved keeps what it had, and the log tells of it once.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.config.model_names import Found, questions, with_answers
from tidegate.config.urls import LAST_PORT
from tidegate.dataclasses import dataclass
from tidegate.process.handover import sealed
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidegate.config.model import Model, Upstream
    from tidegate.config.model_names import Question
    from tidegate.observe.error_log import ErrorLog

# How long a start, or a reload that brings names, waits for what is not known yet. What is not
# there by then comes later.
FIRST_SECONDS = 5.0

# The control process reads what others sent it: it is not trusted to bound what it says.
MOST_FOUND = 1024
LONGEST_NAME = 255
MOST_WEIGHT = 4096  # of all together


@dataclass(slots=True, kw_only=True)
class Known:
    """A question by its number, and what is known; `at` and `failed_at` are seconds since 1970."""

    number: int
    asked: bool = False  # whether there was any outcome
    found: tuple[Found, ...] | None = None  # None: never resolved
    at: float = 0.0
    failure: str = ""
    failed_at: float = 0.0
    left_out: int = 0
    missing: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether nothing is known so far, not even that it fails."""
        return not self.asked and self.found is None


class Names:
    """The names of the model in force, and of one that may follow it.

    `ask` hands the orders to the control process, `changed` is told that a name means something
    else now.
    """

    ask: Callable[[], None]

    def __init__(self, log: ErrorLog, changed: Callable[[], None]) -> None:
        self._log = log
        self._changed = changed
        self._known: dict[Question, Known] = {}
        self._last = 0  # number given to a question
        self._outcome = asyncio.Event()
        self._stopped = False

    def want(self, model: Model) -> bool:
        """Begin to look after the names of a model, too; False where none was unknown."""
        new = [one for one in questions(model) if one not in self._known]
        for one in new:
            self._last += 1
            self._known[one] = Known(number=self._last)
            self._inherit(one)
        if new:
            self.ask()
        return bool(new)

    def _inherit(self, question: Question) -> None:
        """Begin with what another resolver, or the same with other settings, said of the name."""
        for one, known in self._known.items():
            if (one.host, one.service) == (question.host, question.service) and known.found:
                self._known[question].found, self._known[question].at = known.found, known.at
                return

    def settle(self, model: Model) -> None:
        """Look after the names of this model alone: it is the one in force."""
        wanted = set(questions(model))
        gone = self._known.keys() - wanted
        for one in gone:
            del self._known[one]
        if gone:
            self.ask()

    async def first(self, model: Model, *, seconds: float = FIRST_SECONDS) -> None:
        """Wait until something is known of each name of a model, good or bad, but not longer."""
        wanted = questions(model)

        def waiting() -> bool:
            return any(one in self._known and self._known[one].is_new for one in wanted)

        try:
            async with asyncio.timeout(seconds):
                while waiting() and not self._stopped:
                    self._outcome.clear()
                    await self._outcome.wait()
        except TimeoutError:
            pass

    def stop(self) -> None:
        """Ask for nothing any more, and let nobody wait any longer: no model follows."""
        self._stopped = True
        self._outcome.set()
        if self._known:
            self.ask()

    def filled(self, model: Model) -> Model:
        """The model with the peers of all names as they are known."""
        return with_answers(model, self._found)

    def _found(self, question: Question) -> tuple[Found, ...]:
        known = self._known.get(question)
        return () if known is None or known.found is None else known.found

    def orders(self) -> int | None:
        """All questions in a descriptor, which the caller closes; None without any."""
        if self._stopped or not self._known:
            return None
        data = [
            {
                "number": known.number,
                "host": one.host,
                "service": one.service,
                "servers": [(server.host, server.port) for server in one.resolver.servers],
                "ipv4": one.resolver.ipv4,
                "ipv6": one.resolver.ipv6,
                "valid": one.resolver.valid,
                "timeout": one.resolver.timeout_ms / 1000,
            }
            for one, known in self._known.items()
        ]
        return sealed("tidegate: names", json.dumps(data).encode())

    # What the control process says.

    def heard(self, body: Mapping[str, object]) -> None:
        """Take an outcome; raises TypeError or ValueError for what is none."""
        asked = {known.number: one for one, known in self._known.items()}
        question = asked.get(int(str(body.get("number"))))
        if question is None or self._stopped:
            return  # of a question that is no more
        known = self._known[question]
        failure, missing = str(body.get("failure", "")), _texts(body.get("missing"))
        if failure:
            self._failed(question, known, failure)
        else:
            found = _all_found(body.get("places"))
            self._resolved(question, known, found, left_out=int(str(body.get("left_out", 0))))
        for words in set(missing) - set(known.missing):
            what = f"{words} while resolving {question.text}"
            self._log.write(Level.ERROR, what)
        known.missing = missing
        known.asked = True
        self._outcome.set()

    def _failed(self, question: Question, known: Known, failure: str) -> None:
        if failure != known.failure:
            what = f"{question.text} could not be resolved {failure}"
            kept = len(known.found or ())
            if kept:
                what += f", its {kept} {_addresses(kept)} in use"
            self._log.write(Level.ERROR, what)
        if not known.failure:
            known.failed_at = time.time()
        known.failure = failure

    def _resolved(
        self, question: Question, known: Known, found: tuple[Found, ...], *, left_out: int
    ) -> None:
        if known.failure:
            self._log.write(Level.NOTICE, f"{question.text} is resolved again")
        if not found and (known.found or not known.asked or known.failure):
            self._log.write(Level.ERROR, f"{question.text} has no address")
        if left_out and not known.left_out:
            what = f"{question.text} has {len(found) + left_out} addresses"
            self._log.write(Level.WARN, f"{what}, the first {len(found)} are used")
        changed = found != (known.found or ())
        known.failure, known.failed_at, known.left_out = "", 0.0, left_out
        known.found, known.at = found, time.time()
        if changed:
            self._changed()

    def told(self, upstream: Upstream) -> list[dict[str, object]]:
        """The names of an upstream, for who asks; times are seconds since 1970, or None."""
        return [
            {
                "server": one.peer.name,
                "service": one.service,
                "addresses": len(self._found(one.question)),
                "resolved_at": known.at or None,
                "failure": known.failure or None,
                "failed_at": known.failed_at or None,
            }
            for one in upstream.moving
            if (known := self._known.get(one.question)) is not None
        ]


def _addresses(count: int) -> str:
    return "address stays" if count == 1 else "addresses stay"


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("no list of texts")
    return tuple(map(str, value[:MOST_FOUND]))


def _all_found(value: object) -> tuple[Found, ...]:
    if not isinstance(value, list) or len(value) > MOST_FOUND:
        raise ValueError("no list of addresses, or a long one")
    try:
        found = tuple(map(_found, value))
    except OverflowError as error:  # JSON has infinity
        raise ValueError(str(error)) from error
    if sum(one.weight for one in found) > MOST_WEIGHT:
        raise ValueError("weights that are too great")
    return found


def _found(value: object) -> Found:
    """One address of an answer; raises TypeError or ValueError where it can be none."""
    if not isinstance(value, list):
        raise TypeError("no address")
    host, port, weight, name, backup = value
    family = socket.AF_INET6 if ":" in str(host) else socket.AF_INET
    try:
        text = socket.inet_ntop(family, socket.inet_pton(family, str(host)))
    except OSError as error:
        raise ValueError(str(error)) from error
    port, weight, name = int(port), int(weight), str(name)
    if not 0 <= port <= LAST_PORT or weight < 0 or len(name) > LONGEST_NAME:
        raise ValueError("no place of a service")
    return Found(
        Address(family=family, host=text), port=port, weight=weight, name=name, backup=bool(backup)
    )

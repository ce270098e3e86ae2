"""How a configuration comes into force, or does not; workers and sockets are stand-ins."""

import asyncio
import errno
import os
import types
from weakref import ref

import pytest

from lab.descriptors import open_descriptors
from tidegate.config.load import load
from tidegate.process.channel import Message
from tidegate.process.generations import Generations
from tidegate.process.logs import paths_of
from tidegate.process.rollout import Opened
from tidegate.process.tables import Tables
from tidegate.process.tickets import Tickets
from tidegate.scoreboard.board import Board


class Worker:
    """A child that notes what it is sent."""

    def __init__(self, seat):
        self.seat = self.slot = seat
        self.pid = 1000 + seat
        self.leaving = False
        self.asked = self.ready = self.told = self.serving = self.left = 0
        self.sent = []
        self.channel = types.SimpleNamespace(send=self._send)

    def _send(self, kind, fds=None, **body):
        del fds
        self.sent.append((kind, body.get("generation")))


class Workers(list):
    """Stands in for the supervisor."""

    environment = None
    generations = None

    def start(self, seats):
        for seat in seats:
            self.append(Worker(seat))
            self.generations.born(self[-1])

    def close(self, seat):
        pass


class Stage:
    """Generations of two workers."""

    def __init__(self, folder):
        path = folder / "tidegate.conf"
        path.write_text("worker_processes 2; events {}\n")
        loaded = load(str(path), prefix=str(folder))
        assert loaded.model is not None, loaded.problems
        self.model = loaded.model
        self.tickets = Tickets()
        self.dropped = []
        openings = types.SimpleNamespace(
            sockets=types.SimpleNamespace(for_seat=lambda *_seat, **_seats: {}),
            logs=types.SimpleNamespace(fds=dict.fromkeys(paths_of(self.model), 2)),
            drop=self.dropped.append,
            keep=lambda *_what: None,
        )
        self.generations = Generations(
            self.model,
            board=Board.create(workers=8, upstreams=4, peers=4),
            openings=openings,
            tickets=self.tickets,
            log=types.SimpleNamespace(write=lambda *_line: None, reset=lambda *_logs: None),
            first=lambda: None,
            detached=False,
        )
        self.workers = self.generations.supervisor = Workers()
        self.workers.generations = self.generations
        self.generations.local = types.SimpleNamespace(
            path_for=lambda _model: "",
            settle=lambda *_what: None,
            spare=lambda _workers: None,
        )

    def put(self, tables=None):
        return self.generations.put(
            self.model, Opened(sockets=[], logs=[]), Tables() if tables is None else tables
        )

    def say(self, worker, kind, number):
        body = {"generation": number, "message": "no"}
        self.generations.heard(worker, Message(kind, body, {}))

    def say_all(self, number):
        for kind in ("ready", "committed"):
            for worker in self.workers:
                self.say(worker, kind, number)


@pytest.fixture
async def stage(tmp_path):
    made = Stage(tmp_path)
    made.generations.begin(Tables())
    made.say_all(1)
    assert made.generations.current.number == 1
    assert made.generations.rollout is None
    yield made
    made.generations.close()


async def test_a_failed_generation_leaves_no_answer_for_the_next_one(stage):
    first, second = stage.workers
    failed = stage.put()
    stage.say(second, "ready", 2)
    stage.say(first, "error", 2)
    assert "no" in failed.result()
    finished = stage.put()
    number = stage.generations.rollout.generation.number
    assert number == 3
    # What is late of the one before counts for nothing, whether it is good or bad.
    stage.say(second, "ready", 2)
    stage.say(second, "error", 2)
    stage.say(first, "ready", number)
    assert not stage.generations.rollout.committed
    stage.say_all(number)
    assert finished.result() is None
    assert stage.generations.current.number == number


async def test_the_tables_of_a_former_generation_are_let_go_of_as_it_is_replaced(stage):
    tables = Tables()
    gone = ref(tables)
    stage.put(tables)
    stage.say_all(2)
    del tables
    assert gone() is stage.generations.current.tables
    stage.put()
    assert gone() is not None
    stage.say_all(3)
    await asyncio.sleep(0)  # the watch for those who are late ends
    assert gone() is None


async def test_a_reload_without_descriptors_fails_and_the_next_one_works(stage, monkeypatch):
    calls = []

    def sealed(tickets, real=Tickets.sealed):
        calls.append(tickets)
        if len(calls) == 2:  # the first worker has been asked by then
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(tickets)

    before = open_descriptors()
    with monkeypatch.context() as short:
        short.setattr(Tickets, "sealed", sealed)
        finished = stage.put()
    assert os.strerror(errno.EMFILE) in finished.result()
    assert stage.generations.rollout is None
    assert len(stage.dropped) == 1
    assert open_descriptors() <= before
    assert stage.workers[0].sent[-2:] == [("prepare", 2), ("drop", 2)]
    finished = stage.put()
    stage.say_all(3)
    assert finished.result() is None

"""What the master makes of outcomes: peers of models, lines of the log."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from tidegate.config.load import load
from tidegate.process.names import Names

CONF = """
events {{}}
stream {{
  resolver 10.0.0.2 {options};
  upstream u {{ {servers} }}
  server {{ listen 1; proxy_pass u; }}
}}
"""


class Log:
    """Keeps lines instead of writing them."""

    def __init__(self):
        self.lines = []

    def write(self, _level, line):
        self.lines.append(line)


class Rig:
    """The master's half alone; `orders` are what the control process would be told."""

    def __init__(self, folder):
        self.folder = folder
        self.log = Log()
        self.changes = 0
        self.orders = []
        self.names = Names(self.log, self.changed)
        self.names.ask = self.ask

    def changed(self):
        self.changes += 1

    def ask(self):
        fd = self.names.orders()
        self.orders.append([] if fd is None else json.loads(os.pread(fd, 1 << 20, 0)))
        if fd is not None:
            os.close(fd)

    def model(self, *servers, options=""):
        text = " ".join(f"server {server} resolve;" for server in servers)
        file = self.folder / "n.conf"
        file.write_text(CONF.format(servers=text, options=options))
        loaded = load("n.conf", prefix=str(self.folder))
        assert loaded.first_error is None, loaded.first_error.headline
        return loaded.model

    def say(self, number=1, **outcome):
        self.names.heard({"number": number, "failure": "", "missing": [], "left_out": 0} | outcome)

    def found(self, *hosts, number=1):
        self.say(number, places=[[host, 0, 0, "", False] for host in hosts])

    def peers(self, model):
        (upstream,) = self.names.filled(model).stream.upstreams
        return [peer.address.text for peer in upstream.peers]


@pytest.fixture
def rig(tmp_path):
    return Rig(tmp_path)


def test_a_change_is_told_and_the_same_again_is_not(rig):
    model = rig.model("a.test:1")
    assert rig.names.want(model)
    assert not rig.names.want(model)
    rig.found("10.0.0.1")
    rig.found("10.0.0.1")
    assert rig.changes == 1
    assert rig.peers(model) == ["10.0.0.1:1"]
    rig.found("10.0.0.2")
    assert rig.changes == 2
    assert rig.log.lines == []


def test_orders_say_all_that_is_to_be_known(rig):
    rig.names.want(rig.model("a.test:1", "b.test service=mqtt", options="valid=3s ipv6=off"))
    (orders,) = rig.orders
    assert orders[1] == {
        "number": 2,
        "host": "b.test",
        "service": "mqtt",
        "servers": [["10.0.0.2", 53]],
        "ipv4": True,
        "ipv6": False,
        "valid": 3,
        "timeout": 30.0,
    }


def test_a_failure_is_told_when_it_begins_when_it_changes_and_when_it_ends(rig):
    model = rig.model("a.test:1")
    rig.names.want(model)
    rig.found("10.0.0.1")
    for failure in ("(2: Server failure)", "(2: Server failure)", "(110: Operation timed out)"):
        rig.say(failure=failure)
    assert rig.peers(model) == ["10.0.0.1:1"]
    rig.found("10.0.0.1")
    assert rig.log.lines == [
        "a.test could not be resolved (2: Server failure), its 1 address stays in use",
        "a.test could not be resolved (110: Operation timed out), its 1 address stays in use",
        "a.test is resolved again",
    ]
    assert rig.changes == 1


def test_a_service_and_what_it_lacks_are_named(rig):
    rig.names.want(rig.model("b.test service=mqtt"))
    rig.say(failure="(3: Host not found)")
    for _ in range(2):
        rig.say(places=[], missing=["x.test could not be resolved (2: Server failure)"])
    assert rig.log.lines == [
        "service mqtt of b.test could not be resolved (3: Host not found)",
        "service mqtt of b.test is resolved again",
        "service mqtt of b.test has no address",
        "x.test could not be resolved (2: Server failure) while resolving service mqtt of b.test",
    ]


def test_addresses_beyond_the_bound_are_told_once(rig):
    rig.names.want(rig.model("a.test:1"))
    for _ in range(2):
        rig.say(places=[["10.0.0.1", 0, 0, "", False]], left_out=9)
    assert rig.log.lines == ["a.test has 10 addresses, the first 1 are used"]


def test_a_name_whose_settings_change_begins_with_what_was_known(rig):
    rig.names.want(rig.model("a.test:1"))
    rig.found("10.0.0.1")
    other = rig.model("a.test:1", options="valid=9s")
    assert rig.names.want(other)
    assert rig.peers(other) == ["10.0.0.1:1"]
    (told,) = rig.names.told(other.stream.upstreams[0])
    assert told["resolved_at"] > 0


def test_names_that_are_gone_are_not_asked_for_any_more(rig):
    rig.names.want(rig.model("a.test:1", "b.test:1"))
    model = rig.model("b.test:1")
    rig.names.settle(model)
    assert [one["host"] for one in rig.orders[-1]] == ["b.test"]
    rig.found("10.0.0.1", number=1)
    assert rig.changes == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"number": "x"},
        {"number": 1, "missing": []},
        {"number": 1, "missing": [], "places": [["10.0.0.1"]]},
        {"number": 1, "missing": [], "places": [["10.0.0.256", 0, 0, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1\n", 0, 0, "", False]]},
        {"number": 1, "missing": [], "places": [["a.test", 0, 0, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", 65536, 0, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", -1, 0, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", 1, 1 << 40, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", 1, 1, "x" * 300, False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", float("inf"), 1, "", False]]},
        {"number": 1, "missing": [], "places": [["10.0.0.1", 1, 1000, "", False]] * 5},
        {"number": 1, "missing": [], "places": [["10.0.0.1", 0, 0, "", False]] * 5000},
        {"number": 1, "missing": {}, "places": []},
        {"number": 1, "missing": [], "places": [], "left_out": "many"},
    ],
)
def test_what_is_no_outcome_changes_nothing(rig, body):
    model = rig.model("a.test:1")
    rig.names.want(model)
    with pytest.raises((TypeError, ValueError)):
        rig.names.heard(body)
    assert rig.changes == 0
    assert rig.peers(model) == []


def test_a_stop_ends_the_questions(rig):
    model = rig.model("a.test:1")
    rig.names.want(model)
    rig.names.stop()
    assert rig.orders[-1] == []
    rig.found("10.0.0.1")
    assert rig.changes == 0


async def test_a_start_waits_for_every_first_outcome_good_or_bad(rig):
    model = rig.model("a.test:1", "b.test:1")
    rig.names.want(model)
    waiting = asyncio.ensure_future(rig.names.first(model, seconds=60))
    rig.found("10.0.0.1", number=1)
    await asyncio.sleep(0)
    assert not waiting.done()
    rig.say(2, failure="(2: Server failure)")
    await asyncio.wait_for(waiting, 5)


async def test_who_begins_with_what_was_known_does_not_wait(rig):
    rig.names.want(rig.model("a.test:1"))
    rig.found("10.0.0.1")
    other = rig.model("a.test:1", options="valid=9s")
    rig.names.want(other)
    await asyncio.wait_for(rig.names.first(other, seconds=60), 5)


async def test_a_start_waits_no_longer_than_so_long(rig):
    model = rig.model("a.test:1")
    rig.names.want(model)
    await asyncio.wait_for(rig.names.first(model, seconds=0.01), 5)


async def test_an_end_lets_nobody_wait(rig):
    model = rig.model("a.test:1")
    rig.names.want(model)
    waiting = asyncio.ensure_future(rig.names.first(model, seconds=60))
    await asyncio.sleep(0)
    rig.names.stop()
    await asyncio.wait_for(waiting, 5)


def test_only_who_asks_name_servers_imports_what_that_takes():
    modules = "tidegate.cli.main, tidegate.process.master, tidegate.process.child"
    modules += ", tidegate.process.worker, tidegate.http.runtime, tidegate.process.control_process"
    code = f"import sys, {modules}\nassert 'dns' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)

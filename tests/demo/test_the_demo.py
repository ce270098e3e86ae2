"""`tidegate demo` shows what it says, and leaves nothing behind, however it ends."""

import importlib.util
import os
import re
import signal
import stat
import sys

import pytest

from lab import proc
from lab.balancer import MODULES
from lab.process import Program
from lab.waiting import wait_until

needs_mosquitto = pytest.mark.needs("mosquitto")
NODE = re.compile(r"^(\d)\s+127\.0\.0\.1:(\d+)\s+(\d+|-)\s+(\d+|down)\s", re.MULTILINE)


class Demo(Program):
    """One run of the command, with a folder of its own for what it writes."""

    def __init__(self, folder, *options, path=None):
        self.mark = f"TMPDIR={folder}/tmp"
        os.mkdir(f"{folder}/tmp")
        super().__init__(
            [sys.executable, "-m", "tidegate.cli.main", "demo", *options],
            folder=str(folder),
            name="demo",
            env={
                "TMPDIR": f"{folder}/tmp",
                "PYTHONPATH": MODULES,
                **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {}),
            },
        )

    def assert_nothing_is_left(self):
        """No process (the workers are known by their listening socket alone), no file."""
        ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.output())}
        wait_until(lambda: proc.carrying(self.mark) == [], "all its processes have ended")
        wait_until(lambda: not any(map(proc.listening_inodes, ports)), "nobody listens any more")
        assert os.listdir(f"{self.folder}/tmp") == []

    def clean_up(self):
        """Kill whatever is left."""
        super().clean_up()
        for pid in proc.carrying(self.mark):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def demo(tmp_path):
    """Makes one run, and ends it."""
    made = []

    def make(*options, **more):
        made.append(Demo(tmp_path, *options, **more))
        return made[-1].start()

    yield make
    for run in made:
        run.clean_up()


@needs_mosquitto
def test_once_shows_4_3_3_and_messages_from_other_nodes(demo):
    run = demo("--once")
    assert run.wait(60) == 0, run.tail()
    shown = run.output()
    assert [count for *_, count in NODE.findall(shown)] == ["4", "3", "3"]
    assert "10 of 10 connected" in shown
    assert "each client got a message from a client on another node" in shown
    for _, port, _, _ in NODE.findall(shown):
        assert f"server 127.0.0.1:{port};" in shown  # the configuration that it prints
    run.assert_nothing_is_left()


@needs_mosquitto
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(demo, number):
    run = demo()
    run.wait_for_output("What to try")
    assert len(proc.carrying(run.mark)) >= 5  # the demo, three nodes, the master
    assert run.stop(number) == 128 + number
    run.assert_nothing_is_left()


@needs_mosquitto
def test_a_signal_in_the_middle_of_the_start_too(demo):
    run = demo()
    run.wait_until(lambda: len(proc.carrying(run.mark)) > 1, "the first node starts")
    assert run.stop(signal.SIGINT) == 128 + signal.SIGINT
    run.assert_nothing_is_left()


@needs_mosquitto
def test_a_killed_nodes_clients_come_back_on_the_others(demo):
    run = demo()
    run.wait_for_output("10 of 10 connected")
    victim = int(re.search(r"kill (\d+)", run.output())[1])
    os.kill(victim, signal.SIGKILL)
    run.wait_for_output("node 2 ")
    spread = re.compile(r"clients per node (\d+)/down/(\d+) \(10 of 10 connected\)")
    shared = run.wait_until(lambda: spread.search(run.output()), "all are back", timeout=30)
    assert int(shared[1]) + int(shared[2]) == 10
    run.wait_for_output("node 2 is back", timeout=60)
    run.stop(signal.SIGINT)
    run.assert_nothing_is_left()


def fake_mosquitto(folder, script):
    """A `mosquitto` that is found before the real one."""
    path = folder / "bin/mosquitto"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path.parent


@needs_mosquitto
def test_a_node_that_does_not_start_is_said_and_the_others_end(demo, tmp_path):
    path = fake_mosquitto(
        tmp_path,
        'case "$2" in *node3*) echo "no, not today"; exit 3;; esac; exec /usr/sbin/mosquitto "$@"',
    )
    run = demo("--once", path=path)
    assert run.wait(60) == 1
    assert "could not start" in run.output()
    assert "no, not today" in run.output()
    run.assert_nothing_is_left()


@needs_mosquitto
def test_a_balancer_that_ends_takes_the_demo_with_it(demo):
    run = demo()
    # Its workers have sessions then, which they would serve to their end.
    run.wait_for_output("10 of 10 connected")
    [balancer] = [pid for pid in proc.children(run.pid) if "tidegate.cli.main" in proc.command(pid)]
    os.kill(balancer, signal.SIGKILL)
    assert run.wait(30) == 1
    assert "the balancer ended" in run.output()
    run.assert_nothing_is_left()


def test_without_any_broker_it_says_what_to_install(monkeypatch):
    from click.testing import CliRunner  # noqa: PLC0415

    from tidegate.demo import nodes  # noqa: PLC0415
    from tidegate.demo.main import demo as command  # noqa: PLC0415

    monkeypatch.setattr(nodes, "find_mosquitto", lambda: None)
    monkeypatch.setattr(nodes, "has_amqtt", lambda: False)
    result = CliRunner().invoke(command, ["--once"])
    assert result.exit_code == 1
    assert "apt-get install mosquitto" in result.output
    assert "pip install 'tidegate[demo]'" in result.output


def test_embedded_brokers_serve_without_mosquitto(demo):
    if importlib.util.find_spec("amqtt") is None:
        required = os.environ.get("TIDEGATE_PEERS") == "required"
        (pytest.fail if required else pytest.skip)("needs amqtt: pip install '.[demo]'")
    run = demo("--once", "--embedded")
    assert run.wait(60) == 0, run.tail()
    assert [count for *_, count in NODE.findall(run.output())] == ["4", "3", "3"]
    assert "MQTT 5" in run.output()
    run.assert_nothing_is_left()

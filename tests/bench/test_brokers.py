"""Every verb against a real broker."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from lab.process import read

pytestmark = pytest.mark.needs("mosquitto")


@pytest.mark.parametrize("version", ["3.1", "3.1.1", "5"])
def test_connections_of_each_version_are_let_in_and_leave_in_order(lab, load, version):
    broker = lab.mosquitto()
    result = load("conn", broker.port, version=version, count=20, seconds=0.5)
    assert result.good
    assert result.counts["established"] == result.counts["open"] == 20
    assert result.times["connect"].total == result.times["CONNACK"].total == 20
    assert broker.clients() == [f"client-{number}" for number in range(1, 21)]
    broker.wait_until(lambda: read(broker.log).count("disconnected.") == 20, "all have left")
    assert "Client client-1 disconnected." in read(broker.log)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_messages_come_back_with_each_quality(lab, load, version, qos):
    broker = lab.mosquitto()
    result = load(
        "pingpong",
        broker.port,
        version=version,
        qos=qos,
        topic="back/%c",
        payload=b"x" * 100,
        limit=60,
    )
    assert result.good
    assert result.counts["sent"] == result.counts["received"] == result.counts["answered"] == 60
    assert result.times["round trip"].total == 60


@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledged_messages_are_timed(lab, load, qos):
    result = load("pub", lab.mosquitto().port, qos=qos, payload=b"x", limit=30)
    assert result.good
    assert result.times["acknowledgement"].total == 30


def test_a_large_message_comes_back_whole(lab, load):
    result = load("pingpong", lab.mosquitto().port, payload=b"x" * 1_000_000, limit=9)
    assert result.good
    assert result.counts["answered"] == 9
    assert result.counts["bytes_received"] > 9_000_000


def test_of_messages_that_are_not_acknowledged_none_is_lost_at_the_end(lab, bench):
    broker = lab.mosquitto()
    done = bench(
        "pub", "-p", broker.port, "-c", 2, "-s", "20m", "-L", 4, "-im", 0, "-i", 0, "--json"
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["counts"]["sent"] == 4
    broker.wait_until(lambda: read(broker.log).count("Received PUBLISH") == 4, "all have arrived")


def test_a_keep_alive_that_the_broker_names_is_kept(lab, load):
    # The least that mosquitto allows.
    broker = lab.mosquitto(extra="max_keepalive 10\n")
    result = load("conn", broker.port, count=2, keepalive=600, seconds=8.5)
    assert result.good
    assert read(broker.log).count("Received PINGREQ") == 2


def test_a_schedule_is_kept(lab, load):
    result = load("pub", lab.mosquitto().port, payload=b"x", messages_per_second=100, limit=50)
    assert result.counts["sent"] == 50
    assert result.seconds >= 49 / 100


def test_keep_alive_holds_a_silent_connection(lab, load):
    result = load("conn", lab.mosquitto().port, count=1, keepalive=1, seconds=3)
    assert result.good
    assert result.counts["open"] == 1


def test_reconnecting_goes_round(lab, load):
    broker = lab.mosquitto()
    result = load("conn", broker.port, count=2, reconnect=True, seconds=1)
    assert result.good
    assert result.counts["established"] > 4
    assert len(broker.clients()) >= result.counts["established"]


def test_what_pub_sends_sub_receives(lab, bench, command):
    broker = lab.mosquitto()
    sub = subprocess.Popen(
        [*command, "sub", "-p", str(broker.port), "-c", "2", "-t", "x/#", "-q", "1", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with sub:
        broker.wait_until(lambda: read(broker.log).count("Sending SUBACK") == 2, "both subscribe")
        done = bench(
            "pub", "-p", broker.port, "-c", 5, "-i", 1, "-t", "x/%i", "-q", 1, "-im", 0, "-L", 100
        )
        assert done.returncode == 0, done.stderr
        assert "100 sent" in done.stdout
        broker.wait_until(
            lambda: read(broker.log).count("Received PUBACK") >= 200, "all have arrived"
        )
        sub.send_signal(signal.SIGINT)
        result = json.loads(sub.communicate(timeout=20)[0])
    assert sub.returncode == 0
    assert result["counts"]["received"] == 200


def test_ctrl_c_prints_the_summary(lab, command):
    broker = lab.mosquitto()
    # Nothing but what the example of the help says, and where.
    program = lab.running([*command, "conn", "-c", "10", "-p", broker.port], name="bench")
    broker.wait_until(lambda: len(broker.clients()) == 10, "ten are connected")
    assert program.stop(signal.SIGINT) == 0
    assert "10 of 10 let in" in program.output()
    assert "CONNACK" in program.output()
    assert "errors       none" in program.output()
    ids = broker.clients()
    assert len({name.rpartition("-")[0] for name in ids}) == 1
    assert ids[0] != "tidegate-%i-1"

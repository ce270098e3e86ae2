"""The options, the exit status, and what is printed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import termios

import pytest

from tidegate.bench.checked import run_time
from tidegate.bench.codes import code_name
from tidegate.bench.options import Duration, Size
from tidegate.bench.plan import Plan
from tidegate.bench.report import duration, errors
from tidegate.bench.result import Beginning, Busy, Meter, Moment, Rates
from tidegate.bench.run import run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["conn", "-l", "ws", "--ca", "x.pem"], "--ca means nothing with -l ws"),
        (["conn", "-l", "ws", "--path", "mqtt"], "begins with /"),
        (["conn", "-l", "wss", "--path", "/a b"], "has no spaces"),
        (["pingpong", "-l", "ws", "--echo"], "--echo means nothing with -l ws"),
        (["conn", "--ca", "x.pem"], "--ca means nothing with -l mqtt"),
        (["conn", "--sni", "here"], "--sni means nothing with -l mqtt"),
        (["conn", "--tls-version", "1.3"], "--tls-version means nothing with -l mqtt"),
        (["conn", "-l", "mqtts", "--tls-version", "1.1"], "1.1"),
        (["conn", "-l", "mqtts", "--cert", "x.pem"], "--cert and --key go together"),
        (["conn", "-l", "mqtts", "--insecure", "--ca", "x"], "--ca means nothing with --insecure"),
        (["conn", "-l", "mqtts", "--alpn", ""], "1 to 255 bytes"),
        (["conn", "-l", "mqtts", "--path", "/"], "--path means nothing with -l mqtts"),
        (["pub", "-t", ""], "a topic has one character"),
        (["pub", "-t", "a/#"], "no + and no #"),
        (["pingpong", "-c", "1", "-t", "a/+"], "no + and no #"),
        (["sub", "-t", "a/#/b"], "# for all levels at the end"),
        (["sub", "-t", "a+/b"], "+ stands for a whole level"),
        (["conn", "-V", "3.1.1", "-P", "x"], "-P without -u"),
        (["conn", "--timeout", "99999999999"], "24h at most"),
        (["conn", "--timeout", "0"], "nothing would be in time"),
        (["conn", "--rate", "nan"], '"nan" is no number'),
        (["conn", "--rate", "inf"], "inf"),
        (["conn", "-i", "nan"], '"nan" is no number'),
        (["pub", "-im", "nan"], '"nan" is no number'),
        (["pub", "-L", str(10**30)], "-L"),
        (["pingpong", "-t", "one"], "put %i or %c into it"),
        (["pub", "-s", "many"], '"many" is no size'),
        (["pub", "-s", "300m"], "below 256 MB"),
        (["conn", "--for", "soon"], '"soon" is no time'),
        (["conn", "-V", "6"], "6"),
        (["conn", "-c", "0"], "0"),
        (["pub", "-q", "3"], "3"),
        (["loop"], "loop"),
    ],
)
def test_wrong_options_are_named_and_end_with_2(bench, words, said):
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "--help`" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-h", "no.such.host.invalid"], 'cannot resolve "no.such.host.invalid"'),
        (["-h", "127.0.0.1", "--source", "::1"], '"127.0.0.1" has no IPv6 address'),
        (
            ["--source", "::1", "--source", "127.0.0.2"],
            "IPv4 and IPv6 addresses do not go together",
        ),
        (["--source", "here"], '"here" is no address'),
        (["-h", "fe80::1%nowhere"], 'cannot resolve "fe80::1%nowhere"'),
        (["-c", "9000000"], "descriptors"),
        (["-c", "1", "-I", "x" * 70_000], "too long"),
    ],
)
def test_what_cannot_be_done_is_said_and_ends_with_1(bench, words, said):
    done = bench("conn", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_long_for_h_is_the_host(bench):
    done = bench("conn", "--help")
    assert done.returncode == 0
    assert "-h, --host" in done.stdout
    assert "Example: tidegate bench conn -c 10" in done.stdout


def test_an_end_with_errors_has_status_1_and_names_them(bench, lab):
    done = bench("conn", "-h", "127.0.0.1", "-p", lab.ports.free(), "-c", 2)
    assert done.returncode == 1
    assert "errors       refused 2" in done.stdout


def test_json_holds_all_that_was_counted(bench, lab):
    done = bench(
        "pingpong", "-h", "127.0.0.1", "-p", lab.node().port, "--echo", "-c", 2, "-i", 0,
        "-s", "1k", "-L", 20, "--rate", 50, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["counts"]["answered"] == result["times"]["round_trip"]["count"] == 20
    times = result["times"]["round_trip"]
    assert 0 < times["min"] <= times["p50"] <= times["p99.9"] <= times["max"] < 20
    assert result["counts"]["bytes_sent"] == 20 * 1024
    assert result["errors"] == {}
    assert result["generator"]["ran"] > 0


def test_without_a_terminal_a_line_comes_every_second(bench, lab):
    done = bench("pingpong", "-h", "127.0.0.1", "-p", lab.node().port, "--echo", "-c", 1,
                 "--rate", 50, "--for", "2.8s")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["1s", "2s"]
    for line in lines:
        assert re.search(r"conns 1/1 .* round trip p50 .* p99 .* own CPU \d+%", line), line


def test_a_line_tells_of_its_second_alone(lab, capfd):
    """The first answers are slow, those of a later second are not."""
    late = iter([1.3])

    async def slow_once(session):
        while data := await session.recv():
            await asyncio.sleep(next(late, 0))
            await session.send(data)

    plan = Plan(job="pingpong", host="127.0.0.1", port=lab.node(slow_once).port, echo=True,
                payload=b"x", count=1, client_id="", seconds=3.5)  # fmt: skip
    result = run(plan)
    assert result.times["round trip"].most > 1e9
    last = capfd.readouterr().err.splitlines()[-1]
    assert re.search(r"p99 \S+ [µm]s", last), last


def test_on_a_terminal_the_line_is_written_over_and_fits(command, lab):
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, 40))
    words = ["pingpong", "-h", "127.0.0.1", "-p", str(lab.node().port), "--echo", "-c", "1",
             "--rate", "20", "--for", "2.5s"]  # fmt: skip
    with subprocess.Popen(
        [*command, *words], stderr=follower, stdout=subprocess.DEVNULL
    ) as process:
        os.close(follower)
        assert process.wait(30) == 0
    written = os.read(leader, 65536).decode()
    os.close(leader)
    lines = written.split("\r\x1b[K")[1:]
    assert len(lines) >= 3
    assert lines[0].startswith("1s  conns 1/1")
    assert max(map(len, lines)) == 39
    assert lines[-1] == ""


def test_a_run_too_short_to_tell_says_nothing_of_the_generator(bench, lab):
    done = bench("pingpong", "-h", "127.0.0.1", "-p", lab.node().port, "--echo", "-c", 1, "-L", 5)
    assert done.returncode == 0, done.stderr
    assert "5 sent" in done.stdout
    assert "generator" not in done.stdout
    assert "the limit" not in done.stdout


def test_shares_of_a_core_are_never_more_than_one(monkeypatch):
    readings = iter([(0, 0, 0), (10**8, 10**9, 10**9), (2 * 10**8, 10**9 + 10**6, 10**9)])
    monkeypatch.setattr(Meter, "_read", lambda _: next(readings))
    meter = Meter()
    assert meter.read() == Busy(ran=1.0, waited=0.0)
    assert meter.read() == Busy(ran=0.01, waited=0.0)


def test_what_cannot_be_written_is_said(command, lab):
    words = ["pingpong", "-h", "127.0.0.1", "-p", str(lab.node().port), "--echo", "-c", "1",
             "-L", "1"]  # fmt: skip
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*command, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "tidegate: cannot write the result: No space left on device\n"


def test_clients_of_one_name_are_numbered(bench, lab):
    node = lab.node()
    bench("conn", "-h", "127.0.0.1", "-p", node.port, "-c", 2, "-I", "meter", "--for", "0.5s")
    assert {bytes(session.received)[-7:] for session in node.sessions} == {b"meter_1", b"meter_2"}


def test_topics_may_hold_number_client_id_and_user():
    plan = Plan(job="pub", count=2, client_id="c%i", username="u%i", topic="%u/%c/%i")
    assert [client.topic for client in plan.clients()] == ["u1/c1/1", "u2/c2/2"]


class Counted:
    """A generator that has counted."""

    def __init__(self, *, settled, **counts):
        self.settled = settled
        self._counts = {"established": 0, "returned": 0, "sent": 0, "received": 0} | counts

    def counts(self):
        return self._counts


def end_of(generator, time):
    return Moment(time=time, counts=generator.counts())


def test_rates_are_those_of_the_time_in_which_it_went_on():
    beginning = Beginning()
    beginning.look(1.0, Counted(settled=False))
    beginning.look(2.0, Counted(settled=False, established=5, sent=10))
    never_all = beginning.rates(0.5, end_of(Counted(settled=False, established=9, sent=40), 5.0))
    assert never_all == Rates(connects=18, sent=10, received=0, since="first up")
    beginning.look(3.0, Counted(settled=True, established=10, sent=30))
    beginning.look(4.0, Counted(settled=True, established=12, returned=2, sent=50))
    end = end_of(Counted(settled=True, established=12, returned=2, sent=90, received=6), 6.0)
    assert beginning.rates(0.5, end) == Rates(connects=20, sent=20, received=2, since="all up")


def test_of_a_moment_there_are_no_rates():
    beginning = Beginning()
    beginning.look(1.0, Counted(settled=True, established=1))
    end = end_of(Counted(settled=True, established=1, sent=1000), 1.05)
    assert beginning.rates(0.001, end) == Rates(
        connects=None, sent=None, received=None, since="all up"
    )


@pytest.mark.parametrize(
    ("rate", "interval", "seconds"),
    [(None, 10, 31), (50, 10, 32), (None, 0, 30), (10_000, 10, 30.01)],
)
def test_a_run_goes_on_after_the_last_connect(rate, interval, seconds):
    assert run_time(None, {"count": 100, "interval": interval}, rate=rate) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("packet", "code", "version", "name"),
    [
        ("CONNACK", 0x87, "5", "0x87 not authorized"),
        ("CONNACK", 5, "3.1.1", "0x05 not authorized"),
        ("CONNACK", 5, "5", "0x05"),
        ("SUBACK", 0x80, "3.1.1", "0x80 failure"),
        ("SUBACK", 0x9E, "5", "0x9e shared subscriptions not supported"),
        ("PUBACK", 0x91, "5", "0x91 packet identifier in use"),
        ("DISCONNECT", 0, "5", "0x00 normal disconnection"),
    ],
)
def test_codes_have_names(packet, code, version, name):
    assert code_name(packet, code, version=version) == name


def test_codes_stand_behind_their_class():
    faults = {"refused": 1, "rejected by CONNACK": 2}
    codes = {"CONNACK": {0x87: 2}, "SUBACK": {0x80: 9}}
    assert errors(faults, codes, {}, version="5") == (
        "refused 1, rejected by CONNACK 2 (0x87 not authorized: 2)"
    )


def test_reasons_of_tls_stand_behind_their_class():
    faults = {"reset": 1, "TLS failed": 3}
    assert errors(faults, {}, {"TLS failed": {"it does not speak TLS": 3}}, version="5") == (
        "reset 1, TLS failed 3 (it does not speak TLS: 3)"
    )


def test_a_password_may_stand_in_the_environment(bench, lab):
    node = lab.node()
    bench("conn", "-h", "127.0.0.1", "-p", node.port, "-c", 1, "-u", "me-%i", "--for", "1s",
          TIDEGATE_BENCH_PASSWORD="secret")  # fmt: skip
    assert b"\x00\x04me-1\x00\x06secret" in node.sessions[0].received


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("500ms", 0.5), ("1.5s", 1.5), ("2m", 120), ("1h", 3600)],
)
def test_times_have_units(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("64", 64), ("100B", 100), ("64k", 65536), ("1MB", 2**20)]
)
def test_sizes_have_units(text, size):
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 µs"),
        (1_500, "1.5 µs"),
        (999_400, "999 µs"),
        (999_700, "1 ms"),
        (12_345_678, "12.3 ms"),
        (999_900_000, "1 s"),
        (61_000_000_000, "61 s"),
    ],
)
def test_durations_have_three_digits(nanoseconds, text):
    assert duration(nanoseconds) == text

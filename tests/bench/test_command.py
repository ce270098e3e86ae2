"""The options, the exit status, and what is printed."""

from __future__ import annotations

import json

import pytest

from tidegate.bench.options import Duration, Size
from tidegate.bench.report import duration


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["conn", "-l", "wss"], "-l wss does not work yet"),
        (["conn", "--ca", "x.pem"], "--ca means nothing with -l mqtt"),
        (["conn", "-c", "2", "-I", "fixed"], "put %i into it"),
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
        (["-h", "127.0.0.1", "--source", "::1"], "--source"),
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
        "-s", "1k", "-L", 20, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["counts"]["answered"] == result["times"]["round_trip"]["count"] == 20
    times = result["times"]["round_trip"]
    assert 0 < times["min"] <= times["p50"] <= times["p99.9"] <= times["max"] < 20
    assert result["counts"]["bytes_sent"] == 20 * 1024
    assert result["errors"] == {}
    assert result["generator"]["ran"] > 0


def test_without_a_terminal_a_line_comes_every_five_seconds(bench, lab):
    done = bench("pingpong", "-h", "127.0.0.1", "-p", lab.node().port, "--echo", "-c", 1,
                 "--rate", 50, "--for", "5.5s")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("5s  conns 1/1 +")
    assert "p50" in line
    assert "p99" in line


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

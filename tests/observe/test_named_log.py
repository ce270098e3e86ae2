"""Access logs with variables in their path: one file for each value, in one folder."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate.config.model import OpenLogFiles
from tidegate.observe.named_log import NamedLog


@pytest.fixture
def told():
    return []


@pytest.fixture
def made(tmp_path, told):
    """Makes a log of files in a folder of its own."""
    logs = []
    (tmp_path / "logs").mkdir()

    def make(cache=None):
        folder = f"{tmp_path}/logs/"
        log = NamedLog(f"{folder}$x.log", folder=folder, cache=cache, told=told.append)
        logs.append(log)
        return lambda name, line: log.write(f"{folder}{name}.log", line)

    yield make
    for log in logs:
        log.close()


def open_logs(folder):
    """The names of our open files in a folder."""
    paths = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sorted(os.path.basename(one) for one in paths if one.startswith(f"{folder}/logs/"))


def test_each_value_has_its_file(made, told, tmp_path):
    write = made()
    for name, line in (("a", "1"), ("b", "2"), ("a", "3")):
        write(name, line)
    assert (tmp_path / "logs/a.log").read_text() == "1\n3\n"
    assert (tmp_path / "logs/b.log").read_text() == "2\n"
    assert open_logs(tmp_path) == []
    assert told == []


def test_open_log_file_cache_keeps_files_open(made, tmp_path):
    write = made(OpenLogFiles(limit=2, inactive=60, min_uses=1, valid=60))
    for name in "abac":
        write(name, "x")
    assert open_logs(tmp_path) == ["a.log", "c.log"]
    os.rename(tmp_path / "logs/a.log", tmp_path / "logs/a.log.1")
    write("a", "y")
    assert (tmp_path / "logs/a.log.1").read_text() == "x\nx\ny\n"


def test_a_file_that_was_renamed_is_opened_anew_once_it_is_looked_for(made, tmp_path):
    write = made(OpenLogFiles(limit=2, inactive=60, min_uses=1, valid=0))
    write("a", "x")
    os.rename(tmp_path / "logs/a.log", tmp_path / "logs/a.log.1")
    write("a", "y")
    assert (tmp_path / "logs/a.log").read_text() == "y\n"


def test_a_file_stays_open_from_min_uses_on(made, tmp_path):
    write = made(OpenLogFiles(limit=2, inactive=60, min_uses=2, valid=60))
    write("a", "x")
    assert open_logs(tmp_path) == []
    write("a", "x")
    assert open_logs(tmp_path) == ["a.log"]


def test_a_file_that_nobody_needed_for_long_is_closed(made, tmp_path):
    write = made(OpenLogFiles(limit=9, inactive=0, min_uses=1, valid=60))
    write("a", "x")
    write("b", "x")
    assert open_logs(tmp_path) == ["b.log"]


def test_a_folder_that_is_missing_costs_the_line_and_is_told_once(made, told):
    write = made()
    write("gone/a", "x")
    write("gone/b", "x")
    assert len(told) == 1
    assert told[0].endswith('gone/a.log" failed (2: No such file or directory), lines are lost')


@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "a\x00", "a\nb", "\x1b[2J", "/../../out"]
)
def test_a_client_cannot_lead_a_line_elsewhere(made, told, tmp_path, name):
    made()(name, "x")
    assert [entry.name for entry in tmp_path.rglob("*.log")] == []
    assert len(told) == 1
    assert told[0].isprintable()
    assert "failed (22: what the client sent leads elsewhere)" in told[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.sampled_from("./a-\\\n\x00é~"), max_size=12))
def test_no_name_leaves_the_folder(tmp_path, name):
    folder = tmp_path / "logs"
    folder.mkdir(exist_ok=True)
    log = NamedLog("x", folder=f"{folder}/", cache=None, told=lambda _what: None)
    log.write(f"{folder}/{name}", "line")
    assert [entry for entry in tmp_path.iterdir() if entry != folder] == []

import logging
import os
import re
import subprocess
import sys

import pytest

from lab.balancer import MODULES
from tidegate.config import model
from tidegate.config.model import Level
from tidegate.observe.error_log import MAX_LINE, ErrorLog, LogHandler, escape

LINE = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[error\] (\d+)#\1: \*4711 upstream timed out\n"


@pytest.fixture
def opened(tmp_path):
    """Opens files by name and gives their descriptors by path."""
    fds = {}

    def open_files(*names):
        for name in names:
            path = str(tmp_path / name)
            fds[path] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        return fds

    yield open_files
    for fd in fds.values():
        os.close(fd)


@pytest.fixture
def one(opened):
    """One log at `info`, and a function that reads it."""
    fds = opened("error.log")
    (path,) = fds
    return ErrorLog([model.ErrorLog(path=path, level=Level.INFO)], fds), lambda: read(path)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_a_line_is_nginxs(one):
    log, text = one
    log.write(Level.ERROR, "upstream timed out", connection=4711)
    assert re.fullmatch(LINE, text())


def test_a_line_below_the_threshold_is_not_written(one):
    log, text = one
    log.write(Level.DEBUG, "x")
    assert not log.enabled(Level.DEBUG)
    assert log.enabled(Level.INFO)
    assert text() == ""


def test_each_log_has_its_own_threshold(opened):
    fds = opened("all", "bad")
    everything, bad = fds
    log = ErrorLog(
        [
            model.ErrorLog(path=everything, level=Level.INFO),
            model.ErrorLog(path=bad, level=Level.CRIT),
        ],
        fds,
    )
    log.write(Level.WARN, "first")
    log.write(Level.EMERG, "second")
    assert re.findall(r"first|second", read(everything)) == ["first", "second"]
    assert re.findall(r"first|second", read(bad)) == ["second"]


def test_stderr_is_a_log_like_others(capfd):
    ErrorLog([model.ErrorLog(path=None, level=Level.ERROR)], {}).write(Level.ALERT, "boom")
    assert capfd.readouterr().err.endswith(": boom\n")


def test_without_logs_nothing_is_enabled():
    log = ErrorLog([], {})
    log.write(Level.EMERG, "x")
    assert not log.enabled(Level.EMERG)


def test_reopening_changes_the_file(one, tmp_path):
    log, text = one
    path = tmp_path / "new.log"
    new = os.open(path, os.O_WRONLY | os.O_CREAT)
    log.reopen({str(tmp_path / "error.log"): new})
    log.write(Level.ERROR, "to the new one")
    os.close(new)
    assert "to the new one" in path.read_text()
    assert text() == ""


def test_what_a_client_sent_cannot_begin_a_line_or_command_a_terminal(one):
    log, text = one
    log.write(Level.ERROR, 'clientid: "\x1b[2J\n2026/11/22 [emerg] 1#1: fooled\x9b\udcff\x7f"')
    assert text().count("\n") == 1
    assert r'"\x1B[2J\x0A2026/11/22 [emerg] 1#1: fooled\xC2\x9B\xFF\x7F"' in text()


def test_readable_text_of_any_language_stays(one):
    log, text = one
    log.write(Level.ERROR, 'clientid: "Gerät-测试"')
    assert 'clientid: "Gerät-测试"' in text()
    assert escape("Gerät-测试") == "Gerät-测试"


def test_a_line_has_a_bound(one):
    log, text = one
    log.write(Level.ERROR, "x" * 100_000)
    assert len(text()) == MAX_LINE
    assert text().endswith("x\n")


def test_a_full_disk_stops_nobody():
    fd = os.open("/dev/full", os.O_WRONLY)
    log = ErrorLog([model.ErrorLog(path="/dev/full", level=Level.INFO)], {"/dev/full": fd})
    log.write(Level.ERROR, "lost")
    os.close(fd)


def test_lines_that_a_pipe_does_not_take_are_counted_in_the_log_itself():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    log = ErrorLog([model.ErrorLog(path="/p", level=Level.INFO)], {"/p": writing})
    for _ in range(100):
        log.write(Level.ERROR, "x" * 2000)
    whole = os.read(reading, 1 << 20).count(b"\n")
    log.write(Level.ERROR, "again")
    first, second = os.read(reading, 1 << 20).splitlines()
    assert first.endswith(f": {100 - whole} lines of this log were lost".encode())
    assert b"[alert]" in first
    assert second.endswith(b": again")
    os.close(reading)
    os.close(writing)


def test_a_closed_stderr_stops_nobody():
    command = (
        "from tidegate.config import model;"
        "from tidegate.observe.error_log import ErrorLog;"
        "log = ErrorLog([model.ErrorLog(path=None, level=model.Level.INFO)], {});"
        "log.write(model.Level.ERROR, 'x'); print('alive')"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, command],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": MODULES},
        check=True,
    )
    assert done.stdout == b"alive\n"


def test_a_traceback_is_logged_line_by_line(one):
    log, text = one
    logger = logging.getLogger("test_a_traceback")
    handler = LogHandler(log)
    logger.addHandler(handler)
    try:
        int("bad value")
    except ValueError:
        logger.exception("failed")
    logger.removeHandler(handler)
    lines = text().splitlines()
    assert len(lines) > 3
    assert all("[error]" in line for line in lines)
    assert lines[0].endswith(": failed")
    assert lines[-1].endswith("'bad value'")


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (logging.DEBUG, None),
        (logging.INFO, "info"),
        (logging.WARNING, "warn"),
        (logging.ERROR, "error"),
        (logging.CRITICAL, "alert"),
    ],
)
def test_levels_of_logging_become_levels_of_nginx(one, number, word):
    log, text = one
    record = logging.LogRecord("somebody", number, __file__, 1, "said", None, None)
    LogHandler(log).handle(record)
    assert (f"[{word}]" in text()) is (word is not None)

"""USR1: logs that were renamed go on under their old names."""

import os

import pytest

from lab.process import read
from lab.waiting import wait_until


def sessions(instance, name):
    path = os.path.join(instance.folder, name)
    return len(read(path).splitlines())


def test_logs_that_were_rotated_are_begun_anew(instance):
    instance.start()
    instance.connect().close()
    wait_until(lambda: sessions(instance, "access.log") == 1, "a session is logged")
    for name in ("access.log", "error.log"):
        path = os.path.join(instance.folder, name)
        os.rename(path, f"{path}.1")
    assert instance.run("reopen").returncode == 0
    before = os.path.join(instance.folder, "error.log.1")
    wait_until(lambda: read(before).count(": reopening logs") == 2, "both workers reopen")
    instance.connect().close()
    wait_until(lambda: sessions(instance, "access.log") == 1, "a session is logged anew")
    assert sessions(instance, "access.log.1") == 1
    instance.run("-s", "stop")
    instance.wait_for("exited with code 0")
    assert "exited" not in read(before)


def test_a_log_that_cannot_be_reopened_stays_as_it_was(instance):
    instance.start()
    access = os.path.join(instance.folder, "access.log")
    os.rename(access, f"{access}.1")
    os.mkdir(access)
    assert instance.run("-s", "reopen").returncode == 0
    instance.wait_for(f'open() "{access}" failed (21: Is a directory)')
    instance.connect().close()
    wait_until(lambda: sessions(instance, "access.log.1") == 1, "the old file is written")


def test_sessions_do_not_notice(instance):
    instance.start()
    with instance.connect() as client:
        assert instance.run("-s", "reopen").returncode == 0
        instance.wait_for("reopening logs")
        instance.talk(client)


@pytest.mark.parametrize("target", ["stderr", "/dev/stderr"])
def test_a_log_on_stderr_survives(instance, target):
    instance.configure(main=f"error_log {target} notice;", daemon="off")
    with instance.in_front() as process:
        seen = ""
        while seen.count("start worker process ") < 2:
            seen += process.stdout.readline()
        wait_until(instance.accepts, "it accepts")
        assert instance.run("-s", "reopen").returncode == 0
        while seen.count("[notice]") < 1 or seen.count("reopening logs") < 3:
            seen += process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0

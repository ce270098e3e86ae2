import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from lab.process import read
from lab.waiting import wait_until
from tidegate.process import pidfile
from tidegate.process.errors import StartError
from tidegate.process.pidfile import PidFile

HOLDER = """
import sys, time
from tidegate.process.pidfile import PidFile
held = PidFile.claim(sys.argv[1])
if "retired" in sys.argv:
    held.retire()
print("held", flush=True)
sys.stdin.read()
if "release" in sys.argv:
    held.release()
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "tidegate.pid")


@pytest.fixture
def holder(path):
    """Starts a process that holds the pid file until its stdin ends."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, path, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def bystander():
    process = subprocess.Popen(["sleep", "60"])
    # Until then it is a copy of this program.
    wait_until(lambda: read(f"/proc/{process.pid}/comm") == "sleep\n", "is another program")
    yield process
    process.kill()
    process.wait()


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def content(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def test_the_file_holds_the_number_as_scripts_read_it(path):
    held = PidFile.claim(path)
    shell = subprocess.run(
        ["sh", "-c", f'echo "<$(cat {path})>"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == f"<{os.getpid()}>\n"
    held.release()
    assert not os.path.exists(path)


def test_a_second_start_is_told_who_runs(path, holder, monkeypatch):
    monkeypatch.setattr(pidfile, "PATIENCE_SECONDS", 0.1)
    process = holder()
    with pytest.raises(StartError, match=f"already running as process {process.pid}"):
        PidFile.claim(path)
    assert int(content(path)) == process.pid


def test_a_start_waits_for_a_stop_that_is_under_way(path, holder):
    process = holder("release")
    process.stdin.close()
    PidFile.claim(path).release()
    assert process.wait() == 0


def test_a_retired_master_lets_a_new_one_in_and_leaves_its_file_alone(path, holder):
    process = holder("retired", "release")
    held = PidFile.claim(path)
    process.stdin.close()
    assert process.wait() == 0
    assert int(content(path)) == os.getpid()
    held.release()


def test_a_retired_master_can_still_be_signalled(path, holder):
    process = holder("retired")
    pidfile.send_signal(path, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM


def test_a_killed_masters_file_is_replaced_whoever_has_its_number_now(path, holder, bystander):
    process = holder()
    process.kill()
    process.wait()
    # The same bytes as ours, but the number was given away since.
    write(path, content(path).replace(str(process.pid), str(bystander.pid)))
    held = PidFile.claim(path)
    assert int(content(path)) == os.getpid()
    held.release()


def test_a_dead_programs_file_is_replaced(path, bystander):
    bystander.kill()
    bystander.wait()
    write(path, f"{bystander.pid}\n")
    PidFile.claim(path).release()


@pytest.mark.parametrize("text", ["", "\n", "none\n", "99999999999999999999\n", "-1\n"])
def test_a_file_that_names_nobody_is_replaced(path, text):
    write(path, text)
    PidFile.claim(path).release()


def test_the_file_of_another_living_program_is_neither_replaced_nor_signalled(path, bystander):
    write(path, f"{bystander.pid}\n")
    with pytest.raises(StartError, match=rf"process {bystander.pid} \(sleep\), which is not"):
        PidFile.claim(path)
    with pytest.raises(StartError, match="is not a tidegate master; nothing was signalled"):
        pidfile.send_signal(path, signal.SIGTERM)
    assert content(path) == f"{bystander.pid}\n"
    assert bystander.poll() is None


def test_a_program_that_locks_its_own_pid_file_whole_is_not_ours(path):
    code = (
        "import fcntl, os, sys, time\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print(os.getpid(), file=file, flush=True)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StartError, match="is not a tidegate master"):
            pidfile.send_signal(path, signal.SIGTERM)
        assert process.poll() is None
    finally:
        with process:
            process.kill()


def test_of_two_starts_at_once_one_goes_on(path, tmp_path):
    go = tmp_path / "go"
    code = (
        "import os, sys, time\n"
        "from tidegate.process import pidfile\n"
        "pidfile.PATIENCE_SECONDS = 0\n"
        "print('up', flush=True)\n"
        f"while not os.path.exists({str(go)!r}): pass\n"
        "pidfile.PidFile.claim(sys.argv[1])\n"
        "print('won', flush=True)\n"
        "sys.stdin.read()\n"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(3)
    ]
    for start in starts:
        assert start.stdout.readline() == "up\n"
    go.touch()
    said = [start.stdout.readline() for start in starts]
    winner = int(content(path))
    for start in starts:
        with start:
            start.stdin.close()
    assert sorted(said) == ["", "", "won\n"]
    assert winner == starts[said.index("won\n")].pid


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r'open\(\) ".*" failed \(2: No such file or directory\)'),
        ("", 'invalid PID number "" in ".*tidegate.pid"'),
        ("no\n", 'invalid PID number "no" in ".*tidegate.pid"'),
        ("99999999\n", r"kill\(99999999, 15\) failed \(3: No such process\)"),
    ],
)
def test_signalling_says_what_nginx_says(path, text, words):
    if text is not None:
        write(path, text)
    with pytest.raises(StartError, match=words):
        pidfile.send_signal(path, signal.SIGTERM)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StartError, match=r'"/.*/none/x.pid" failed \(2: No such file'):
        PidFile.claim(str(tmp_path / "none/x.pid"))


def test_a_file_that_somebody_else_wrote_meanwhile_stays(path):
    held = PidFile.claim(path)
    os.unlink(path)
    write(path, "1\n")
    held.release()
    assert content(path) == "1\n"


def test_children_of_the_master_do_not_let_go_of_its_file(path):
    held = PidFile.claim(path)
    subprocess.run(["true"], check=True)
    code = (
        "import sys\nfrom tidegate.process import pidfile\nprint(pidfile.read(sys.argv[1]).master)"
    )
    deadline = time.monotonic() + 20
    asked = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        check=True,
        timeout=deadline - time.monotonic(),
    )
    assert int(asked.stdout) == os.getpid()
    held.release()


def test_what_is_no_regular_file_is_left_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StartError, match="is no regular file"):
        PidFile.claim(str(pipe))
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real.pid", tmp_path / "link.pid"
    link.symlink_to(real)
    made = PidFile.claim(str(link))
    assert link.is_symlink()
    assert int(real.read_text()) == os.getpid()
    made.release()
    assert not real.exists()

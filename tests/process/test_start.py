"""Starting: in the background or in front, and what a start that fails leaves behind."""

import os
import pwd
import re
import signal
import socket

import pytest

from lab import proc, sockets
from lab.waiting import wait_until


@pytest.mark.parametrize(
    ("asked", "number"), [(1, 1), (3, 3), ("auto", len(os.sched_getaffinity(0)))]
)
def test_the_start_returns_when_every_worker_accepts(instance, asked, number):
    instance.configure(workers=asked)
    instance.start()
    inodes = proc.listening_inodes(instance.port)
    workers = instance.workers()
    assert len(workers) == number
    assert all(proc.accepts(pid, inodes) for pid in workers)
    instance.connect().close()


def test_in_the_background_nothing_holds_the_terminal(instance):
    instance.start()
    for pid in [instance.master, *instance.workers()]:
        ends = proc.descriptors(pid)
        assert {ends[0], ends[1]} == {"/dev/null"}
        assert ends[2] == os.path.join(instance.folder, "error.log")
        assert os.getsid(pid) == instance.master


def test_the_processes_are_told_apart_by_name(instance):
    instance.start()
    names = []
    for pid in [instance.master, *instance.workers()]:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            names.append(file.read().strip())
    assert names == ["tidegate master", "tidegate worker", "tidegate worker"]


def test_workers_hold_only_what_they_need(instance):
    instance.start()
    for pid in instance.workers():
        kinds = sorted(re.sub(r"\[\d+\]", "", target) for target in proc.descriptors(pid).values())
        assert [kind for kind in kinds if kind.startswith("/")] == [
            "/dev/null",
            "/dev/null",
            f"{instance.folder}/access.log",
            f"{instance.folder}/error.log",
            f"{instance.folder}/error.log",
        ]
        # The channel, the listening socket, and asyncio's own pair.
        assert kinds.count("socket:") == 4


def test_a_port_that_is_taken_fails_the_start_on_the_callers_terminal(instance):
    with socket.create_server(("127.0.0.1", instance.port)):
        done = instance.run()
    words = f"bind() to 127.0.0.1:{instance.port} failed (98: Address already in use)"
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"tidegate: [emerg] {words}"
    assert done.stderr.splitlines()[1].startswith("tidegate: [emerg] still could not bind(); ")
    assert words in instance.messages(level="emerg")
    assert not os.path.exists(instance.pid_file)


def test_a_second_start_beside_the_first_says_who_is_there_and_harms_nobody(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    done = instance.run()
    assert done.returncode == 1
    assert f"another tidegate listens on 127.0.0.1:{instance.port} (process {master})" in (
        done.stderr
    )
    assert (instance.master, instance.workers()) == (master, workers)
    instance.connect().close()


def test_two_instances_cannot_share_a_pid_file(instance, lab):
    instance.start()
    master = instance.master
    instance.port = lab.ports.free()
    instance.configure()
    done = instance.run()
    assert done.returncode == 1
    assert f"tidegate is already running as process {master}" in done.stderr
    assert instance.master == master


@pytest.mark.parametrize("name", ["one.pid", "folder/two.pid"])
def test_the_pid_file_is_where_pid_says(instance, name):
    instance.pid_file = os.path.join(instance.folder, name)
    os.makedirs(os.path.dirname(instance.pid_file), exist_ok=True)
    instance.configure(main=f"pid {name};")
    instance.start()
    assert "--kind worker" in proc.command(instance.workers()[0])
    assert not os.path.exists(os.path.join(instance.folder, "t.pid"))
    done = instance.run("-s", "stop")
    assert done.returncode == 0
    wait_until(lambda: not os.path.exists(instance.pid_file), "the file goes with its process")


def test_the_pid_file_of_another_program_is_left_alone(instance, lab):
    other = lab.running(["sleep", "60"], name="other")
    with open(instance.pid_file, "w", encoding="ascii") as file:
        file.write(f"{other.pid}\n")
    done = instance.run()
    assert done.returncode == 1
    assert f'"{instance.pid_file}" names the running process {other.pid}' in done.stderr
    for word in ("stop", "quit", "reopen"):
        done = instance.run("-s", word)
        assert done.returncode == 1
        assert "is not a tidegate master; nothing was signalled" in done.stderr
    with open(instance.pid_file, encoding="ascii") as file:
        assert file.read() == f"{other.pid}\n"
    assert other.running


def test_a_pid_file_that_a_killed_master_left_is_no_obstacle(instance):
    instance.start()
    master = instance.master
    workers = instance.workers()
    os.kill(master, signal.SIGKILL)
    instance.wait_gone(master, *workers)
    instance.start()
    assert instance.master != master


def test_a_log_that_cannot_be_opened_fails_the_start(instance):
    instance.configure(server="access_log none/access.log short;")
    done = instance.run()
    assert done.returncode == 1
    assert re.fullmatch(
        r'tidegate: \[emerg\] open\(\) "/.*/none/access.log" failed'
        r' \(2: No such file or directory\); the folder "/.*/none" does not exist\n',
        done.stderr,
    )


def test_a_configuration_error_is_shown_with_its_place(instance):
    instance.configure(server="proxy_timeoutt 5s;")
    done = instance.run()
    assert done.returncode == 1
    first, *others = done.stderr.splitlines()
    assert first == (f'tidegate: [emerg] unknown directive "proxy_timeoutt" in {instance.conf}:6')
    assert any('did you mean "proxy_timeout"?' in line for line in others)


def test_more_connections_than_descriptors_is_a_warning(instance):
    instance.configure(main="worker_rlimit_nofile 64;")
    done = instance.run(env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0
    # 100 connections are below the limit of whoever runs the tests, so there is no warning.
    assert done.stderr == ""
    with open(instance.conf, encoding="utf-8") as file:
        conf = file.read()
    instance.run("-s", "stop")
    instance.wait_for("exit")
    wait_until(lambda: not os.path.exists(instance.pid_file), "the first one ends")
    with open(instance.conf, "w", encoding="utf-8") as file:
        file.write(conf.replace("worker_connections 100", "worker_connections 1000000"))
    done = instance.run()
    warning = "1000000 worker_connections exceed open file resource limit: 64"
    assert done.stderr == f"tidegate: [warn] {warning}\n"
    assert warning in instance.messages(level="warn")


@pytest.mark.parametrize("value", ["on", "off"])
def test_daemon_decides_whether_the_terminal_waits(instance, value):
    instance.configure(daemon=value)
    with instance.in_front() as process:
        wait_until(instance.accepts, "it accepts")
        assert len(instance.workers()) == 2
        assert (instance.master == process.pid) == (value == "off")
        if value == "off":
            process.terminate()
        assert process.wait(20) == 0


def test_run_stays_in_front_and_shows_what_it_started(instance):
    with instance.in_front("run") as process:
        shown = []
        while not shown or not shown[-1].startswith("ready"):
            shown.append(process.stdout.readline())
            assert shown[-1]
        assert instance.master == process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    text = "".join(shown)
    assert len(shown) <= 10
    assert f"listen    127.0.0.1:{instance.port} → {instance.node.address}" in text
    assert "limits    2 workers, 100 connections" in text
    assert re.fullmatch(r"ready in \d+ ms, Ctrl-C stops it\n", shown[-1])


def test_a_stop_while_starting_is_no_failure(instance):
    instance.configure(daemon="off", workers=4)
    with instance.in_front() as process:
        wait_until(lambda: "start worker process" in instance.log, "it starts")
        process.terminate()
        assert process.wait(20) == 0
    assert not os.path.exists(instance.pid_file)


def test_a_terminal_that_asks_to_stop_while_starting_is_obeyed(instance):
    with socket.create_server(("127.0.0.1", instance.port)), instance.in_front() as process:
        instance.wait_for("try again to bind()")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
    assert "Traceback" not in instance.log
    assert not os.path.exists(instance.pid_file)


@pytest.mark.needs("root")
@pytest.mark.parametrize("user", ["daemon", "bin"])
def test_workers_give_up_their_rights(instance, user):
    instance.configure(main=f"user {user};")
    instance.start()
    for pid in instance.workers():
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip().split(":\t", 1) for line in file if ":\t" in line)
        assert set(status["Uid"].split()) == {str(pwd.getpwnam(user).pw_uid)}
        assert "0" not in status["Gid"].split() + status["Groups"].split()
        assert int(status["CapEff"], 16) == 0
    instance.connect().close()


@pytest.mark.parametrize(("files", "priority"), [(200, 5), (300, 7)])
def test_limits_and_priority_reach_the_workers(instance, files, priority):
    instance.configure(main=f"worker_rlimit_nofile {files}; worker_priority {priority};")
    instance.start()
    for pid in instance.workers():
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            limits = file.read()
        assert re.search(rf"Max open files\s+{files}\s+{files}\s", limits)
        assert re.search(r"Max core file size\s+0\s+0", limits)
        assert os.getpriority(os.PRIO_PROCESS, pid) == priority
    assert os.getpriority(os.PRIO_PROCESS, instance.master) != priority


def test_workers_get_the_environment_that_env_names(instance):
    instance.configure(main="env WANTED; env GIVEN=here;")
    instance.start(env={"WANTED": "yes", "SECRET": "no", "TZ": "Asia/Tokyo"})
    for pid in instance.workers():
        with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
            names = dict(row.split("=", 1) for row in file.read().split("\0") if row)
        assert (names["WANTED"], names["GIVEN"], names["TZ"]) == ("yes", "here", "Asia/Tokyo")
        assert "SECRET" not in names
        assert "HOME" not in names


@pytest.mark.parametrize(("value", "number"), [("on", 2), ("off", 1)])
def test_without_a_master_process_one_worker_keeps_its_user(instance, value, number):
    user = pwd.getpwuid(os.geteuid())
    asked = "daemon" if user.pw_uid == 0 else user.pw_name
    gets = pwd.getpwnam(asked).pw_uid if value == "on" else user.pw_uid
    instance.configure(main=f"master_process {value}; user {asked};", workers=2)
    done = instance.run()
    assert done.returncode == 0, instance.log
    uids = [os.stat(f"/proc/{worker}").st_uid for worker in instance.workers()]
    assert uids == [gets] * number
    instance.connect().close()


def test_reuseport_gives_each_worker_its_own_socket(instance, lab):
    port = lab.ports.free()
    instance.configure(stream=f'server {{ listen 127.0.0.1:{port} reuseport; return "$pid"; }}')
    instance.start()
    assert len(proc.listening_inodes(port)) == 2
    answered = set()

    def ask():
        with sockets.open_raw(port) as client:
            answered.add(sockets.receive_all(client))
        return len(answered) == 2

    wait_until(ask, "both workers answer")
    assert answered == {str(pid).encode() for pid in instance.workers()}


def test_a_further_worker_costs_at_most_16_mib(instance):
    instance.configure(workers=4)
    instance.start()
    assert max(map(proc.private_kib, instance.workers())) <= 16 * 1024

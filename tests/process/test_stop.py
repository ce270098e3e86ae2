"""Stopping, fast and gracefully; the master's death, and the workers'."""

import os
import signal
import socket

import pytest

from lab import proc
from lab.waiting import stays, wait_until
from tidegate.version import VERSION


def stop(instance, *words):
    done = instance.run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [("-s", "stop"), ("stop",), ("-sstop",)])
def test_stop_ends_everything_at_once(instance, words):
    instance.start()
    master, workers = instance.master, instance.workers()
    with instance.connect() as client:
        stop(instance, *words)
        instance.wait_gone(master, *workers)
        assert client.recv(1) == b""
    assert not os.path.exists(instance.pid_file)
    assert proc.listening_inodes(instance.port) == set()


def test_the_log_of_a_life_is_nginxs(instance):
    instance.configure(level="notice")
    instance.start()
    master, (first, second) = instance.master, instance.workers()
    stop(instance, "-s", "stop")
    instance.wait_gone(master)
    said = instance.messages()
    assert said[0] == f"tidegate/{VERSION}"
    assert said[1].startswith("OS: Linux ")
    assert said[2].startswith("getrlimit(RLIMIT_NOFILE): ")
    assert said[3:6] == [
        "start worker processes",
        f"start worker process {first}",
        f"start worker process {second}",
    ]
    assert said[6:8] == ["signal process started", "signal 15 (SIGTERM) received, exiting"]
    assert sorted(said[8:-1]) == sorted(
        ["exiting", "exit"] * 2
        + [f"worker process {pid} exited with code 0" for pid in (first, second)]
    )
    assert said[-1] == "exit"


def test_a_quit_serves_sessions_to_their_end_and_lets_a_new_instance_in(instance):
    instance.start()
    old, workers = instance.master, instance.workers()
    client = instance.connect()
    stop(instance, "-s", "quit")
    wait_until(lambda: not proc.listening_inodes(instance.port), "the port is given back")
    instance.talk(client)
    instance.start()
    assert instance.master != old
    instance.talk(client)
    assert proc.alive(old)
    client.close()
    instance.wait_gone(old, *workers)
    assert instance.master != old
    instance.connect().close()
    stop(instance, "-s", "stop")


@pytest.mark.parametrize(("timeout", "ends"), [("300ms", True), ("1h", False)])
def test_worker_shutdown_timeout_bounds_a_quit(instance, timeout, ends):
    instance.configure(main=f"worker_shutdown_timeout {timeout};")
    instance.start()
    master, workers = instance.master, instance.workers()
    with instance.connect() as client:
        stop(instance, "-s", "quit")
        if ends:
            instance.wait_gone(master, *workers)
            assert client.recv(1) == b""
        else:
            instance.wait_gone(*set(workers) - set(busy(instance, workers)))
            stays(lambda: proc.alive(master), "the session is waited for", seconds=0.6)
            instance.talk(client)
    instance.wait_gone(master, *workers)
    assert ("shutdown timeout" in instance.messages(level="info")) == ends


def busy(instance, workers):
    """The workers that have a session."""
    return proc.served_by(workers, instance.port).values()


def test_a_stop_during_a_quit_ends_it(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    with instance.connect():
        stop(instance, "-s", "quit")
        instance.wait_for("gracefully shutting down")
        stop(instance, "-s", "stop")
        instance.wait_gone(master, *workers)


def test_a_worker_that_does_not_obey_is_killed(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    os.kill(workers[0], signal.SIGSTOP)
    stop(instance, "-s", "stop")
    instance.wait_gone(master, *workers)
    assert f"worker process {workers[0]} exited on signal 9" in instance.messages(level="alert")


def test_a_second_interrupt_waits_for_nobody(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    os.kill(master, signal.SIGINT)
    instance.wait_for("signal 2 (SIGINT) received, exiting")
    os.kill(master, signal.SIGINT)
    instance.wait_gone(master, *workers)
    assert instance.messages()[-1] == "exit"


def test_a_killed_worker_is_replaced_at_once(instance):
    instance.start()
    killed, other = instance.workers()
    os.kill(killed, signal.SIGKILL)
    instance.wait_for(f"worker process {killed} exited on signal 9")
    new = wait_until(lambda: set(instance.workers()) - {killed, other}, "a new one starts").pop()
    inodes = proc.listening_inodes(instance.port)
    wait_until(lambda: proc.accepts(new, inodes), "it accepts")
    assert instance.messages(level="notice").count(f"start worker process {new}") == 1
    assert other in instance.workers()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_obeys_a_signal_of_its_own_and_is_replaced(instance, number):
    instance.start()
    signalled, other = instance.workers()
    os.kill(signalled, number)
    instance.wait_for(f"worker process {signalled} exited with code 0")
    wait_until(lambda: len(instance.workers()) == 2, "a new one starts")
    assert other in instance.workers()


def test_a_worker_told_to_quit_serves_its_sessions_first(instance):
    instance.configure(workers=1)
    instance.start()
    (worker,) = instance.workers()
    with instance.connect() as client:
        os.kill(worker, signal.SIGQUIT)
        instance.wait_for("gracefully shutting down")
        instance.talk(client)
    instance.wait_gone(worker)


def test_nobodys_session_dies_with_the_master(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    client = instance.connect()
    os.kill(master, signal.SIGKILL)
    instance.wait_gone(master)
    wait_until(lambda: not proc.listening_inodes(instance.port), "the port is given back")
    instance.talk(client)
    assert "the master process is gone" in instance.log
    instance.start()
    instance.talk(client)
    client.close()
    instance.wait_gone(*workers)
    instance.connect().close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_a_signal_to_the_whole_process_group_replaces_nobody(instance, number):
    instance.start()
    master, workers = instance.master, instance.workers()
    os.killpg(master, number)
    instance.wait_gone(master, *workers)
    assert instance.log.count("start worker process ") == 2
    assert "Traceback" not in instance.log
    assert instance.messages()[-1] == "exit"


def test_ctrl_c_in_the_middle_of_a_start_is_silent(instance):
    instance.configure(daemon="off", workers=4)
    with instance.in_front(process_group=0) as process:
        wait_until(lambda: "start worker process" in instance.log, "workers are born")
        os.killpg(process.pid, signal.SIGINT)
        said, _nothing = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGWINCH])
def test_signals_of_later_versions_do_no_harm(instance, number):
    instance.start()
    master, workers = instance.master, instance.workers()
    os.kill(master, number)
    instance.wait_for(f"signal {number.value} ({number.name}) received, but")
    assert (instance.master, instance.workers()) == (master, workers)
    instance.connect().close()


def test_without_an_instance_there_is_nothing_to_stop(instance):
    done = instance.run("-s", "stop")
    assert done.returncode == 1
    assert done.stderr == (
        f'tidegate: [error] open() "{instance.pid_file}" failed'
        " (2: No such file or directory); is tidegate running?\n"
    )
    assert instance.messages(level="notice") == ["signal process started"]


def test_stopping_looks_no_name_up(instance):
    instance.start()
    master = instance.master
    with open(instance.conf, "a", encoding="utf-8") as file:
        file.write("stream { server { listen 127.0.0.1:1; proxy_pass no-such-name.invalid:1; } }")
    assert instance.run("-s", "stop").returncode == 0
    instance.wait_gone(master)


def test_a_unix_socket_goes_with_the_instance(instance):
    path = os.path.join(instance.folder, "in.sock")
    instance.configure(stream=f'server {{ listen unix:{path}; return "hello"; }}')
    instance.start()
    master = instance.master
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert client.recv(10) == b"hello"
    stop(instance, "-s", "stop")
    instance.wait_gone(master)
    assert not os.path.exists(path)

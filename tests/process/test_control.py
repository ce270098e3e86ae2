"""The control socket: who may ask, what is answered, and `tidegate ctl` and `-s reload` over it."""

import json
import os
import signal
import socket
import stat

import pytest

from lab import proc, sockets
from lab.process import read
from lab.waiting import wait_until


def ask(instance, word):
    """What the master says to one line, as it comes."""
    path = os.path.join(instance.folder, "t.ctl")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(15)
        sock.connect(path)
        sock.sendall(word)
        with sock.makefile() as file:
            return file.read()


def ctl(instance, *words):
    """`tidegate ctl WORDS` for the instance."""
    return instance.run_verb("ctl", "-c", instance.conf, "-p", instance.folder, *words)


def test_only_its_owner_may_reach_it(instance):
    instance.start()
    found = os.stat(os.path.join(instance.folder, "t.ctl"))
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


@pytest.mark.parametrize("words", [b"nonsense\n", b"\n", b"\xff\xfe\n", b"status\0\n"])
def test_what_is_no_question_is_answered_with_those_that_are(instance, words):
    instance.start()
    assert "reload, status, upstreams" in json.loads(ask(instance, words))["error"]


def test_endless_questions_end(instance):
    instance.start()
    with pytest.raises((ConnectionError, json.JSONDecodeError)):
        json.loads(ask(instance, b"x" * 100_000))
    assert json.loads(ask(instance, b"status\n"))["generation"] == 1


def test_status_tells_of_workers_with_their_sessions(instance):
    instance.start()
    with instance.connect(), instance.connect(), instance.connect():
        told = json.loads(ctl(instance, "status", "--json").stdout)
        assert sorted(one["pid"] for one in told["workers"]) == sorted(instance.workers())
        assert sum(one["sessions"] for one in told["workers"]) == 3
        assert {one["state"] for one in told["workers"]} == {"serving"}
        assert all(one["memory"] > 2**20 for one in told["workers"])
    text = ctl(instance, "status").stdout
    assert f"process {instance.master}, generation 1, up " in text


MALFORMED = b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00"
HTTP = b"GET / HTTP/1.1\r\n\r\n"


def test_status_tells_of_clients_that_do_not_speak_mqtt(instance, lab):
    strict, open_port = lab.ports.free(), lab.ports.free()
    instance.configure(
        stream="mqtt_preread on;"
        f" server {{ listen 127.0.0.1:{strict}; mqtt_require on; return x; }}"
        f" server {{ listen 127.0.0.1:{open_port}; return x; }}"
    )
    instance.start()
    assert "MQTT" not in ctl(instance, "status").stdout
    for port, words, answer in (
        *[(strict, HTTP, b"")] * 5,
        *[(strict, MALFORMED, b"")] * 3,
        *[(open_port, MALFORMED, b"x")] * 2,
    ):
        with sockets.open_raw(port) as sock:
            sock.sendall(words)
            assert sockets.receive_all(sock) == answer
    # The counts outlive the workers that made them.
    for worker in instance.workers():
        os.kill(worker, signal.SIGKILL)
        instance.wait_gone(worker)
    counts = {"refused": {"not_connect": 5, "malformed": 3}, "passed_unread": {"malformed": 2}}
    told = json.loads(ctl(instance, "status", "--json").stdout)["mqtt"]
    assert {key: {why: n for why, n in told[key].items() if n} for key in told} == counts
    lines = ctl(instance, "status").stdout.splitlines()
    assert lines[-2:] == [
        "MQTT clients refused: 5 not_connect, 3 malformed",
        "MQTT clients passed on unread: 2 malformed",
    ]


def test_upstreams_tells_why_a_node_failed(instance, lab):
    dead, port = lab.ports.free(), lab.ports.free()
    instance.configure(
        stream=f"upstream u {{ server 127.0.0.1:{dead} fail_timeout=1h; server"
        f" {instance.node.address} weight=2; server 127.0.0.1:1 down; }}"
        f" server {{ listen 127.0.0.1:{port}; proxy_pass u; }}"
    )
    instance.start()
    with sockets.open_raw(port) as first, sockets.open_raw(port) as second:
        instance.talk(first)
        instance.talk(second)
        told = json.loads(ctl(instance, "upstreams", "--json").stdout)["upstreams"]
        peers = next(one for one in told if one["name"] == "u")["peers"]
        by_address = {peer["address"]: peer for peer in peers}
        assert by_address[instance.node.address]["active"] == 2
        assert by_address[instance.node.address]["state"] == "up"
        assert by_address["127.0.0.1:1"]["state"] == "down"
        failed = by_address[f"127.0.0.1:{dead}"]
        assert failed["state"] == "unavailable"
        assert failed["fails"] == 1
        assert failed["last_failure"]["why"] == "connect failed (111: Connection refused)"
        lines = ctl(instance, "upstreams").stdout.splitlines()
    assert lines[0].split()[:3] == ["UPSTREAM", "NODE", "STATE"]
    assert any("Connection refused), " in line and line.endswith(" ago") for line in lines)


def test_upstreams_tells_who_is_coming_back(instance, lab):
    node, port = lab.node(), lab.ports.free()
    instance.configure(
        stream=f"upstream u {{ server {node.address} fail_timeout=1s slow_start=1h;"
        f" server {instance.node.address}; }} server {{ listen 127.0.0.1:{port}; proxy_pass u; }}"
    )
    instance.start()

    def told():
        with sockets.open_raw(port) as client:
            instance.talk(client)
        upstreams = json.loads(ctl(instance, "upstreams", "--json").stdout)["upstreams"]
        [first, _] = next(one for one in upstreams if one["name"] == "u")["peers"]
        return first["state"], first["slow_start"]

    assert told() == ("up", None)
    with node.refusing():
        wait_until(lambda: told() == ("unavailable", None), "its failure is counted")
    wait_until(lambda: told() == ("slow start", 0), "it comes back")
    assert "  slow start 0 %  " in ctl(instance, "upstreams").stdout


def test_upstreams_tells_whom_a_reload_brings_back(instance):
    def configure(*servers):
        lines = "".join(f"server 127.0.0.1:{one} slow_start=1h; " for one in servers)
        instance.configure(stream=f"upstream u {{ {lines} }}")

    def told():
        upstreams = json.loads(ctl(instance, "upstreams", "--json").stdout)["upstreams"]
        group = next(one for one in upstreams if one["name"] == "u")
        return [peer["state"] for peer in group["peers"]]

    configure("1", "2 down")
    instance.start()
    assert told() == ["up", "down"]
    configure("1", "2", "3")
    assert ctl(instance, "reload").returncode == 0
    assert told() == ["up", "slow start", "slow start"]
    configure("1", "2", "3", "4 down")
    assert ctl(instance, "reload").returncode == 0
    assert told() == ["up", "slow start", "slow start", "down"]


def test_reload_says_what_changed(instance, lab):
    instance.start()
    port = lab.ports.free()
    instance.configure(stream=f"server {{ listen 127.0.0.1:{port}; return x; }}")
    done = instance.run("-s", "reload")
    told = f"tidegate: generation 1 → 2: + listener 127.0.0.1:{port}\n"
    assert (done.returncode, done.stderr) == (0, told)
    done = ctl(instance, "reload")
    assert (done.returncode, done.stderr) == (0, "tidegate: generation 2 → 3: nothing changed\n")


def test_the_socket_follows_the_pid_file(instance):
    instance.start()
    before = instance.pid_file
    instance.configure(main="pid other.pid;")
    os.kill(int(read(before)), signal.SIGHUP)
    instance.pid_file = os.path.join(instance.folder, "other.pid")
    wait_until(lambda: os.path.exists(instance.pid_file), "the new pid file")
    wait_until(lambda: not os.path.exists(os.path.join(instance.folder, "t.ctl")), "it moved")
    assert json.loads(ctl(instance, "status", "--json").stdout)["generation"] == 2
    assert instance.run("-s", "reload").returncode == 0
    assert json.loads(ctl(instance, "status", "--json").stdout)["generation"] == 3
    assert instance.run("-s", "quit").returncode == 0
    wait_until(lambda: not os.path.exists(os.path.join(instance.folder, "other.ctl")), "it goes")


def test_a_reload_of_a_broken_file_fails_before_anybody_is_asked(instance):
    instance.start()
    instance.configure(main="nonsense;")
    done = instance.run("-s", "reload")
    assert done.returncode == 1
    assert 'unknown directive "nonsense"' in done.stderr
    assert "reconfiguring" not in instance.log


def test_a_reload_that_the_master_cannot_do_says_so(instance, lab):
    instance.start()
    taken = lab.node()
    instance.configure(stream=f"server {{ listen 127.0.0.1:{taken.port}; return x; }}")
    done = instance.run("-s", "reload")
    assert done.returncode == 1
    assert "still could not bind()" in done.stderr
    assert "the former configuration stays in force" in done.stderr
    instance.connect().close()


def test_without_the_control_socket_a_reload_is_a_signal(instance):
    instance.start()
    os.unlink(os.path.join(instance.folder, "t.ctl"))
    done = instance.run("-s", "reload")
    assert (done.returncode, done.stderr) == (0, "")
    instance.wait_for("signal 1 (SIGHUP) received")
    instance.wait_for("generation 1 → 2")


def test_without_an_instance_ctl_says_so(instance):
    done = ctl(instance, "status")
    assert done.returncode == 4
    assert "no instance answers" in done.stderr


def test_a_stop_removes_the_socket_and_a_new_start_has_its_own(instance):
    instance.start()
    master = instance.master
    assert instance.run("-s", "stop").returncode == 0
    instance.wait_gone(master)
    wait_until(lambda: "t.ctl" not in os.listdir(instance.folder), "the socket is gone")
    instance.start()
    assert json.loads(ask(instance, b"status\n"))["pid"] == instance.master


def test_a_socket_that_a_killed_master_left_is_replaced(instance):
    instance.start()
    master, workers = instance.master, instance.workers()
    os.kill(master, 9)
    instance.wait_gone(master, *workers)
    assert "t.ctl" in os.listdir(instance.folder)
    instance.start()
    assert json.loads(ask(instance, b"status\n"))["pid"] == instance.master != master


def test_a_path_longer_than_an_address_is_no_hindrance(instance, tmp_path):
    folder = os.path.join(tmp_path, "f" * 120)
    os.mkdir(folder)
    instance.pid_file = os.path.join(folder, "t.pid")
    instance.configure(main=f"pid {instance.pid_file};")
    instance.start()
    assert f"process {instance.master}" in ctl(instance, "status").stdout
    assert proc.alive(int(read(instance.pid_file)))

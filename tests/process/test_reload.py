"""A reload puts a whole configuration in force, in all workers or in none, and ends no session."""

import os
import signal

import pytest

from lab import proc, sockets
from lab.process import read
from lab.waiting import wait_until

# New files that cannot be used, each for another reason; `{taken}` is a port that somebody has.
BROKEN = {
    "a directive that nobody knows": {"main": "no_such_thing 1;"},
    "a missing semicolon": {"server": "proxy_timeout 5"},
    "an unknown upstream of the server": {"stream": "server { listen 127.0.0.1:1; }"},
    "an unknown variable": {"stream": "log_format x '$no_such_variable';"},
    "a missing include": {"stream": "include nowhere.conf;"},
    "a log that cannot be opened": {"main": "error_log nowhere/error.log;"},
    "a port that is taken": {"stream": "server { listen 127.0.0.1:{taken}; return x; }"},
    "an address of no interface": {"stream": "server { listen 192.0.2.1:19; return x; }"},
    "a user that does not exist": {"main": "user no-such-user-here;"},
    "a method without a key": {"stream": "upstream u { hash; server 127.0.0.1:1; }"},
}


def reload(instance, *, number=signal.SIGHUP):
    """Reload, and wait until it is over."""
    before = ended(instance)
    os.kill(instance.master, number)
    wait_until(lambda: ended(instance) > before, "a reload ends", context=lambda: instance.log)


def ended(instance) -> int:
    """How many reloads have ended, well or not."""
    return instance.log.count(": generation ") + instance.log.count("stays in force")


def text_of(port) -> bytes:
    """What a server with `return` says."""
    with sockets.open_raw(port) as client:
        return client.recv(100)


def test_the_same_file_again_changes_nothing_and_nobody(instance):
    instance.start()
    workers = instance.workers()
    client = instance.connect()
    reload(instance)
    assert "generation 1 → 2: nothing changed" in instance.log
    assert instance.workers() == workers
    instance.talk(client)
    instance.connect().close()
    client.close()


def test_listeners_come_and_go_and_sessions_of_those_that_went_stay(instance, lab):
    added, later = lab.ports.free(), lab.ports.free()
    instance.configure(stream=f"server {{ listen 127.0.0.1:{added}; return first; }}")
    instance.start()
    assert text_of(added) == b"first"
    client = instance.connect()
    old_port, instance.port = instance.port, later
    instance.configure(stream=f"server {{ listen 127.0.0.1:{added}; return second; }}")
    reload(instance)
    assert text_of(added) == b"second"
    instance.talk(client)
    instance.connect().close()
    with pytest.raises(ConnectionRefusedError):
        sockets.open_raw(old_port)
    assert f"+ listener 127.0.0.1:{later}, - listener 127.0.0.1:{old_port}" in instance.log
    client.close()


def test_zones_that_come_go_and_count_anew_are_named(instance):
    def zones(*made):
        return " ".join(f"limit_conn_zone {key} zone={name}:{size};" for name, key, size in made)

    def look(*made):
        instance.configure(stream=zones(*made))
        reload(instance)

    instance.configure(
        stream=zones(
            ("same", "$remote_addr", "64k"),
            ("sized", "$remote_addr", "64k"),
            ("keyed", "$remote_addr", "64k"),
            ("gone", "$remote_addr", "64k"),
        )
    )
    instance.start()
    look(
        ("same", "$remote_addr", "64k"),
        ("sized", "$remote_addr", "128k"),
        ("keyed", "$server_addr", "64k"),
        ("new", "$remote_addr", "64k"),
    )
    told = "zone sized counts anew, zone keyed counts anew, + zone new, - zone gone"
    assert f"generation 1 → 2: {told}\n" in instance.log


def test_nodes_come_and_go_and_sessions_of_those_that_went_stay(instance, lab):
    other = lab.node()
    instance.start()
    client = instance.connect()
    first, instance.node = instance.node, other
    instance.configure()
    reload(instance)
    instance.connect().close()
    assert (first.accepted, other.accepted) == (1, 1)
    instance.talk(client)
    client.close()


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_changes_nothing(instance, lab, fault):
    taken = lab.node()
    instance.start()
    workers = instance.workers()
    client = instance.connect()
    good = read(instance.conf)
    options = {
        key: value.replace("{taken}", str(taken.port)) for key, value in BROKEN[fault].items()
    }
    instance.configure(**options)
    reload(instance)
    assert "[emerg]" in instance.log
    assert instance.workers() == workers
    instance.talk(client)
    instance.connect().close()
    with open(instance.conf, "w", encoding="utf-8") as file:
        file.write(good)
    reload(instance)
    assert "nothing changed" in instance.log
    instance.talk(client)
    client.close()


def test_more_and_less_workers(instance):
    instance.configure(workers=1)
    instance.start()
    client = instance.connect()
    (first,) = instance.workers()
    instance.configure(workers=3)
    reload(instance)
    assert len(instance.workers()) == 3
    assert first in instance.workers()
    assert "worker_processes 1→3" in instance.log
    instance.talk(client)
    instance.configure(workers=2)
    reload(instance)
    wait_until(lambda: len(instance.workers()) == 2, "a worker retires")
    instance.talk(client)
    client.close()


def test_a_worker_that_retires_serves_its_sessions_first(instance):
    instance.configure(workers=3)
    instance.start()
    clients = []

    def each_has_one():
        clients.append(instance.connect())
        return set(proc.served_by(instance.workers(), instance.port).values()) >= set(
            instance.workers()
        )

    wait_until(each_has_one, "each worker has a session")
    instance.configure(workers=1)
    reload(instance)
    for client in clients:
        instance.talk(client)
        client.close()
    wait_until(lambda: len(instance.workers()) == 1, "the others retire")


def test_what_a_running_worker_cannot_take_on_replaces_it(instance):
    instance.start()
    client = instance.connect()
    before = instance.workers()
    instance.configure(main="env COLOUR=blue;")
    reload(instance)
    wait_until(
        lambda: sum(b"COLOUR=blue" in environment(pid) for pid in instance.workers()) == 2,
        "two workers have the new environment",
    )
    instance.talk(client)
    client.close()
    wait_until(lambda: not set(before) & set(instance.workers()), "the former retire")
    instance.connect().close()


def environment(pid) -> bytes:
    """The environment of a process; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_a_worker_that_does_not_answer_stops_a_reload_not_the_others(instance):
    instance.start()
    client = instance.connect()
    stopped = next(
        pid
        for pid in instance.workers()
        if pid not in proc.served_by(instance.workers(), instance.port).values()
    )
    os.kill(stopped, signal.SIGSTOP)
    try:
        before = ended(instance)
        os.kill(instance.master, signal.SIGHUP)
        wait_until(lambda: ended(instance) > before, "the reload is given up", timeout=60)
        assert f"from worker process {stopped}" in instance.log
        assert "the former configuration stays in force" in instance.log
        instance.talk(client)
    finally:
        os.kill(stopped, signal.SIGCONT)
    reload(instance)
    assert "nothing changed" in instance.log
    client.close()


def test_reloads_that_are_asked_for_meanwhile_are_remembered_once(instance):
    instance.start()
    stopped = instance.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        for asked in range(1, 6):
            os.kill(instance.master, signal.SIGHUP)
            wait_until(lambda n=asked: instance.log.count("(SIGHUP)") == n, f"{asked} are heard")
        assert ": generation " not in instance.log
    finally:
        os.kill(stopped, signal.SIGCONT)
    instance.wait_for("generation 2 → 3")
    instance.connect().close()
    assert instance.log.count(": reconfiguring") == 2


def test_a_node_that_stays_keeps_its_failures_and_connections(instance, lab):
    dead = lab.ports.free()
    upstream = (
        "upstream u {{ server 127.0.0.1:{dead} max_fails=1 fail_timeout=1h weight={weight};"
        " server {node}; }} server {{ listen 127.0.0.1:{port}; proxy_pass u; }}"
    )
    port = lab.ports.free()
    known = {"dead": dead, "node": instance.node.address, "port": port}
    instance.configure(stream=upstream.format(weight=2, **known))
    instance.start()
    for _ in range(4):
        with sockets.open_raw(port) as client:
            instance.talk(client)
    refused = "connect() failed (111: Connection refused) while connecting to upstream"
    assert instance.log.count(refused) == 1
    instance.configure(stream=upstream.format(weight=3, **known))
    reload(instance)
    assert f"weight 2→3 of 127.0.0.1:{dead} in u" in instance.log
    for _ in range(4):
        with sockets.open_raw(port) as client:
            instance.talk(client)
    assert instance.log.count(refused) == 1

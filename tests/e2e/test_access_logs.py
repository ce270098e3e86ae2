"""Each session is one line in each access log that its server has."""

import os
import re
import signal
from functools import partial

import pytest

from lab import sockets
from lab.nodes import greet
from lab.packets import connect
from lab.process import read
from lab.waiting import wait_until


def test_each_session_is_one_line_with_what_happened(lab):
    node = lab.node(greet(b"hello"))
    balancer, port = lab.in_front(node)
    with sockets.open_raw(port) as client:
        client.sendall(b"abc")
        assert sockets.receive(client, 8) == b"helloabc"
    [line] = balancer.wait_sessions(1)
    seconds = line.pop("session_time")
    assert line == {
        "remote_addr": "127.0.0.1",
        "status": "200",
        "upstream_addr": node.address,
        "bytes_received": "3",
        "bytes_sent": "8",
        "upstream_bytes_sent": "3",
        "upstream_bytes_received": "8",
    }
    assert 0 <= float(seconds) < 15


def test_off_several_and_inherited_logs(lab):
    node = lab.node(greet(b"!"))
    ports = [lab.ports.free() for _ in range(3)]
    words = ["", "access_log off;", "access_log own.log short; access_log both.log short;"]
    servers = [
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; {word} }}"
        for port, word in zip(ports, words, strict=True)
    ]
    balancer = lab.balancer("log_format short '$server_port';" + "\n".join(servers))
    for port in reversed(ports):
        with sockets.open_raw(port) as client:
            assert sockets.receive(client, 1) == b"!"
    balancer.wait_sessions(1)
    for name in ("own.log", "both.log"):
        path = os.path.join(balancer.folder, name)
        wait_until(lambda path=path: read(path) == f"{ports[2]}\n", f"{name} has its line")
    assert len(balancer.sessions()) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("'$status $upstream_addr'", "200 {folder}/no\\x22de\n"),
        ("escape=default '$status' ' to $upstream_addr'", "200 to {folder}/no\\x22de\n"),
        ("""escape=json '{"to":"$upstream_addr"}'""", '{{"to":"{folder}/no\\"de"}}\n'),
        ("escape=none $upstream_addr", '{folder}/no"de\n'),
    ],
)
def test_a_line_is_as_its_format_says(lab, words, line):
    node, port = lab.node(greet(b"!"), path=f'{lab.folder}/no"de'), lab.ports.free()
    balancer = lab.balancer(
        f"log_format own {words}; server {{ listen 127.0.0.1:{port};"
        f" proxy_pass '{node.address}'; access_log own.log own; }}"
    )
    with sockets.open_raw(port) as client:
        sockets.receive(client, 1)
    path = os.path.join(balancer.folder, "own.log")
    wait_until(lambda: read(path), "the line")
    assert read(path) == line.format(folder=f"unix:{lab.folder}")


def test_a_buffer_keeps_lines_back_until_it_is_full_or_all_ends(lab):
    port = lab.ports.free()
    balancer = lab.balancer(
        "log_format own '$connection $status';"
        f"server {{ listen 127.0.0.1:{port}; return x; access_log now.log own;"
        " access_log later.log own buffer=60; access_log soon.log own buffer=60k flush=300ms; }"
    )
    text = partial(text_of, balancer)
    for _ in range(10):
        visit(port)
    wait_until(lambda: text("now.log").count("\n") == 10, "ten sessions are logged")
    assert text("later.log") == "".join(f"{number} 200\n" for number in range(1, 10))
    wait_until(lambda: text("soon.log") == text("now.log"), "the time has come")
    balancer.stop(signal.SIGQUIT)
    assert text("later.log") == text("now.log")


def test_a_condition_chooses_the_sessions_that_are_logged(lab):
    node, empty, proxied, never = lab.node(greet(b"x")), *(lab.ports.free() for _ in range(3))
    balancer = lab.balancer(
        "log_format own '$server_port'; access_log own.log own if=$upstream_addr;"
        f"server {{ listen 127.0.0.1:{empty}; return x; }}"
        f"server {{ listen 127.0.0.1:{proxied}; proxy_pass {node.address}; }}"
        f"server {{ listen 127.0.0.1:{never}; return x; access_log own.log own if=0; }}"
    )
    for port in (empty, never):
        visit(port)
    with sockets.open_raw(proxied) as client:
        sockets.receive(client, 1)
    wait_until(lambda: text_of(balancer, "own.log") == f"{proxied}\n", "the line that is wanted")


@pytest.mark.parametrize("cache", ["", "open_log_file_cache max=10;"])
def test_variables_in_the_path_make_several_files(lab, cache):
    ports = [lab.ports.free() for _ in range(2)]
    balancer = lab.balancer(
        f"log_format own $status; access_log port-$server_port.log own; {cache}"
        + "".join(f"server {{ listen 127.0.0.1:{port}; return x; }}" for port in ports)
    )
    for port in (*ports, ports[0]):
        visit(port)
    expected = {f"port-{ports[0]}.log": "200\n200\n", f"port-{ports[1]}.log": "200\n"}
    for name, lines in expected.items():
        wait_until(lambda n=name, t=lines: text_of(balancer, n) == t, f"{name} has its lines")
    assert {one for one in os.listdir(balancer.folder) if one.startswith("port-")} == {*expected}


def test_a_client_id_in_the_path_stays_in_its_folder(lab):
    port = lab.ports.free()
    balancer = lab.balancer(
        "log_format own $status; access_log by/$mqtt_preread_clientid own;"
        f"server {{ listen 127.0.0.1:{port}; mqtt_preread on; return x; }}",
    )
    os.mkdir(os.path.join(balancer.folder, "by"), mode=0o777)
    for name in ("device", "../up", "a/../../up", "\x1b[2J"):
        with sockets.open_raw(port) as client:
            client.sendall(connect(name))
            sockets.receive_all(client)
    wait_until(lambda: os.listdir(f"{balancer.folder}/by") == ["device"], "the good one is logged")
    balancer.stop(signal.SIGQUIT)
    assert not os.path.exists(f"{balancer.folder}/up")
    assert balancer.errors().count("what the client sent leads elsewhere") == 1
    assert re.search(r'3 lines for ".*clientid" were lost', balancer.errors())


def visit(port):
    with sockets.open_raw(port) as client:
        assert sockets.receive_all(client) == b"x"


def text_of(balancer, name):
    return read(os.path.join(balancer.folder, name))

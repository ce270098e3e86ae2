"""The same sessions give the same lines in the access and error logs as the installed nginx."""

import os
import re
import socket

import pytest

from lab import sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("nginx")

PROGRAMS = ("nginx", "tidegate")
# With each value in brackets, so that an empty one is seen.
VARIABLES = (
    "binary_remote_addr",
    "bytes_received",
    "bytes_sent",
    "connection",
    "hostname",
    "msec",
    "pid",
    "protocol",
    "remote_addr",
    "remote_port",
    "server_addr",
    "server_port",
    "session_time",
    "status",
    "time_iso8601",
    "time_local",
    "upstream_addr",
    "upstream_bytes_received",
    "upstream_bytes_sent",
    "upstream_connect_time",
    "upstream_first_byte_time",
    "upstream_session_time",
)
# They differ from run to run; what they look like must not.
OF_THE_RUN = {"connection", "msec", "pid", "remote_port"}
ALL = " ".join(f"{name}=[${name}]" for name in VARIABLES)


async def leave(session):
    """Answer, then close in order."""
    await session.recv()
    await session.send(b"bye")
    session.finish()


async def break_off(session):
    """End with a reset."""
    await session.recv()
    session.reset()


class Ground:
    """What a scenario works on: one program, its front, and the nodes behind."""

    def __init__(self, lab, program):
        self.lab = lab
        self.program = program
        self.front = lab.ports.free()
        self.names = {str(self.front): "FRONT"}
        self.balancer = None

    def node(self, serve=None, name="NODE"):
        node = self.lab.node(serve or greet(b"hi"))
        self.names[str(node.port)] = name
        return node.address

    def hole(self):
        hole = self.lab.hole()
        self.names[str(hole.port)] = "HOLE"
        return hole.address

    def dead(self, name="DEAD"):
        port = self.lab.ports.free()
        self.names[str(port)] = name
        return f"127.0.0.1:{port}"

    def run(self, stream, server, client):
        """Bring up `stream` and a `server` with these words, let `client(port)` visit it."""
        self.balancer = self.lab.balancer(
            f"log_format all '{ALL}'; {stream} server {{ listen 127.0.0.1:{self.front};"
            f" {server}; access_log all.log all; }}",
            program=self.program,
        )
        client(self.front)
        path = os.path.join(self.balancer.folder, "all.log")
        wait_until(lambda: read(path).endswith("\n"), "the line", context=self.balancer.tail)
        return self.plain_access(read(path)), self.plain_errors()

    def plain_access(self, text):
        """The line with what differs from run to run taken out."""
        found = re.findall(r"(\w+)=\[(.*?)\]", text)
        return {name: self.plain(name, value) for name, value in found}

    def plain(self, name, value):
        if name in OF_THE_RUN or name.startswith("time_"):
            return re.sub(r"[A-Z][a-z]{2}", "Mon", re.sub(r"\d+", "0", value))
        if name == "server_port":
            return self.names.get(value, value)
        return re.sub(r"\d+\.\d{3}", "0.000", self.named(value))

    def named(self, text):
        """Known ports by name."""
        for port, name in self.names.items():
            text = re.sub(rf":{port}\b", f":{name}", text)
        return text.replace(self.balancer.folder, "FOLDER")

    def plain_errors(self):
        """The lines of the session in the error log; its last one is awaited by the access log."""
        lines = re.findall(r"(\[\w+\]) \d+#\d+: \*\d+ (.*)", self.balancer.errors())
        return [
            re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:ANY", self.named(f"{level} {words}"))
            for level, words in lines
        ]


def talk(port):
    """Send three bytes, hear two, leave."""
    with sockets.open_raw(port) as client:
        client.sendall(b"abc")
        sockets.receive(client, 5)


def listen(port):
    """Hear all that comes."""
    with sockets.open_raw(port) as client:
        client.sendall(b"abc")
        try:
            sockets.receive_all(client)
        except ConnectionResetError:
            return


def reset(port):
    """Send three bytes, hear five, break off."""
    client = sockets.open_raw(port)
    client.sendall(b"abc")
    sockets.receive(client, 5)
    sockets.reset(client)


def of_two(ground):
    servers = f"server {ground.dead()}; server {ground.node()};"
    return f"upstream two {{ {servers} }}", "proxy_pass two", talk


def of_dead_ones(ground):
    servers = f"server {ground.dead('ONE')} max_fails=1; server {ground.dead('TWO')} max_fails=1;"
    return f"upstream two {{ {servers} }}", "proxy_pass two", listen


def of_none(ground):
    return f"upstream none {{ server {ground.dead()} down; }}", "proxy_pass none", listen


def one_that_fails_among_tried(ground):
    servers = f"server {ground.dead('ONE')}; server {ground.dead('TWO')} down;"
    return f"upstream two {{ {servers} }}", "proxy_pass two", listen


SCENARIOS = {
    "the client closes": lambda on: ("", f"proxy_pass {on.node()}", talk),
    "the client breaks off": lambda on: ("", f"proxy_pass {on.node()}", reset),
    "the node closes": lambda on: ("", f"proxy_pass {on.node(leave)}", listen),
    "the second node is reached": of_two,
    "no node is reached": of_dead_ones,
    "one node of two is down, the other dead": one_that_fails_among_tried,
    "there is no node": of_none,
    "the node does not answer": lambda on: (
        "",
        f"proxy_pass {on.hole()}; proxy_connect_timeout 300ms",
        listen,
    ),
    "nobody speaks": lambda on: ("", f"proxy_pass {on.node()}; proxy_timeout 300ms", listen),
    "a socket that is not there": lambda _on: ("", "proxy_pass unix:gone", listen),
    "a text is returned": lambda _on: ("", "return xyz", listen),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_session_has_the_same_lines(lab, name):
    seen = []
    for program in PROGRAMS:
        ground = Ground(lab, program)
        seen.append(ground.run(*SCENARIOS[name](ground)))
        ground.balancer.clean_up()
    (access, errors), (our_access, our_errors) = seen
    assert our_access == access
    assert our_errors == errors
    assert access["hostname"] == socket.gethostname().lower()


# What differs in the access log, as we and as nginx 1.22 and 1.31 have it.
DIFFERENT = {
    "a node that sends nothing has no first byte": (
        lambda on: ("", f"proxy_pass {on.node(break_off)}", listen),
        {"upstream_first_byte_time": ("-", "0.000")},
    ),
    "the node is named when our own address is wrong": (
        lambda on: ("", f"proxy_pass {on.node()}; proxy_bind 192.0.2.1", listen),
        {"upstream_addr": ("127.0.0.1:NODE", "")},
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_known_difference_is_the_only_one(lab, name):
    scenario, fields = DIFFERENT[name]
    seen = []
    for program in PROGRAMS:
        ground = Ground(lab, program)
        seen.append(ground.run(*scenario(ground)))
        ground.balancer.clean_up()
    (access, errors), (our_access, our_errors) = seen
    assert our_errors == errors
    assert {key: (our_access[key], access[key]) for key in fields} == fields
    assert {**our_access, **{key: theirs for key, (_, theirs) in fields.items()}} == access


ODD = "a\"b\\c\x01\t\x0b\x1b\x1f 'é測🙂"
# Taken for more than text by some terminals or readers of lines: JSON's other way to write them.
JSON_ONLY_OURS = {"\x7f": "\\u007F", "\x85": "\\u0085", "\u2028": "\\u2028"}


def logged(lab, program, value, escape):
    """How a value stands in the log: as the name of an upstream without a node."""
    port = lab.ports.free()
    word = value.replace("\\", "\\\\").replace('"', '\\"')
    balancer = lab.balancer(
        f"log_format f escape={escape} '[$upstream_addr][$upstream_addr$status]';"
        f' upstream "{word}" {{ server 127.0.0.1:{port} down; }}'
        f' server {{ listen 127.0.0.1:{port}; proxy_pass "{word}"; access_log odd.log f; }}',
        program=program,
    )
    with sockets.open_raw(port) as client:
        sockets.receive_all(client)
    path = os.path.join(balancer.folder, "odd.log")
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path), "the line")
    balancer.clean_up()
    with open(path, "rb") as file:
        return file.read().decode()


@pytest.mark.parametrize("escape", ["default", "json", "none"])
def test_odd_values_are_escaped_alike(lab, escape):
    theirs, ours = (logged(lab, program, ODD, escape) for program in PROGRAMS)
    assert ours == theirs


def test_json_escapes_a_little_more_than_nginxs(lab):
    value = "".join(JSON_ONLY_OURS)
    theirs, ours = (logged(lab, program, value, "json") for program in PROGRAMS)
    assert theirs == f"[{value}][{value}502]\n"
    escaped = "".join(JSON_ONLY_OURS.values())
    assert ours == f"[{escaped}][{escaped}502]\n"

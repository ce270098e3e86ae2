"""One `http {}` for tidegate and for the real nginx, and raw requests to both."""

import http.client
import os
import re
import socket

from lab.balancer import STREAM_MODULE
from lab.sockets import receive

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
LIMIT = 30.0


def conf(http, *, program, stream="", workers=1, main=""):
    """A whole configuration around the texts of an `http {}` and a `stream {}` block."""
    lines = [
        f"load_module {STREAM_MODULE};" if program == "nginx" else "",
        "user root;" if os.getuid() == 0 else "",
        "daemon off; pid balancer.pid; error_log error.log info;",
        f"worker_processes {workers};",
        main,
        "events { worker_connections 512; }",
        f"stream {{ {stream} }}" if stream else "",
        "http {",
        "access_log access.log;",
        *(f"{kind}_temp_path {kind};" for kind in TEMPORARY if program == "nginx"),
        http,
        "}",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def both(lab, http, *, stream="", workers=1):
    """Start nginx and tidegate from the same texts, in which PORT and MQTT are ports of their own.

    Gives for each its program, the port of http and that of stream.
    """
    started = []
    for program in ("nginx", lab.program):
        port, mqtt = lab.ports.free(), lab.ports.free()
        text = conf(http, program=program, stream=stream, workers=workers)
        text = text.replace("PORT", f"127.0.0.1:{port}").replace("MQTT", f"127.0.0.1:{mqtt}")
        balancer = lab.idle_balancer(text, program=program)
        balancer.start()
        balancer.wait_ready([port, *([mqtt] if stream else [])], workers)
        started.append((balancer, port, mqtt))
    return started


class Answer:
    """One answer; `head` has its header lines in order."""

    def __init__(self, sock, *, method="GET"):
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        self.status = response.status
        self.reason = response.reason
        self.head = response.getheaders()
        self.body = response.read()

    def __getitem__(self, name):
        return next((value for key, value in self.head if key.lower() == name.lower()), None)


class Pipeline:
    """What comes on one connection, from which several answers are read."""

    def __init__(self, sock):
        self._file = sock.makefile("rb")

    def answers(self, count):
        """So many answers, one after the other."""
        with self._file:
            return [Answer(self) for _ in range(count)]

    def makefile(self, _mode):
        """What http.client reads from, which it may not close."""
        return self

    def close(self):
        """Stay open: more may come."""

    def __getattr__(self, name):
        return getattr(self._file, name)


def connect(port):
    """A connection to a port of this host."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(LIMIT)
    return sock


def ask(port, target, *, method="GET", headers=(), version="1.1", body=b""):
    """One request on a connection of its own, and its answer."""
    with connect(port) as sock:
        return ask_on(sock, target, method=method, headers=headers, version=version, body=body)


def ask_on(sock, target, *, method="GET", headers=(), version="1.1", body=b""):
    """One request, and its answer."""
    lines = [f"{method} {target} HTTP/{version}", "Host: status.example", *headers]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    return Answer(sock, method=method)


def numbers(page):
    """The numbers of a status page, in order."""
    return [int(word) for word in re.findall(rb"\d+", page)]


def echo(sock, word=b"hello"):
    """Send a word and hear it back."""
    sock.sendall(word)
    assert receive(sock, len(word)) == word

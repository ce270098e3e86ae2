"""HTTP in tests: configurations, a broker that keeps what it was asked, and raw clients."""

import contextlib
import os
import re

from lab import sockets
from lab.balancer import listens

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
END = b"\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def whole(http, *, program="tidegate", workers=1, connections=1024, main="", level="info"):
    """A configuration around the text of an `http {}` block, with logs in the same folder."""
    lines = [
        "user root;" if os.getuid() == 0 else "",
        f"daemon off; worker_processes {workers}; pid balancer.pid;",
        f"error_log error.log {level}; {main}",
        f"events {{ worker_connections {connections}; }}",
        "http { access_log access.log;",
        *(f"{kind}_temp_path {kind};" for kind in TEMPORARY if program == "nginx"),
        http,
        "}",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def balancer(lab, http, *, program=None, workers=1, **options):
    """A running balancer with this `http {}` whose workers all accept."""
    program = program or lab.program
    conf = whole(http, program=program, workers=workers, **options)
    made = lab.idle_balancer(conf, program=program)
    made.start()
    ports, paths = listens(conf)
    return made.wait_ready(ports, workers, paths)


class Broker:
    """Keeps the requests it gets, whole, and gives `answers` in turn (the last one for ever).

    An answer that is 101 makes the connection an echo.
    """

    def __init__(self, *answers):
        self.answers = list(answers) or [HELLO]
        self.requests = []

    async def __call__(self, session):
        """Serve one connection."""
        data = b""
        while END not in data:
            more = await session.recv()
            if not more:
                return
            data += more
        head, _, body = data.partition(END)
        length = re.search(rb"(?i)^content-length: *(\d+)\r?$", head, re.MULTILINE)
        while length and len(body) < int(length[1]):
            more = await session.recv()
            if not more:
                break
            body += more
        self.requests.append(head + END + body)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await session.send(answer)
        if answer.startswith(b"HTTP/1.1 101"):
            while data := await session.recv():
                await session.send(data)


def ask(port, data, *, host="127.0.0.1", end=False, source=None) -> bytes:
    """All that is answered to `data` until the other side closes; `end` sends our end behind it."""
    with sockets.open_raw(port, host=host, source=source) as client:
        client.sendall(data)
        if end:
            client.shutdown(1)
        found = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65536):
                found += more
    return found


def get(path="/", *fields, version="1.1", method="GET") -> bytes:
    """A request for one answer on a connection."""
    lines = [f"{method} {path} HTTP/{version}", "Host: a.example", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def upgrade(path="/mqtt", *fields) -> bytes:
    """A request for a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: a.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
        *fields,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def split(answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, fields in order, and body of one answer."""
    head, _, body = answer.partition(END)
    line, *fields = head.decode("latin-1").split("\r\n")
    return int(line.split()[1]), [tuple(one.split(": ", 1)) for one in fields], body

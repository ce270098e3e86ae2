"""The same headers tell tidegate and the installed nginx the same clients, in the same words."""

import contextlib
import os
import random
import re
from functools import partial

import pytest

from lab import proxy_headers as headers
from lab import sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until
from tidegate.observe.error_log import escape

pytestmark = pytest.mark.needs("nginx")

VARIABLES = (
    "binary_remote_addr",
    "bytes_received",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "proxy_protocol_server_addr",
    "proxy_protocol_server_port",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "server_addr",
    "status",
)
LINE = " ".join(f"{name}=[${name}]" for name in VARIABLES)
# The header is this long at most in nginx 1.22; it has been 4096 bytes since 1.23.2.
OLD_BOUND = 107
TRUST = "set_real_ip_from 127.0.0.0/8;"


class Told:
    """What one program answered and logged for each of several connections, in order."""

    def __init__(self, lab, program, server, *, unix=False, stream=""):
        self.lab = lab
        self.program = program
        self.target = os.path.join(lab.folder, f"{program}.sock") if unix else lab.ports.free()
        listen = f"unix:{self.target}" if unix else f"0.0.0.0:{self.target}"
        self.balancer = lab.balancer(
            f"log_format all '{LINE}'; {stream}"
            f"server {{ listen {listen} proxy_protocol; access_log all.log all; {server} }}",
            program=program,
            level="error",
        )
        self.log = os.path.join(self.balancer.folder, "all.log")
        self.answers = []
        self.own = []

    def visit(self, data, *, source=None, ended=True):
        """Send, say that this was all where `ended`, and hear the answer until its last line."""
        with sockets.open_raw(self.target, source=source) as client:
            self.own.append(str(client.getsockname()[1]) if source else "")
            client.sendall(data)
            if not ended:
                self.answers.append(b"".join(iter(partial(client.recv, 1), b"\0")))
                return
            with contextlib.suppress(OSError):
                client.shutdown(1)
            try:
                self.answers.append(sockets.receive_all(client))
            except ConnectionError:
                self.answers.append(b"")

    def all(self):
        """The answers, the access log and the error log; what differs from run to run is named."""
        wait_until(
            lambda: read(self.log).count("\n") == len(self.answers), "the access log is whole"
        )
        lines = [
            re.sub(rf"_port=\[{own}\]", "_port=[OWN]", line) if own else line
            for own, line in zip(self.own, read(self.log).splitlines(), strict=True)
        ]
        with open(self.balancer.error_log, "rb") as file:
            errors = file.read().decode("utf-8", "surrogateescape")
        return self.answers, [self.plain(line) for line in lines], self.plain_errors(errors)

    def plain(self, text):
        return text.replace(str(self.target), "TARGET")

    def plain_errors(self, text):
        """Each line with the text of a broken header as tidegate, and nginx since 1.23, cuts it."""
        found = re.findall(
            r"\[error\] \d+#\d+: \*\d+ (.*?) while reading PROXY protocol, (client: .*?)\n",
            text,
            re.DOTALL,
        )
        return [(self.first_line(message), self.plain(about)) for message, about in found]

    def first_line(self, message):
        if self.program == "tidegate" or not message.startswith('broken header: "'):
            return message
        line = message[len('broken header: "') : -1].split("\r")[0].split("\n")[0]
        line = line.replace("\\", "\\x5C").replace('"', "\\x22")
        return escape(f'broken header: "{line}"')


def compared(lab, visits, server, **options):
    """Both programs get the same visits, (bytes, source address) each."""
    found = []
    for program in ("nginx", "tidegate"):
        told = Told(lab, program, server, **options)
        for data, source in visits:
            told.visit(data, source=source)
        found.append(told.all())
    nginx, tidegate = found
    assert tidegate[0] == nginx[0]
    assert tidegate[1] == nginx[1]
    assert tidegate[2] == nginx[2]
    return tidegate


WHOLE = [data for data in headers.VALID.values() if len(data) <= OLD_BOUND]
WRONG = [data for data, _ in (*headers.BROKEN.values(), *headers.BROKEN_2.values())]
# Where nginx closes without a word we say what was wrong.
SILENT_THERE = [headers.BROKEN_2[name][0] for name in ("too-small", "too-small-ipv6", "empty")]
PIECES = [headers.V1[:end] for end in range(0, len(headers.V1), 5)]
PIECES += [headers.V2[:end] for end in range(1, len(headers.V2), 3) if end < 16]
ALL = [*WHOLE, *(data for data in WRONG if data not in SILENT_THERE), *PIECES]


@pytest.mark.parametrize("trust", [TRUST, "", "set_real_ip_from 127.0.0.2;"])
def test_every_kind_of_header(lab, trust):
    answers, lines, errors = compared(
        lab, [(data, "127.0.0.1") for data in ALL], f"{trust} return [$remote_addr];"
    )
    assert len(answers) == len(lines) == len(ALL)
    assert len(errors) == answers.count(b"") > 20
    assert (b"[203.0.113.7]" in answers) == (trust == TRUST)


def test_every_kind_of_header_over_a_unix_socket(lab):
    answers, _lines, _errors = compared(
        lab,
        [(data, None) for data in ALL],
        "set_real_ip_from unix:; return [$remote_addr];",
        unix=True,
    )
    assert b"[203.0.113.7]" in answers


def test_headers_with_a_few_bytes_changed(lab):
    dice = random.Random(3)
    visits = []
    while len(visits) < 300:
        data = bytearray(dice.choice(WHOLE))
        for _ in range(dice.randint(1, 2)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 1)] = dice.choice([b" ", b"0", b"9", b":", b".", b"a"])
        if comparable(bytes(data)):
            visits.append((bytes(data), "127.0.0.1"))
    answers, _lines, errors = compared(lab, visits, f"{TRUST} return [$remote_addr];")
    assert 50 < len(errors) < 250
    assert len(set(answers)) > 20


def comparable(data):
    """Whether nginx 1.22 says all that it finds, and finds all that is there, and no more.

    A byte behind the header makes it reset the connection, which destroys its own answer.
    """
    if len(data) > OLD_BOUND or data in SILENT_THERE:
        return False
    if not data.startswith(headers.SIGNATURE):
        # It reads an address without some of its numbers, as in "10..1".
        return not re.search(rb"\.\.|\.[ \r]| \.", data) and data.find(b"\n") in (-1, len(data) - 1)
    # Lengths: of what is not there, and of too little.
    size = int.from_bytes(data[14:16], "big")
    least = {1: 12, 2: 36}.get(data[13] >> 4, 0)
    return len(data) == 16 + size and size >= least


def test_whom_to_believe(lab):
    dice = random.Random(4)
    sources = [f"127.{dice.choice([0, 1, 63, 64, 65, 127, 128])}.2.{n}" for n in range(1, 100)]
    sources += ["127.1.2.3", "127.1.2.4", "127.127.255.255", "127.63.255.255", "127.200.0.9"]
    trust = " ".join(
        f"set_real_ip_from {one};"
        for one in ("127.64.0.0/10", "127.1.2.3", "127.200.0.0/28", "::1", "unix:", "10.0.0.0/8")
    )
    answers, _lines, _errors = compared(
        lab, [(headers.V1, source) for source in sources], f"{trust} return [$remote_addr];"
    )
    assert 20 < answers.count(b"[203.0.113.7]") < 90


def test_the_real_address_decides_who_may_come_in(lab):
    hosts = [f"203.0.{third}.{fourth}" for third in range(112, 116) for fourth in (1, 7, 200)]
    rules = "deny 203.0.113.7; allow 203.0.112.0/23; allow 203.0.114.200; deny all;"
    visits = [(headers.v2(headers.addresses(host)), "127.0.0.1") for host in hosts]
    answers, lines, _errors = compared(lab, visits, f"{TRUST} {rules} return [$remote_addr];")
    assert 0 < answers.count(b"") < len(hosts)
    assert sum("status=[403]" in line for line in lines) == answers.count(b"")


def test_the_real_address_decides_the_node(lab):
    hosts = [f"203.{second}.113.{fourth}" for second in range(20) for fourth in (1, 7)]
    nodes = [lab.node(greet(b"%d\0" % number)) for number in range(4)]
    upstream = (
        "upstream nodes { hash $remote_addr consistent; "
        + " ".join(f"server {node.address};" for node in nodes)
        + "}"
    )
    found = []
    for program in ("nginx", "tidegate"):
        told = Told(lab, program, f"{TRUST} proxy_pass nodes;", stream=upstream)
        for host in hosts:
            told.visit(headers.v2(headers.addresses(host)), source="127.0.0.1", ended=False)
        found.append(told.answers)
        told.balancer.clean_up()
    assert found[0] == found[1]
    assert len(set(found[0])) == len(nodes)


@pytest.mark.parametrize("header", [headers.V1, headers.V2, headers.UNKNOWN], ids=["1", "2", "?"])
def test_the_node_gets_the_same_header(lab, header):
    heard = []
    for program in ("nginx", "tidegate"):
        node = lab.node()
        told = Told(lab, program, f"{TRUST} proxy_protocol on; proxy_pass {node.address};")
        told.visit(header + b"hello\0", source="127.0.0.1", ended=False)
        own = told.own[0]
        heard.append(told.plain(told.answers[0].decode()).replace(f" {own} ", " OWN "))
        told.balancer.clean_up()
    assert heard[0] == heard[1]
    assert heard[0].endswith(" TARGET\r\nhello")

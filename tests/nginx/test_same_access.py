"""`allow`, `deny` and `limit_conn` let in the same clients as the installed nginx, in its words.

Clients come from many addresses of 127.0.0.0/8, and from ::1 and a Unix socket.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import re

import pytest

from lab import proc, sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("nginx")

FORMAT = (
    "log_format verdict '$remote_addr $status $limit_conn_status'; access_log verdicts verdict;"
)


class Side:
    """One balancer with the directives of a case, and what its clients hear."""

    def __init__(self, lab, program, text, *, workers=1, servers=1):
        self.node = lab.node(greet(b"h"))
        self.ports = [lab.ports.free() for _ in range(servers)]
        self.path = os.path.join(lab.folder, f"{program}.sock")
        text = re.sub(r"LISTEN(\d)", lambda found: f"127.0.0.1:{self.ports[int(found[1])]}", text)
        text = text.replace("UNIX", f"unix:{self.path}").replace("NODE", self.node.address)
        text = text.replace("INET6", f"[::1]:{self.ports[0]}")
        self.balancer = lab.balancer(f"{FORMAT} {text}", program=program, workers=workers)
        self.workers = self.balancer.workers()

    def come(self, target, source=None):
        """A client; None when it was refused."""
        host = "::1" if source == "::1" else "127.0.0.1"
        client = sockets.open_raw(target, host=host, source=source)
        with contextlib.suppress(ConnectionError):
            if sockets.receive(client, 1):
                return client
        client.close()
        return None

    def verdicts(self, count):
        if not count:
            return []
        path = os.path.join(self.balancer.folder, "verdicts")
        return wait_until(
            lambda: (lines := read(path).splitlines())[count - 1 :] and lines, f"{count} verdicts"
        )

    def settle(self, count):
        """Wait until `count` clients are gone, for the limits too."""
        self.verdicts(count)
        # nginx writes the line first, and then counts one less.
        wait_until(lambda: all(map(proc.waits, self.workers)), "the workers have nothing to do")

    def words(self):
        """Level and message of the lines about refused clients, ports and paths made alike."""
        found = []
        for line in self.balancer.errors().splitlines():
            level, _, rest = line.partition("[")[2].partition("] ")
            message = rest.partition(" *")[2].partition(" ")[2]
            if re.match("access|limiting|the value", message) or "no memory" in rest:
                message = message or rest.partition(": ")[2]
                for number, port in enumerate(self.ports):
                    message = message.replace(f":{port}", f":PORT{number}")
                found.append((level, message.replace(self.path, "PATH")))
        return found


def sides(lab, text, **options):
    return [Side(lab, program, text, **options) for program in ("nginx", "tidegate")]


SERVER = "server {{ listen LISTEN0; proxy_pass NODE; {} }}"


def random_rules(chance):
    """A list of rules in which networks lie inside each other."""
    lines = []
    for _ in range(chance.randrange(1, 8)):
        verb = chance.choice(["allow", "deny"])
        network = ipaddress.ip_network(
            f"127.0.{chance.randrange(4)}.{chance.randrange(256)}/{chance.randrange(8, 33)}",
            strict=False,
        )
        what = chance.choice([str(network)] * 6 + [str(network[0])] * 2 + ["all", "unix:", "::/0"])
        lines.append(f"{verb} {what};")
    return " ".join(lines)


@pytest.mark.parametrize("seed", range(6))
def test_the_same_addresses_are_let_in(lab, seed):
    chance = random.Random(seed)
    outside = random_rules(chance) if seed % 2 else ""
    inside = random_rules(chance) if seed % 3 else ""
    text = f"{outside} {SERVER.format(inside)}"
    addresses = [f"127.0.{chance.randrange(4)}.{chance.randrange(1, 255)}" for _ in range(100)]
    seen = []
    for side in sides(lab, text, workers=2):
        heard = []
        for address in addresses:
            client = side.come(side.ports[0], address)
            heard.append(client is not None)
            if client is not None:
                client.close()
        seen.append((heard, sorted(side.verdicts(len(addresses))), sorted(side.words())))
    theirs, ours = seen
    assert ours == theirs


@pytest.mark.parametrize(
    "rules",
    [
        "deny all;",
        "allow unix:; deny all;",
        "allow ::1; deny all;",
        "deny ::/0; allow all;",
        "deny 127.0.0.0/8;",
        "deny unix:;",
    ],
)
def test_the_rules_for_other_families_are_the_same(lab, rules):
    text = f"server {{ listen LISTEN0; listen INET6; listen UNIX; proxy_pass NODE; {rules} }}"
    seen = []
    for side in sides(lab, text):
        heard = []
        for target, source in ((side.ports[0], None), (side.ports[0], "::1"), (side.path, None)):
            client = side.come(target, source)
            heard.append(client is not None)
            if client is not None:
                client.close()
        seen.append((heard, sorted(side.verdicts(3)), sorted(side.words())))
    theirs, ours = seen
    assert ours == theirs


ZONES = (
    "limit_conn_zone $binary_remote_addr zone=addr:1m;"
    " limit_conn_zone $server_port zone=port:1m;"
    ' limit_conn_zone "$remote_addr of $server_addr" zone=pair:32k;'
    ' limit_conn_zone "" zone=none:32k;'
)
LIMITS = {
    "one": "limit_conn addr 2;",
    "several": "limit_conn addr 3; limit_conn port 7; limit_conn pair 2;",
    "several, in another order": "limit_conn pair 3; limit_conn port 7; limit_conn addr 2;",
    "level": "limit_conn addr 1; limit_conn_log_level info;",
    "dry run": "limit_conn addr 1; limit_conn_dry_run on;",
    "dry run of several": "limit_conn port 5; limit_conn addr 2; limit_conn_dry_run on;",
    "nothing counted": "limit_conn none 1;",
    "limits and rules": "limit_conn addr 1; deny 127.0.0.2;",
    "limits of unix": "limit_conn addr 1; allow 127.0.0.1; deny all;",
}


@pytest.mark.parametrize("case", LIMITS)
def test_the_same_clients_are_over_the_limit(lab, case):
    text = (
        f"{ZONES} limit_conn port 9; {SERVER.format(LIMITS[case])}"
        " server { listen LISTEN1; proxy_pass NODE; }"
    )
    seen = []
    for side in sides(lab, text, workers=2, servers=2):
        chance = random.Random(case)
        heard, living, ended = [], [], 0
        for _ in range(60):
            address = f"127.0.0.{chance.randrange(1, 5)}"
            client = side.come(side.ports[chance.random() < 0.2], address)
            heard.append(client is not None)
            ended += client is None
            if client is not None:
                living.append(client)
            if living and chance.random() < 0.4:
                living.pop(chance.randrange(len(living))).close()
                ended += 1
            # Both have counted those that are gone before the next one comes.
            side.settle(ended)
        for client in living:
            client.close()
        seen.append((heard, sorted(side.verdicts(60)), sorted(side.words())))
    theirs, ours = seen
    assert ours == theirs


def test_a_key_that_is_too_long_is_told_of_in_the_same_words(lab):
    key = "x" * 250
    text = (
        f'limit_conn_zone "{key}$remote_addr" zone=long:1m; {SERVER.format("limit_conn long 1;")}'
    )
    seen = []
    for side in sides(lab, text):
        first, second = side.come(side.ports[0]), side.come(side.ports[0])
        first.close()
        second.close()
        seen.append((side.verdicts(2), side.words()))
    (their_verdicts, their_words), ours = seen
    # We show no more of what may be a client's text than its first 128 characters.
    cut = [(level, re.sub(r'(bytes: "x{128})[^"]*', r"\1", words)) for level, words in their_words]
    assert ours == (their_verdicts, cut)
    assert len(cut) == 2


def test_a_full_zone_refuses_with_503_as_there(lab):
    """How many fit into 32k is each one's own; that the rest is refused is not."""
    text = (
        f"limit_conn_zone $remote_addr$remote_port zone=small:32k;"
        f" {SERVER.format('limit_conn small 1;')}"
    )
    seen = []
    for side in sides(lab, text):
        living = []
        while (client := side.come(side.ports[0])) is not None:
            living.append(client)
            assert len(living) < 600
        (line,) = side.verdicts(1)
        level, words = side.words()[-1]
        seen.append((line, level, words.partition(" while")[0]))
        assert len(living) > 300
        for client in living:
            client.close()
    theirs, ours = seen
    assert ours == theirs

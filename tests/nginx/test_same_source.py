"""`proxy_bind`: nodes see the addresses that they see with the installed nginx, or its error."""

import re

import pytest

from lab import sockets

pytestmark = pytest.mark.needs("nginx")

# Each stands for a client from 127.0.0.7.
VALUES = {
    "an address": "127.0.0.9",
    "an address of ours by a variable": "$remote_addr",
    "leading zeros": "127.000.000.009",
    "a port": "127.0.0.9:PORT",
    "a port by a variable": "127.0.0.9:${port}",
    "an address of others": "203.0.113.1",
    "an address of others by a variable": "203.0.113.${one}",
    "an address of the other family": "::1",
    "nothing": "$nothing",
    "a name": "eth$one",
    "a port of letters": "127.0.0.9:x$one",
    "a port too high": "127.0.0.9:70000$one",
    "no port behind the colon": "$remote_addr:",
    "port 0": "127.0.0.9:0$nothing",
    "brackets and a port": "[$remote_addr]:PORT",
    "brackets and port 0": "[$remote_addr]:0",
    "brackets": "[$remote_addr]",
    "an IPv6 address in brackets": "[::$one]",
    "an IPv6 address with a port": "[::$one]:PORT",
    "half an address": "127.0.$one",
    "off": "off",
}


async def say_peer(session):
    host, port = session.sock.getpeername()
    await session.send(f"{host} {port}".encode())


def seen(lab, program):
    """For each value what the node saw, the status, and the lines at error or worse."""
    node = lab.node(say_peer)
    own = lab.ports.free()
    ports = {name: lab.ports.free() for name in VALUES}
    stream = f"map $protocol $port {{ default {own}; }} map $protocol $one {{ default 1; }}"
    stream += 'map $protocol $nothing { default ""; }'
    for name, value in VALUES.items():
        bind = value.replace("PORT", str(own))
        stream += (
            f"server {{ listen 127.0.0.1:{ports[name]}; proxy_pass {node.address};"
            f" proxy_bind {bind}; }}\n"
        )
    balancer = lab.balancer(stream, program=program)
    found, read = {}, 0
    for name, port in ports.items():
        with sockets.open_raw(port, source="127.0.0.7") as client:
            host, _, number = sockets.receive_all(client).decode().partition(" ")
        session = balancer.wait_sessions(len(found) + 1)[-1]
        log = balancer.errors()
        said = re.findall(r"\[(crit|error|alert)\] \d+#\d+: \*\d+ (.*)", log[read:])
        read = len(log)
        words = [(level, _without_ports(text, own, port, node.port)) for level, text in said]
        found[name] = host, number == str(own), session["status"], words
    return found


def _without_ports(text, own, port, node):
    for number, name in ((own, "PORT"), (port, "LISTEN"), (node, "NODE")):
        text = text.replace(f":{number}", f":{name}")
    return text


def test_sessions_go_the_same_ways(lab):
    ours = seen(lab, "tidegate")
    assert ours == seen(lab, "nginx")
    assert {status for _host, _same, status, _said in ours.values()} == {"200", "500"}


def test_200_clients_of_page_12_have_the_same_addresses(lab):
    node = lab.node(say_peer)

    def addresses(program):
        port = lab.ports.free()
        parts = " ".join(f"20% 127.0.6.{number};" for number in range(1, 5))
        lab.balancer(
            f'split_clients "$remote_addr$protocol" $multi_ip {{ {parts} * 127.0.6.5; }}'
            f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address};"
            " proxy_bind $multi_ip; }",
            program=program,
        )
        found = []
        for number in range(200):
            with sockets.open_raw(port, source=f"127.1.{number}.{number * 7 % 250 + 1}") as client:
                found.append(sockets.receive_all(client).decode().split()[0])
        return found

    ours = addresses("tidegate")
    assert len(set(ours)) == 5
    assert ours == addresses("nginx")

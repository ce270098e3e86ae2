"""`ssl_preread` tells of a client's first bytes what the installed nginx tells of them."""

import random
import socket
import ssl

import pytest

from lab.sockets import open_raw, receive_all
from lab.tls import hello_of

pytestmark = pytest.mark.needs("nginx")

TOLD = "<$ssl_preread_protocol|$ssl_preread_server_name|$ssl_preread_alpn_protocols>"


def in_records(data, size):
    """The same message in records of at most `size` bytes."""
    message = data[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(data[:3] + len(one).to_bytes(2, "big") + one for one in pieces)


def broken(whole, count):
    """Hellos with a few bytes that are others."""
    chance = random.Random(11)
    versions = whole.index(b"\x00\x2b\x00\x05\x04") + 5
    after = range(versions + 4, len(whole))
    for _ in range(count):
        data = bytearray(whole)
        # Not in the length of the message: nginx passes one that cannot be true unread at once, we
        # wait for the rest. Not in the versions offered, of which nginx sees half a number alone.
        # And not in numbers that mean nothing.
        for _ in range(chance.randrange(1, 4)):
            at = chance.choice([*range(6), *range(9, 12), *range(43, versions), *after])
            data[at] = chance.choice([0, 1, 2, 3, 255, chance.randrange(256)])
        yield bytes(data)


def cases():
    whole = hello_of(name="broker.example", protocols=("mqtt", "h2"))
    yield whole
    yield hello_of()
    yield hello_of(name="BROKER.example", newest=ssl.TLSVersion.TLSv1_2)
    yield hello_of(name="x" * 60 + ".example", protocols=("mqtt",))
    yield from (in_records(whole, size) for size in (20, 50, 100, 300))
    yield from (whole[:size] for size in (1, 4, 5, 6, 40, len(whole) - 1))
    yield from (b"", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", b"GET / HTTP/1.1\r\n\r\n")
    yield b"\x80\x2e\x01\x03\x01\x00\x15" + bytes(60)
    yield b"\x80\x2e\x01\x00\x02\x00\x15" + bytes(60)
    yield from broken(whole, 200)


def told(port, data):
    with open_raw(port) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        return receive_all(sock)


def test_a_hello_whole_cut_or_broken(lab):
    ports = []
    for program in ("nginx", "tidegate"):
        ports.append(lab.ports.free())
        lab.balancer(
            f'server {{ listen 127.0.0.1:{ports[-1]}; ssl_preread on; return "{TOLD}"; }}',
            program=program,
        )
    texts = list(cases())
    theirs, ours = ([told(port, data) for data in texts] for port in ports)
    different = [
        (data.hex(), one, other)
        for data, one, other in zip(texts, theirs, ours, strict=True)
        if one != other
    ]
    assert different == []
    assert b"<TLSv1.3|broker.example|mqtt,h2>" in ours
    assert len(set(ours)) > 5

"""Crowds, garbage and slow readers in TLS cost themselves, not the others, nor the memory."""

import contextlib
import hashlib
import random
import ssl
import threading

import pytest

from lab import proc
from lab.fixtures import Lab
from lab.nodes import echo, greet
from lab.s_client import GREETING, s_client
from lab.sockets import open_raw, receive, receive_all, unread
from lab.tls import V12, V13, client_context, connect, echoes
from lab.waiting import wait_until

# One program for all tests here.
pytestmark = [pytest.mark.needs("openssl"), pytest.mark.xdist_group("tls_under_pressure")]

MIB = 1 << 20
POUR = b"pour\n"
POURED = random.Random(1).randbytes(4 * MIB)
READERS = 10
# Per slow reader: what it did not take (one read of ours), OpenSSL's buffers, and as much again.
ALLOWED_KIB = READERS * (64 + 40) * 2
CROWD = 800


async def serve(session):
    """Echo, but pour megabytes out for who asks for them."""
    data = await session.recv(len(POUR))
    if data == POUR:
        await session.send(POURED)
        return
    await session.send(data)
    await echo(session)


class Front:
    """One worker in front of two nodes, one of which speaks first."""

    def __init__(self, lab, pair):
        node = lab.node(serve, keep=False)
        polite = lab.node(greet(GREETING))
        self.port, self.greeter = lab.ports.free(), lab.ports.free()
        self.balancer = lab.balancer(
            f"ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};\n"
            f"server {{ listen 127.0.0.1:{self.port} ssl; proxy_pass {node.address}; }}\n"
            f"server {{ listen 127.0.0.1:{self.greeter} ssl; proxy_pass {polite.address}; }}",
            connections=4096,
        )
        [self.worker] = self.balancer.workers()


@pytest.fixture(scope="module")
def front(ports, server_pair, many_descriptors):
    assert many_descriptors > 2 * CROWD
    lab = Lab(ports)
    with contextlib.closing(lab):
        yield Front(lab, server_pair)


@pytest.fixture(autouse=True)
def same_worker(front):
    """Whatever happens, the worker lives and serves."""
    yield
    assert front.balancer.workers() == [front.worker]


def hello(context) -> bytes:
    """A client's first flight."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [V12, V13])
def test_a_storm_of_handshakes_lets_running_sessions_have_their_turn(front, authority, version):
    context = client_context(authority, version=version)
    first = hello(context)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(open_raw(front.port)) for _ in range(CROWD)]
        running = stack.enter_context(connect(front.port, context))
        assert echoes(running)
        answers = []

        def storm():
            for sock in crowd:
                sock.sendall(first)
            answers.extend(receive(sock, 1) for sock in crowd)

        trips = 0
        thread = threading.Thread(target=storm)
        thread.start()
        while thread.is_alive():
            running.sendall(b"%07d" % trips)
            assert receive(running, 7) == b"%07d" % trips
            trips += 1
        thread.join()
        assert answers == [b"\x16"] * CROWD
    # A few handshakes a turn give about fifty; were they all done at once, it would be two.
    assert trips > 10


@pytest.mark.parametrize("version", [V12, V13])
def test_slow_readers_hold_their_senders_up_and_get_every_byte(front, authority, version):
    context = client_context(authority, version=version)
    with contextlib.ExitStack() as stack:
        raw = [open_raw(front.port, rcvbuf=4096) for _ in range(READERS)]
        readers = [
            stack.enter_context(context.wrap_socket(sock, server_hostname="127.0.0.1"))
            for sock in raw
        ]
        before = proc.own_kib(front.worker)
        for reader in readers:
            reader.sendall(POUR)
        _settle(readers)
        peak = proc.own_kib(front.worker)
        whole = hashlib.sha256(POURED).digest()
        for reader in readers:
            assert hashlib.sha256(receive_all(reader)).digest() == whole
            peak = max(peak, proc.own_kib(front.worker))
    assert peak - before < ALLOWED_KIB


def _settle(readers):
    """Wait until each has something to read, and nothing more comes."""
    seen = []

    def steady():
        seen.append([unread(reader) for reader in readers])
        return all(seen[-1]) and len(seen) > 30 and seen[-1] == seen[-30]

    wait_until(steady, "the flow comes to a stand")


def test_a_million_random_bytes_harm_nobody(front, authority):
    dice = random.Random(7)
    first = hello(client_context(authority))
    with connect(front.port, client_context(authority)) as running:
        for number in range(200):
            words = [dice.randbytes(5000)] * 2
            if number % 3 == 1:
                words.insert(0, bytes.fromhex("1603010200"))
            elif number % 3 == 2:
                # A hello with a wrong byte or two, and then anything.
                broken = bytearray(first)
                for _ in range(dice.randrange(1, 3)):
                    broken[dice.randrange(len(broken))] = dice.randrange(256)
                words.insert(0, bytes(broken))
            with open_raw(front.port) as sock, contextlib.suppress(OSError):
                for piece in words:
                    sock.sendall(piece)
                receive_all(sock)
            if number % 50 == 0:
                assert echoes(running)
        assert echoes(running)


def test_who_only_agrees_on_new_keys_is_cut_off(front):
    # OpenSSL handles them in one call for as long as they come: nobody else had a turn.
    turns = 100
    told = s_client(front.greeter, "-tls1_3", say=["K"] * turns, until=["KEYUPDATE\n"] * turns)
    assert told.output.count("KEYUPDATE") < turns
    front.balancer.wait_for_output("too many TLS messages without data while proxying connection")


def test_new_keys_now_and_then_are_welcome(front):
    turns = 50
    say, until = ["K", "hello"] * turns, ["KEYUPDATE\n", "\nhello\n"] * turns
    told = s_client(front.greeter, "-tls1_3", say=say, until=until)
    assert told.output.count("\nhello\n") == turns
    assert told.messages[-1] == "Handshake KeyUpdate"

"""Clients that send nothing, too little or too much at first harm nobody and cost little."""

import contextlib
import time

import pytest

from lab import packets, proc, sockets
from lab.clients import mosquitto_pub
from lab.waiting import wait_until

# CONNACK of MQTT 5 with reason 0x81 and a Reason String.
MALFORMED = b"\x20\x17\x00\x81\x14\x1f\x00\x11malformed CONNECT"

CROWD = 9_000
# A tenth of the buffer that a first packet may fill.
KIB_EACH = 1.6
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 12)]


@pytest.fixture
def crowd(many_descriptors):
    """A function that opens many connections, which the test ends."""
    assert many_descriptors > CROWD + 500
    with contextlib.ExitStack() as stack:

        def open_many(port, count, data=b""):
            found = []
            for number in range(count):
                source = ADDRESSES[number % len(ADDRESSES)]
                sock = stack.enter_context(sockets.open_raw(port, source=source))
                if data:
                    sock.sendall(data)
                found.append(sock)
            return found

        yield open_many


def front(lab, more):
    """A balancer with room for the crowd; its worker."""
    node = lab.mosquitto()
    port = lab.ports.free()
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass {node.address}; {more} }}",
        connections=20_000,
        main="worker_rlimit_nofile 20000;",
    )
    [worker] = balancer.workers()
    return balancer, port, worker


def held(worker, count):
    """Wait until the worker has as many sockets more than none."""
    wait_until(lambda: len(proc.descriptors(worker)) >= count, f"{count} are accepted", timeout=60)


def served(port):
    """Good clients, in both versions; in processes of their own, as paho knows 1,024 sockets."""
    for version in ("mqttv311", "mqttv5"):
        mosquitto_pub(port, "t", b"x", version=version)


@pytest.mark.needs("mosquitto")
@pytest.mark.timeout(240)
def test_9000_that_send_nothing(lab, crowd):
    balancer, port, worker = front(lab, "mqtt_preread on; preread_timeout 10m;")
    served(port)
    before = proc.own_kib(worker)
    crowd(port, CROWD)
    held(worker, CROWD)
    served(port)
    each = (proc.own_kib(worker) - before) / CROWD
    assert each < KIB_EACH
    assert [session["status"] for session in balancer.wait_sessions(4)] == ["200"] * 4


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("more", "claimed"),
    [
        ("mqtt_preread on;", b"\x10\x80\x7f"),
        ("mqtt on; mqtt_buffers 1000 1k; mqtt_set_connect username x;", b"\x10\x80\x80\x3e"),
    ],
    ids=["preread", "rewrite"],
)
def test_many_that_announce_a_large_connect_and_send_a_piece_of_it(lab, crowd, more, claimed):
    """Announced are 16 KiB, and 1 MiB, each: 1,000 of these would be a gigabyte."""
    balancer, port, worker = front(lab, more + "preread_timeout 10m;")
    served(port)
    before = proc.own_kib(worker)
    count = 1_000
    crowd(port, count, claimed + b"\x00\x04MQTT\x04")
    held(worker, count)
    served(port)
    assert (proc.own_kib(worker) - before) / count < 2 * KIB_EACH
    assert len(balancer.wait_sessions(4)) == 4


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    "more", ["mqtt_preread on;", "mqtt on;", "mqtt_preread on; mqtt_require on;"]
)
def test_a_connect_of_256_mib_is_refused_by_its_length(lab, more):
    balancer, port, worker = front(lab, more)
    served(port)
    before = proc.own_kib(worker)
    count = 20
    for _ in range(count):
        with sockets.open_raw(port) as sock:
            sock.sendall(b"\x10\xff\xff\xff\x7f")
            assert sockets.receive_all(sock) == b""
    served(port)
    statuses = [session["status"] for session in balancer.wait_sessions(count + 4)]
    assert statuses.count("400") == count
    assert proc.own_kib(worker) - before < 1024
    assert balancer.errors().count("preread buffer full") == count


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("more", "properties"),
    [
        ("mqtt_preread on; mqtt_require on;", 3_000),
        ("mqtt on; mqtt_set_connect clientid x;", 20_000),
    ],
    ids=["preread", "rewrite"],
)
def test_thousands_of_user_properties_are_refused(lab, more, properties):
    """As many as the buffer holds; to read them all would take 10 ms and more for each client."""
    balancer, port, worker = front(lab, more)
    served(port)
    before = proc.own_kib(worker)
    connect = packets.connect("x", version=5, properties=packets.user_property() * properties)
    count = 50
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(sockets.open_raw(port)) for _ in range(count)]
        for sock in socks:
            sock.sendall(connect)
        served(port)
        for sock in socks:
            assert sockets.receive_all(sock) == MALFORMED
    statuses = [session["status"] for session in balancer.wait_sessions(count + 4)]
    assert statuses.count("400") == count
    assert balancer.errors().count("more than 256 user properties") == count
    # What is refused is not kept.
    assert proc.own_kib(worker) - before < 1024


@pytest.mark.needs("mosquitto")
def test_a_byte_a_second_is_cut_off_in_time(lab):
    """The time is that of the whole packet, not of the pauses in it."""
    balancer, port, _worker = front(lab, "mqtt_preread on; preread_timeout 3s;")
    connect = packets.connect("a-slow-one" * 4)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(sockets.open_raw(port)) for _ in range(20)]
        for sock in slow:
            sock.setblocking(False)
        start = time.monotonic()
        left = dict.fromkeys(slow, connect)
        while left and time.monotonic() - start < 20:
            for sock, rest in list(left.items()):
                if closed(sock):
                    del left[sock]
                    continue
                with contextlib.suppress(OSError):
                    sock.send(rest[:1])
                left[sock] = rest[1:]
            served(port)
            time.sleep(1)
        assert not left

    def cut():
        return [one for one in balancer.sessions() if one["upstream_addr"] == "-"]

    wait_until(lambda: len(cut()) == len(slow), "they are in the log")
    for session in cut():
        assert 2.9 < float(session["session_time"]) < 18
        assert int(session["bytes_received"]) > 1


def closed(sock):
    """Whether the balancer has ended a connection."""
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True

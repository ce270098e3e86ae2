"""Behind haproxy, nginx or another tidegate the client's own address counts, from its header."""

import concurrent.futures
import contextlib
import os
import random
import time

import pytest

from lab import packets, proc, proxy_headers, sockets
from lab.balancer import STREAM_MODULE
from lab.packets import Crowd
from lab.waiting import wait_until

TRUST = "set_real_ip_from 127.0.0.0/8; set_real_ip_from ::1; set_real_ip_from unix:;"


def behind(lab, node, *, listen="127.0.0.1:{}", more=TRUST, **options):
    """A balancer that wants a header; gives it and the address that it listens on."""
    address = listen.format(lab.ports.free())
    balancer = lab.balancer(
        f"server {{ listen {address} proxy_protocol; proxy_pass {node.address}; {more} }}",
        **options,
    )
    return balancer, address


def port_of(address):
    """The port of host:port."""
    return int(address.rpartition(":")[2])


def haproxy(lab, target, version):
    """haproxy as the sender."""
    port = lab.ports.free()
    send = {1: "send-proxy", 2: "send-proxy-v2 proxy-v2-options unique-id"}[version]
    path = os.path.join(lab.folder, "sender.cfg")
    lines = [
        "global",
        "  log stdout format raw local0",
        "defaults",
        "  mode tcp",
        "  timeout connect 5s",
        "  timeout client 60s",
        "  timeout server 60s",
        "frontend sender",
        f"  bind 127.0.0.1:{port}",
        f"  bind [::1]:{port}",
        "  unique-id-format %ci-%cp",
        "  default_backend balancer",
        "backend balancer",
        f"  server balancer {target.replace('unix:', 'unix@')} {send}",
    ]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    program = lab.running(["haproxy", "-db", "-f", path], name="sender")
    program.wait_until(lambda: proc.listening_inodes(port), "haproxy listens")
    return port


def nginx(lab, target, _version):
    """nginx as the sender."""
    port = lab.ports.free()
    sender = lab.idle_balancer(
        f"load_module {STREAM_MODULE}; daemon off; pid sender.pid; error_log error.log;"
        + ("user root;" if os.getuid() == 0 else "")
        + f"events {{}} stream {{ server {{ listen 127.0.0.1:{port}; listen [::1]:{port};"
        f" proxy_pass {target}; proxy_protocol on; }} }}",
        program="nginx",
    )
    sender.start().wait_ready([port], 1)
    return port


def tidegate(lab, target, _version):
    """Another tidegate as the sender."""
    port = lab.ports.free()
    lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; listen [::1]:{port};"
        f" proxy_pass {target}; proxy_protocol on; }}"
    )
    return port


SENDERS = [
    pytest.param(haproxy, 1, marks=pytest.mark.needs("haproxy"), id="haproxy-v1"),
    pytest.param(haproxy, 2, marks=pytest.mark.needs("haproxy"), id="haproxy-v2"),
    pytest.param(nginx, 1, marks=pytest.mark.needs("nginx"), id="nginx"),
    pytest.param(tidegate, 1, id="tidegate"),
]


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(("sender", "version"), SENDERS)
@pytest.mark.parametrize("preread", ["", "mqtt_preread on;"], ids=["plain", "mqtt"])
def test_clients_of_another_balancer_are_known_by_their_own_address(lab, sender, version, preread):
    balancer, address = behind(lab, lab.mosquitto(), more=TRUST + preread)
    port = sender(lab, address, version)
    for host, source in (("127.0.0.1", "127.0.0.9"), ("::1", "::1")):
        with packets.open_mqtt(port, "device", host=host, source=source) as client:
            client.sendall(packets.PINGREQ)
            assert sockets.receive(client, 2) == packets.PINGRESP
            client.sendall(packets.DISCONNECT)
            sockets.receive_all(client)
    sessions = balancer.wait_sessions(2)
    assert {session["remote_addr"] for session in sessions} == {"127.0.0.9", "::1"}
    assert {session["status"] for session in sessions} == {"200"}
    assert "broken header" not in balancer.errors()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("where", ["[::1]:{}", "unix"], ids=["ipv6", "unix"])
def test_a_header_comes_over_any_kind_of_socket(lab, where):
    path = os.path.join(lab.folder, "balancer.sock")
    listen = f"unix:{path}" if where == "unix" else where
    balancer, address = behind(lab, lab.mosquitto(), listen=listen)
    port = tidegate(lab, address, 1)
    with packets.open_mqtt(port, "device", source="127.0.0.9") as client:
        client.sendall(packets.DISCONNECT)
        sockets.receive_all(client)
    assert [session["remote_addr"] for session in balancer.wait_sessions(1)] == ["127.0.0.9"]


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("header", ["v1", "v2", "v2-full"])
@pytest.mark.parametrize("preread", ["", "mqtt_preread on;", "mqtt on;"])
def test_header_and_connect_may_come_in_one_packet(lab, header, preread):
    balancer, address = behind(lab, lab.mosquitto(), more=TRUST + preread)
    port = port_of(address)
    with sockets.open_raw(port) as client:
        client.sendall(proxy_headers.VALID[header] + packets.connect("device") + packets.PINGREQ)
        answer = packets.CONNACK_OK + packets.PINGRESP
        assert sockets.receive(client, len(answer)) == answer
        client.sendall(packets.DISCONNECT)
        sockets.receive_all(client)
    [session] = balancer.wait_sessions(1)
    assert session["remote_addr"] == "203.0.113.7"
    sent = len(packets.connect("device") + packets.PINGREQ + packets.DISCONNECT)
    assert session["bytes_received"] == str(sent)


def test_nobody_is_served_without_a_header(lab):
    node = lab.node()
    balancer, address = behind(lab, node)
    port = port_of(address)
    with sockets.open_raw(port) as client:
        client.sendall(packets.connect("device"))
        assert sockets.receive_all(client) == b""
    [session] = balancer.wait_sessions(1)
    assert (session["status"], session["upstream_addr"]) == ("400", "-")
    assert "broken header: " in balancer.errors()
    assert " while reading PROXY protocol, client: 127.0.0.1, server: " in balancer.errors()
    assert node.sessions == []


def test_a_header_may_take_proxy_protocol_timeout(lab):
    node = lab.node()
    times = {}
    for value in ("300ms", "3s"):
        balancer, address = behind(lab, node, more=f"proxy_protocol_timeout {value};")
        start = time.monotonic()
        with sockets.open_raw(port_of(address)) as client:
            client.sendall(proxy_headers.V1[:10])
            assert sockets.receive_all(client) == b""
        times[value] = time.monotonic() - start
        [session] = balancer.wait_sessions(1)
        assert session["status"] == "200"
        assert "client timed out (110: Connection timed out) while reading" in balancer.errors()
    assert 0.29 < times["300ms"] < 2.9 < times["3s"]
    assert node.sessions == []


HOSTILE = 5_000


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.timeout(240)
def test_thousands_of_hostile_headers_harm_nobody(lab):
    """Each is cut, changed or made up; good clients are served among them, and memory stays."""
    node = lab.node()
    balancer, address = behind(lab, node, connections=2048, level="crit")
    port = port_of(address)
    [worker] = balancer.workers()
    dice = random.Random(5)
    used = []
    idle = len(proc.descriptors(worker))
    # The first half shows how many sessions there are at once, which takes memory for good.
    for _half in range(2):
        attack(port, [hostile(dice) for _ in range(HOSTILE // 2)])
        served(port)
        wait_until(lambda: len(proc.descriptors(worker)) <= idle, "all have gone", timeout=60)
        used.append(proc.own_kib(worker))
    assert balancer.workers() == [worker]
    assert used[1] - used[0] < 1024
    assert "fault of ours" not in balancer.errors()


def hostile(dice):
    """A header that somebody has had in hand, or bytes that never were one."""
    data = bytearray(dice.choice(list(proxy_headers.VALID.values())))
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(len(data))
        data[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
    if dice.random() < 0.3:
        del data[dice.randrange(len(data)) :]
    if dice.random() < 0.1:
        data = bytearray(dice.randbytes(dice.randint(0, 200)))
    return bytes(data) + dice.choice([b"", b"x", proxy_headers.V1])


def attack(port, all_of_them):
    """Send each on a connection of its own, and leave in one way or another."""

    def one(data):
        with contextlib.suppress(OSError), sockets.open_raw(port) as client:
            client.sendall(data)
            if len(data) % 3 == 0:
                client.shutdown(1)
                sockets.receive_all(client)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(one, all_of_them))


def served(port):
    """A good client is."""
    with sockets.open_raw(port) as client:
        client.sendall(proxy_headers.V2 + b"hello")
        assert sockets.receive(client, 5) == b"hello"


COUNT = 2_000


@pytest.mark.needs("mosquitto")
@pytest.mark.usefixtures("many_descriptors")
async def test_idle_sessions_with_a_header_cost_little(lab):
    node = lab.mosquitto()
    balancer, address = behind(lab, node, connections=2 * COUNT + 100)
    [worker] = balancer.workers()
    before = proc.own_kib(worker)
    crowd = Crowd(port_of(address), first=proxy_headers.V1)
    await crowd.connect(COUNT)
    await crowd.ping()
    per_session = (proc.own_kib(worker) - before) / COUNT
    await crowd.close()
    wait_until(lambda: len(balancer.sessions()) >= COUNT, "all sessions are logged")
    # A plain one costs half a KiB, its header 0.2 more.
    assert per_session < 1.5

"""Who may be silent, and for how long, is what client and broker agreed on."""

import asyncio
import contextlib
import os
import sys
import time

import pytest

from lab import packets, sockets
from lab.clients import V5, V311, Client
from lab.nodes import collect
from lab.process import read
from lab.waiting import stays, wait_until

# Far longer than any test takes: what ends a session is its keep alive.
LONG = "mqtt_preread on; proxy_timeout 10m;"
TICK = 0.1
# One and a half times a keep alive of 2 s, and what a busy machine may add to it.
LIMIT, LATE = 3.0, 18.0
LAB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab")


def ticking(connack):
    """A broker that publishes to each client ten times a second."""

    async def serve(session):
        await session.recv()
        await session.send(connack)
        reading = asyncio.create_task(collect(session))
        with contextlib.suppress(OSError):
            while not reading.done():
                await session.send(packets.publish("t", b"x"))
                await asyncio.sleep(TICK)
        await reading

    return serve


SERVER_KEEP_ALIVE = b"\x13\x00\x02"  # 2 s
AGREED = {
    "3.1.1": (packets.connect("d", keepalive=2), packets.connack()),
    "5": (packets.connect("d", keepalive=2, version=5), packets.connack(version=5)),
    "the server's word": (
        packets.connect("d", keepalive=600, version=5),
        packets.connack(version=5, properties=SERVER_KEEP_ALIVE),
    ),
}


@pytest.mark.parametrize("case", AGREED)
def test_a_silent_reader_of_a_busy_topic_is_gone(lab, case):
    connect, connack = AGREED[case]
    node = lab.node(ticking(connack))
    balancer, port = lab.in_front(node, more=LONG)
    with sockets.open_raw(port) as sock:
        sock.settimeout(LATE)
        start = time.monotonic()
        sock.sendall(connect)
        got = sockets.receive_all(sock)
        lasted = time.monotonic() - start
    assert LIMIT * 0.98 < lasted < LATE
    # It was not the node that was silent.
    assert got.count(packets.publish("t", b"x")) >= 10
    [session] = balancer.wait_sessions(1)
    assert LIMIT * 0.98 < float(session["session_time"]) < LATE
    wait_until(lambda: node.sessions[0].ended, "the node is told")


def test_a_client_that_pings_stays(lab):
    node = lab.node(ticking(packets.connack()))
    balancer, port = lab.in_front(node, more=LONG)
    with sockets.open_raw(port) as sock:
        sock.sendall(packets.connect("d", keepalive=2))
        end = time.monotonic() + 2 * LIMIT
        while time.monotonic() < end:
            sock.sendall(packets.PINGREQ)
            assert sockets.receive(sock, 5)
            time.sleep(TICK)
        assert balancer.sessions() == []


DEVICE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from lab import packets
sock = packets.open_mqtt(1883, "device", host=sys.argv[2], keepalive=2)
print("connected", flush=True)
while True:
    sock.recv(1000)
"""


@pytest.mark.needs("iproute2")
def test_a_device_whose_line_is_cut_is_gone(lab):
    """Nothing tells the balancer: packets to the device and from it are lost."""
    networks = lab.networks(["device.example"])
    node = lab.running(
        [sys.executable, os.path.join(LAB, "ticker.py"), "127.0.0.1", 1884],
        name="node",
        prefix=networks.front,
    )
    node.wait_for_output("ready")
    conf = (
        "daemon off; pid balancer.pid; error_log error.log info; events {}"
        " stream { log_format t '$session_time'; access_log access.log t;"
        f" server {{ listen 1883; proxy_pass 127.0.0.1:1884; {LONG} }} }}"
    )
    user = "user root;" if os.getuid() == 0 else ""
    balancer = lab.idle_balancer(user + conf, prefix=networks.front).start()
    balancer.wait_ready([1883], 1)
    device = lab.running(
        [sys.executable, "-c", DEVICE, os.path.dirname(LAB), networks.gateway],
        name="device",
        prefix=networks.cluster,
    )
    device.wait_for_output("connected")
    start = time.monotonic()
    networks.cut()
    log = os.path.join(balancer.folder, "access.log")
    line = wait_until(lambda: read(log), "the session is in the log", timeout=LATE)
    assert LIMIT * 0.98 < float(line) < LATE
    assert time.monotonic() - start < LATE


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_a_long_keep_alive_outlives_the_proxy_timeout(lab, version):
    balancer, port = lab.in_front(lab.mosquitto(), more="mqtt_preread on; proxy_timeout 1s;")
    with Client(port, "device", version=version, keepalive=90) as device:
        device.subscribe("t", 1)
        stays(lambda: device.connected, "is connected", seconds=4)
        device.publish("t", b"still there", qos=1)
        assert device.receive().payload == b"still there"
        assert balancer.sessions() == []


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    "more", ["mqtt_preread on;", "mqtt_preread on; mqtt_keepalive_timeout off;"]
)
def test_else_the_proxy_timeout_rules(lab, more):
    balancer, port = lab.in_front(lab.mosquitto(), more=f"{more} proxy_timeout 1s;")
    keepalive = 90 if "off" in more else 0
    with sockets.open_raw(port) as sock:
        sock.sendall(packets.connect("device", keepalive=keepalive))
        assert sockets.receive_all(sock) == packets.CONNACK_OK
    [session] = balancer.wait_sessions(1)
    assert 0.98 < float(session["session_time"]) < 6

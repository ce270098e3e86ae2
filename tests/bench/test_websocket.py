"""Through WebSocket: to a real broker, and to servers that do not upgrade or break the rules."""

from __future__ import annotations

import base64
import hashlib
import struct
import time

import pytest

from lab import proc
from lab.certificates import LOCAL_HOST
from lab.nodes import greet, hang
from tidegate.bench.secure import TlsOptions
from tidegate.bench.upgrade import masked, websocket
from tidegate.bench.websocket import frames

OK = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def broker(lab):
    """A mosquitto with WebSocket on a port of its own; returns that port."""

    def broker(more=""):
        port = lab.ports.free()
        made = lab.mosquitto(extra=f"listener {port} 127.0.0.1\nprotocol websockets\n{more}")
        # It opens its ports one after the other.
        made.wait_until(lambda: proc.listening_inodes(port, pid=made.pid), f"listens on {port}")
        return port

    return broker


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_messages_come_back_with_each_quality(broker, load, version, qos):
    result = load(
        "pingpong", broker(), path="/mqtt", version=version, qos=qos, topic="back/%c",
        payload=b"x" * 101, limit=60,
    )  # fmt: skip
    assert result.good, (result.faults, result.reasons)
    assert result.counts["answered"] == 60
    assert result.times["upgrade"].total == 3


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("size", [0, 100, 126, 60_000, 70_000])
def test_messages_of_each_size_come_back_whole(broker, load, size):
    result = load("pingpong", broker(), path="/", payload=b"x" * size, limit=6)
    assert result.good, (result.faults, result.reasons)
    assert result.counts["answered"] == 6


@pytest.mark.needs("mosquitto")
def test_keep_alive_holds_a_silent_connection(broker, load):
    result = load("conn", broker(), path="/mqtt", count=1, keepalive=1, seconds=3)
    assert result.good, (result.faults, result.reasons)
    assert result.counts["open"] == 1


@pytest.mark.needs("mosquitto", "openssl")
def test_wss_is_websocket_through_tls(broker, load, authority):
    certificate, key = authority.sign("wss", extensions=LOCAL_HOST)
    port = broker(f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n")
    result = load(
        "pingpong", port, path="/mqtt", payload=b"x" * 64, limit=30,
        tls=TlsOptions(ca=authority.certificate),
    )  # fmt: skip
    assert result.good, (result.faults, result.reasons)
    assert result.times["TLS"].total == result.times["upgrade"].total == 3


@pytest.mark.needs("mosquitto")
def test_the_summary_tells_the_path(broker, bench):
    done = bench("conn", "-h", "127.0.0.1", "-p", broker(), "-l", "ws", "-c", 2, "--for", "0.5s")
    assert done.returncode == 0, done.stdout
    assert "WebSocket /mqtt, MQTT 5" in done.stdout
    assert any(line.startswith("upgrade ") for line in done.stdout.split("\n"))


async def leave(session):
    await session.recv()


@pytest.mark.parametrize(
    ("serve", "fault", "reason"),
    [
        (greet(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "upgrade refused", "403 Forbidden"),
        (greet(b"HTTP/1.1 999 Odd\r\n\r\n"), "upgrade refused", "999"),
        (greet(OK), "malformed", None),  # without our key
        (greet(b"\x20\x03\x00\x00\x00"), "malformed", None),
        (greet(b"HTTP/1.1 200 " + b"x" * 20_000), "malformed", None),
        (hang, "no answer to the upgrade", None),
        (leave, "closed before CONNACK", None),
    ],
)
def test_each_way_not_to_upgrade_has_its_class(lab, load, serve, fault, reason):
    started = time.monotonic()
    result = load("conn", lab.node(serve).port, path="/mqtt", timeout=0.5)
    assert result.faults == {fault: 3}
    assert result.reasons == ({fault: {reason: 3}} if reason else {})
    assert result.counts["open"] == 0
    assert time.monotonic() - started < 10


async def upgrade(session):
    """Answer the request as RFC 6455 says."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += await session.recv()
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    await session.send(
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n"
    )


def accept_of(key):

    return base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    )


def frame(kind, data, *, fin=True):
    first = (0x80 if fin else 0) | kind
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
    return bytes([first]) + size + data


@pytest.mark.parametrize(
    ("sent", "fault", "reason"),
    [
        (frame(8, b"\x03\xf0bye"), "closed by WebSocket", "1008 policy violation"),
        (frame(8, b""), "closed by WebSocket", "1005 no reason given"),
        (frame(8, b"\x0f\xa0"), "closed by WebSocket", "4000"),
        (frame(1, b"text"), "malformed", None),
        (b"\x82\x84aaaabbbb", "malformed", None),
        (frame(2, b"\xf0\x00"), "malformed", None),
    ],
)
def test_what_a_server_says_in_frames_has_its_class(lab, load, sent, fault, reason):
    async def serve(session):
        await upgrade(session)
        await session.send(sent)
        await hang(session)

    result = load("conn", lab.node(serve).port, path="/mqtt", timeout=5)
    assert result.faults == {fault: 3}
    assert result.reasons == ({fault: {reason: 3}} if reason else {})


def test_a_ping_is_answered_and_a_connack_may_come_in_pieces(lab, load):
    answers = []

    async def serve(session):
        await upgrade(session)
        await session.recv()
        await session.send(frame(9, b"are you there"))
        answers.append(await session.recv())
        for piece in (frame(2, b"\x20", fin=False), frame(9, b""), frame(0, b"\x03\x00\x00\x00")):
            await session.send(piece)
        await hang(session)

    result = load("conn", lab.node(serve).port, path="/mqtt", count=1, seconds=0.5)
    assert result.good, (result.faults, result.reasons)
    (pong,) = answers
    assert pong[:2] == bytes([0x8A, 0x80 | 13])
    assert masked(pong[6:], pong[2:6]) == b"are you there"


MESSAGES = (
    frame(2, b"abc")
    + frame(9, b"ping")
    + frame(2, b"d" * 200, fin=False)
    + frame(0, b"e")
    + frame(10, b"pong")
    + frame(8, b"\x03\xe8")
)
FOUND = [("data", b"abc"), ("ping", b"ping"), ("data", b"d" * 200 + b"e"), ("close", b"\x03\xe8")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, len(MESSAGES)])
def test_frames_are_found_however_they_are_cut(size):
    assert frames(MESSAGES[at : at + size] for at in range(0, len(MESSAGES), size)) == FOUND


@pytest.mark.parametrize(
    "bad", [b"\x81\x00", b"\xc2\x00", b"\x82\x80", b"\x89\x7e\x00\x7e", b"\x09\x00", b"\x8b\x00"]
)
def test_frames_that_no_server_may_send_are_malformed(bad):
    with pytest.raises(ValueError, match="malformed frame"):
        frames([bad])


@pytest.mark.parametrize("head", [b"", b"1", b"12", b"123", b"1234", b"12345"])
@pytest.mark.parametrize("size", [0, 5, 120, 126, 70_000])
def test_a_payload_is_masked_once_for_all_heads(head, size):
    way = websocket(count=1, host="here", path="/")
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    sent = way.message_head(head, size=size) + way.payload(payload)
    at = {126: 4, 127: 10}.get(sent[1] & 0x7F, 2)
    assert masked(sent[at + 4 :], sent[at : at + 4]) == head + payload

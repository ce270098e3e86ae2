"""A node that refuses, hangs or closes costs a client nothing but time: the next one gets it."""

import pytest

from lab import packets, sockets
from lab.clients import V5, V311, Client, RefusedError
from lab.nodes import close_at_once, collect

pytestmark = pytest.mark.needs("mosquitto")

BUSY, ELSEWHERE = 0x88, 0x9C
NEXT = (
    "mqtt_preread on; mqtt_next_upstream 0x88 0x9C 3 error timeout; mqtt_connack_timeout 300ms;"
    " proxy_connect_timeout 300ms;"
)
# Bytes of what the tests send behind a CONNECT; far more than a socket's buffers hold.
LARGE = 300_000


async def read_connect(session):
    """Wait for the CONNECT; a client that waits for its answer sends no more."""
    while len(session.received) < 2 or len(session.received) < 2 + session.received[1]:
        assert await session.recv(), session.received


def version_of(session):
    return session.received[8]  # behind the length of "MQTT" and "MQTT"


def answer(data, *, then):
    async def serve(session):
        await read_connect(session)
        if data:
            await session.send(data)
        await then(session)

    return serve


def refuse(then):
    async def serve(session):
        await read_connect(session)
        version = version_of(session)
        await session.send(packets.connack(BUSY if version == 5 else 3, version=version))
        await then(session)

    return serve


async def finish(_session):
    pass


async def reset(session):
    session.reset()


WAYS = {
    "refuses and closes": refuse(finish),
    "refuses and stays": refuse(collect),
    "refuses and resets": refuse(reset),
    "is silent": collect,
    "closes at once": close_at_once,
    "closes after the CONNECT": answer(b"", then=finish),
    "closes within its CONNACK": answer(b"\x20\x02\x00", then=finish),
    "resets at once": reset,
    "resets after the CONNECT": answer(b"", then=reset),
}


def front(lab, *choices, more=NEXT):
    """A balancer with a port for each of `choices`: nodes that each client tries in this order."""
    ports = [lab.ports.free() for _ in choices]
    blocks = []
    for port, nodes in zip(ports, choices, strict=True):
        weighed = zip(nodes, range(len(nodes), 0, -1), strict=True)
        servers = [f"{node.address} weight={weight} max_fails=0" for node, weight in weighed]
        blocks.append(lab.upstream(*servers, name=f"nodes{port}"))
        blocks.append(f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes{port}; {more} }}")
    return lab.balancer("\n".join(blocks)), ports


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_a_client_does_not_notice_a_node_that_is_no_use(lab, version):
    bad, broker = {way: lab.node(serve) for way, serve in WAYS.items()}, lab.mosquitto()
    balancer, ports = front(lab, *([node, broker] for node in bad.values()))
    for number, (way, port) in enumerate(zip(bad, ports, strict=True), 1):
        with Client(port, f"device{number}", version=version) as client:
            client.subscribe("t", 1)
            client.publish("t", way.encode(), qos=1)
            assert client.receive().payload == way.encode()
        assert bad[way].accepted == 1, way
        session = balancer.wait_sessions(number)[-1]
        assert session["upstream_addr"] == f"{bad[way].address}, {broker.address}", way
        assert session["status"] == "200"
        assert f'clientid: "device{number}"' in balancer.errors()
    assert broker.clients() == [f"device{number + 1}" for number in range(len(bad))]


def test_a_client_does_not_notice_a_node_that_cannot_be_reached(lab):
    refusing, hole, broker = lab.node(), lab.hole(), lab.mosquitto()
    balancer, [port] = front(lab, [refusing, hole, broker])
    with refusing.refusing(), Client(port, "device", version=V5) as client:
        client.publish("t", b"x", qos=1)
    [session] = balancer.wait_sessions(1)
    assert session["upstream_addr"].count(",") == 2


def acknowledge(sock, qos, number):
    """The publisher's half of a QoS 1 or 2 exchange for a message."""
    if qos == 1:
        assert packets.read_packet(sock)[0] == 0x40
    if qos == 2:
        assert packets.read_packet(sock)[0] == 0x50
        sock.sendall(bytes([0x62, 2, 0, number]))
        assert packets.read_packet(sock)[0] == 0x70


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_what_is_sent_behind_the_connect_arrives_once(lab, version):
    bad = [lab.node(WAYS[way]) for way in ("refuses and stays", "is silent", "closes at once")]
    bad.append(lab.node(WAYS["closes after the CONNECT"]))
    broker = lab.mosquitto()
    cases = [(qos, size) for qos in (0, 1, 2) for size in (10, LARGE)]
    _balancer, ports = front(lab, *([*bad, broker] for _ in cases))
    for port, (qos, size) in zip(ports, cases, strict=True):
        one_visit(port, broker, payload=b"p" * size, qos=qos, version=version)
    connect = packets.connect("device", version=version)
    for node in bad:
        assert len(node.sessions) == len(cases)
        assert {bytes(session.received) for session in node.sessions} <= {connect, b""}
    assert broker.clients() == ["reader", "device"] * len(cases)
    assert broker.output().count("Received PUBLISH from device") == 2 * len(cases)


def one_visit(port, broker, *, payload, qos, version):
    """Publish behind a CONNECT at once, and again: both come to a reader, in this order."""

    def publish(data, number):
        return packets.publish("t", data, qos=qos, number=number, version=version)

    with Client(broker.port, "reader") as reader:
        reader.subscribe("#", 2)
        with sockets.open_raw(port) as sock:
            sock.sendall(packets.connect("device", version=version) + publish(payload, 1))
            kind, body = packets.read_packet(sock)
            assert (kind, body[:2]) == (0x20, b"\x00\x00")
            acknowledge(sock, qos, 1)
            sock.sendall(publish(b"the last", 2))
            acknowledge(sock, qos, 2)
            sock.sendall(packets.DISCONNECT)
            assert sockets.receive_all(sock) == b""
        got = [reader.receive().payload for _ in range(2)]
        assert got == [payload, b"the last"]


def test_an_auth_exchange_passes(lab):
    method = b"\x15\x00\x05SCRAM"
    challenge = b"\xf0\x0a\x18\x08" + method
    response = b"\xf0\x0f\x18\x0d" + method + b"\x16\x00\x02hi"

    async def serve(session):
        await read_connect(session)
        before = len(session.received)
        await session.send(challenge)
        while len(session.received) < before + len(response):
            assert await session.recv()
        assert bytes(session.received[before:]) == response
        await session.send(packets.connack(version=5, properties=method))
        await collect(session)

    node, other = lab.node(serve), lab.node()
    _balancer, [port] = front(lab, [node, other])
    with sockets.open_raw(port) as sock:
        sock.sendall(packets.connect("device", version=5, properties=method))
        assert sockets.receive(sock, len(challenge)) == challenge
        sock.sendall(response)
        assert packets.read_packet(sock) == (0x20, b"\x00\x00\x08" + method)
    assert other.accepted == 0


def test_what_is_not_listed_or_the_clients_own_fault_is_passed_on(lab):
    codes, other = [0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, ELSEWHERE], lab.node()
    nodes = [lab.node(answer(packets.connack(code, version=5), then=finish)) for code in codes]
    more = "mqtt_preread on; mqtt_next_upstream 0x88 error timeout;"
    _balancer, ports = front(lab, *([node, other] for node in nodes), more=more)
    heard = []
    for port in ports:
        with pytest.raises(RefusedError) as refused:
            Client(port, "device", version=V5)
        heard.append(refused.value.code)
    assert heard == codes
    assert other.accepted == 0


def test_nothing_is_tried_again_unless_it_is_asked_for(lab):
    node, other = lab.node(refuse(finish)), lab.node()
    _balancer, [port] = front(lab, [node, other], more="mqtt_preread on;")
    with pytest.raises(RefusedError) as refused:
        Client(port, "device", version=V5)
    assert refused.value.code == BUSY
    assert other.accepted == 0


def test_a_client_hears_the_last_refusal(lab):
    nodes = [lab.node(refuse(finish)) for _ in range(2)]
    _balancer, [port] = front(lab, nodes)
    with pytest.raises(RefusedError) as refused:
        Client(port, "device", version=V5)
    assert refused.value.code == BUSY
    assert [node.accepted for node in nodes] == [1, 1]

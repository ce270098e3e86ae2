"""What a CONNECT says is not kept for the time of its session, however much it is."""

import contextlib

import pytest

from lab import packets, proc, sockets
from lab.nodes import collect

pytestmark = pytest.mark.usefixtures("many_descriptors")

COUNT = 300
LONGEST = "n" * 65_535
# As for idle sessions that send ten bytes: a twentieth of what these send.
KIB_EACH = 16
LOGGED = "$mqtt_preread_clientid $mqtt_set_clientid $mqtt_will_topic $mqtt_connack_code"


def welcome(version):
    """A broker that takes a CONNECT of any length."""
    size = len(packets.connect(LONGEST, version=version))

    async def serve(session):
        while session.total < size:
            assert await session.recv()
        await session.send(packets.connack(version=version))
        await collect(session)

    return serve


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
@pytest.mark.parametrize(
    "more",
    [
        "mqtt_preread on; preread_buffer_size 80k;",
        "mqtt on; mqtt_set_connect clientid 'x$mqtt_preread_clientid';",
        "mqtt_preread on; preread_buffer_size 80k; mqtt_next_upstream 3 error timeout;",
    ],
    ids=["preread", "rewrite", "retry"],
)
def test_sessions_with_the_longest_names_cost_no_more_than_others(lab, version, more):
    node = lab.node(welcome(version), keep=False)
    port = lab.ports.free()
    if "set_connect" in more:
        connect = packets.connect(LONGEST[1:], version=version)
    else:
        connect = packets.connect(LONGEST, version=version)
    balancer = lab.balancer(
        f"log_format mqtt '{LOGGED}';"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; {more}"
        " access_log names.log mqtt; access_log access.log lab; }",
        connections=2 * COUNT + 100,
    )
    [worker] = balancer.workers()
    with contextlib.ExitStack() as stack:

        def one_more():
            sock = stack.enter_context(sockets.open_raw(port))
            sock.sendall(connect)
            assert packets.read_packet(sock)[0] == 0x20

        for _ in range(20):
            one_more()
        before = proc.own_kib(worker)
        for _ in range(COUNT):
            one_more()
        each = (proc.own_kib(worker) - before) / COUNT
        assert each < KIB_EACH
    assert len(balancer.wait_sessions(COUNT + 20)) == COUNT + 20

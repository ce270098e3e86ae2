"""A thousand idle WebSockets of MQTT cost little, and end without a trace."""

import asyncio

import pytest

from lab import http, proc
from lab.http import upgrade
from lab.waiting import wait_until

pytestmark = pytest.mark.usefixtures("many_descriptors")

COUNT = 1_000
ANSWER = http.SWITCH.removesuffix(b"\r\n") + b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"


async def tunnels(port, count):
    """Open tunnels; gives their writers."""
    found = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upgrade("/mqtt", "User-Agent: a device of some make", "Origin: http://a.b"))
        head = await reader.readuntil(http.END)
        assert head.startswith(b"HTTP/1.1 101")
        found.append(writer)
    return found


@pytest.mark.timeout(240)
async def test_a_thousand_idle_tunnels(lab):
    node = lab.node(http.Broker(ANSWER), keep=False)
    port = lab.ports.free()
    balancer = http.balancer(
        lab,
        f"server {{ listen 127.0.0.1:{port}; location /mqtt {{ proxy_pass http://{node.address};"
        " proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
        ' proxy_set_header Connection "Upgrade"; proxy_set_header X-Real-IP $remote_addr; } }',
        connections=4 * COUNT,
    )
    (worker,) = balancer.workers()
    # What the first sessions make the worker keep is not theirs alone.
    first = await tunnels(port, 100)
    before, descriptors = proc.own_kib(worker), len(proc.descriptors(worker))
    more = await tunnels(port, COUNT)
    per_tunnel = (proc.own_kib(worker) - before) / COUNT
    for writer in (*first, *more):
        writer.close()
        await writer.wait_closed()
    wait_until(lambda: len(proc.descriptors(worker)) <= descriptors - 200, "all are closed")
    assert per_tunnel < 3  # measured: 0.6

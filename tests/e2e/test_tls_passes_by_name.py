"""TLS that is not ended here goes to the node of the name that its client asks for."""

from __future__ import annotations

import os

import pytest

from lab.certificates import openssl
from lab.packets import connect as mqtt_connect
from lab.process import read
from lab.sockets import open_raw, receive
from lab.tls import SecureNode, client_context, connect, echoes, server_context
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("openssl")

MAP = """
    map $ssl_preread_server_name $way {{
        hostnames;
        red.example {red};
        *.blue.example {blue};
        default {other};
    }}
"""


@pytest.fixture
def secure_node(request, server_pair):
    def start(**options):
        node = SecureNode(server_context(server_pair, **options))
        request.addfinalizer(node.clean_up)
        return node

    return start


def names(node):
    return [one["name"] for one in node.clients]


def test_ssl_preread(lab, secure_node, authority):
    red, blue, other = secure_node(), secure_node(alpn=["mqtt"]), secure_node()
    on, off = lab.ports.free(), lab.ports.free()
    blocks = MAP.format(red=red.address, blue=blue.address, other=other.address)
    lab.balancer(
        f"{blocks} server {{ listen 127.0.0.1:{on}; ssl_preread on; proxy_pass $way; }}"
        f" server {{ listen 127.0.0.1:{off}; ssl_preread off; proxy_pass $way; }}"
    )
    context = client_context(authority, verify=False, alpn=["mqtt"])
    for port in (on, off):
        for name in ("red.example", "a.blue.example", "green.example"):
            with connect(port, context, name=name) as sock:
                assert echoes(sock)
    assert names(red) == ["red.example"]
    assert names(blue) == ["a.blue.example"]
    assert names(other) == ["green.example", "red.example", "a.blue.example", "green.example"]


def test_the_client_of_openssl_reaches_the_node_of_its_name(lab, secure_node):
    red, blue, other = secure_node(), secure_node(), secure_node()
    port = lab.ports.free()
    blocks = MAP.format(red=red.address, blue=blue.address, other=other.address)
    lab.balancer(f"{blocks} server {{ listen 127.0.0.1:{port}; ssl_preread on; proxy_pass $way; }}")
    said = openssl(
        *("s_client", "-connect", f"127.0.0.1:{port}", "-servername", "red.example", "-brief"),
        text="hello\n",
    )
    wait_until(lambda: names(red), f"the node knows its client: {said}")
    assert (names(red), names(blue), names(other)) == (["red.example"], [], [])


def test_a_port_may_serve_mqtt_and_tls_that_passes(lab, secure_node, authority):
    secure, plain, port = secure_node(), lab.node(), lab.ports.free()
    balancer = lab.balancer(
        "map $ssl_preread_protocol $way {"
        f' "" {plain.address}; default {secure.address}; }}'
        " log_format who '$ssl_preread_protocol $mqtt_preread_clientid'; access_log who.log who;"
        f" server {{ listen 127.0.0.1:{port}; ssl_preread on; mqtt_preread on; proxy_pass $way; }}"
    )
    packet = mqtt_connect("device-7")
    with open_raw(port) as sock:
        sock.sendall(packet)
        assert receive(sock, len(packet)) == packet
    with connect(port, client_context(authority, verify=False), name="red.example") as sock:
        assert echoes(sock)
    assert names(secure) == ["red.example"]
    path = os.path.join(balancer.folder, "who.log")
    balancer.wait_until(lambda: read(path).count("\n") == 2, "two lines")
    assert sorted(read(path).splitlines()) == ["- device-7", "TLSv1.3 -"]


def test_a_hello_that_is_too_long_is_refused(lab):
    port = lab.ports.free()
    node = lab.node()
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; ssl_preread on; preread_buffer_size 1k;"
        f" proxy_pass {node.address}; }}"
    )
    with open_raw(port) as sock:
        sock.sendall(b"\x16\x03\x01\x20\x00" + bytes(100))
        assert receive(sock, 1) == b""
    balancer.wait_until(lambda: "preread buffer full" in balancer.errors(), "said so")
    assert node.sessions == []

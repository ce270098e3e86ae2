"""PROXY headers are understood by haproxy and nginx: they log the client's own address."""

import contextlib
import os

import pytest

from lab import packets, sockets, tls
from lab.balancer import STREAM_MODULE
from lab.process import read
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("mosquitto")


class Told:
    """What a reader in front of a broker was told of its clients."""

    def __init__(self, addresses, read):
        self.addresses = addresses
        self._read = read

    def client(self):
        """The address and port of the first client."""
        [first] = wait_until(self._read, "the reader logs its client")
        return first


def haproxy(lab, hosts, path):
    broker = lab.mosquitto()
    ports = [(host, lab.ports.free()) for host in hosts]
    reader = lab.haproxy(ports=ports, paths=[path], target=broker.address)
    return Told(_addresses(ports, path), lambda: [client for client, _ in reader.told()])


def nginx(lab, hosts, path):
    broker = lab.mosquitto()
    ports = [(host, lab.ports.free()) for host in hosts]
    listens = [f"listen {address} proxy_protocol;" for address in _addresses(ports, path)]
    reader = lab.idle_balancer(
        f"load_module {STREAM_MODULE}; daemon off; pid reader.pid; error_log error.log info;"
        + ("user root;" if os.getuid() == 0 else "")
        + "events {} stream {"
        "log_format told '$proxy_protocol_addr:$proxy_protocol_port'; access_log told.log told;"
        f"server {{ {' '.join(listens)} proxy_pass {broker.address}; }} }}",
        program="nginx",
    ).start()
    reader.wait_ready([port for _, port in ports], 1, [path])
    log = os.path.join(reader.folder, "told.log")

    def told():
        with open(log, encoding="utf-8") as lines:
            return lines.read().split()

    return Told(_addresses(ports, path), told)


TLVS = (
    *("authority", "alpn", "ssl_version", "ssl_cn"),
    *("ssl_cipher", "ssl_sig_alg", "ssl_key_alg", "ssl_verify"),
)

READERS = [
    pytest.param(haproxy, marks=pytest.mark.needs("haproxy"), id="haproxy"),
    pytest.param(nginx, marks=pytest.mark.needs("nginx"), id="nginx"),
]


@pytest.mark.parametrize("version", ["on", "v2"])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("way", [0, 1, 2], ids=["to-ipv4", "to-ipv6", "to-unix"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"], ids=["from-ipv4", "from-ipv6"])
def test_the_clients_address_is_told(lab, reader, way, host, version):
    told = reader(lab, ["127.0.0.1", "::1"], os.path.join(lab.folder, "reader.sock"))
    port = lab.ports.free()
    lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; listen [::1]:{port};"
        f" proxy_pass {told.addresses[way]}; proxy_protocol {version}; }}"
    )
    with packets.open_mqtt(port, "device", host=host) as client:
        client.sendall(packets.PINGREQ)
        assert sockets.receive(client, 2) == packets.PINGRESP
        address, client_port = client.getsockname()[:2]
        client.sendall(packets.DISCONNECT)
        sockets.receive_all(client)
    assert told.client() == f"{address}:{client_port}"


@pytest.mark.parametrize("reader", READERS)
def test_a_client_of_a_unix_socket_is_unknown_and_served(lab, reader):
    told = reader(lab, ["127.0.0.1"], os.path.join(lab.folder, "reader.sock"))
    path = os.path.join(lab.folder, "front.sock")
    lab.balancer(
        f"server {{ listen unix:{path}; proxy_pass {told.addresses[0]}; proxy_protocol on; }}"
    )
    with packets.open_mqtt(path, "device") as client:
        client.sendall(packets.PINGREQ)
        assert sockets.receive(client, 2) == packets.PINGRESP
        client.sendall(packets.DISCONNECT)
        sockets.receive_all(client)
    address = told.client().rpartition(":")[0]
    assert address in {"-", "127.0.0.1"}  # nginx: no address; haproxy: the balancer's


@pytest.mark.parametrize("value", ["on", "off"])
def test_the_header_is_version_1_and_comes_first(lab, value):
    node = lab.node()
    _, port = lab.in_front(node, more=f"proxy_protocol {value};")
    with sockets.open_raw(port) as client:
        client.sendall(b"first words")
        header = f"PROXY TCP4 127.0.0.1 127.0.0.1 {client.getsockname()[1]} {port}\r\n"
        wait_until(lambda: node.sessions and b"words" in node.sessions[0].received, "the words")
    expected = header.encode() if value == "on" else b""
    assert node.sessions[0].received == expected + b"first words"


@pytest.mark.needs("openssl")
def test_version_2_tells_of_the_clients_tls(lab, authority, server_pair):
    certificate, key = server_pair
    inner, outer, passing = (lab.ports.free() for _ in range(3))
    balancer = lab.balancer(
        f"log_format tlvs '{'|'.join('$proxy_protocol_tlv_' + name for name in TLVS)}';"
        f" server {{ listen 127.0.0.1:{inner} proxy_protocol;"
        " access_log tlvs.log tlvs; return x; }"
        f" proxy_protocol v2; server {{ listen 127.0.0.1:{outer} ssl;"
        f" ssl_certificate {certificate}; ssl_certificate_key {key};"
        f" ssl_client_certificate {authority.certificate};"
        f" ssl_verify_client optional; ssl_alpn mqtt; proxy_pass 127.0.0.1:{inner}; }}"
        f" server {{ listen 127.0.0.1:{passing}; ssl_preread on; proxy_pass 127.0.0.1:{inner}; }}"
    )
    pair = authority.sign("device-7")
    for port, options in ((outer, {"pair": pair, "alpn": ["mqtt"]}), (outer, {}), (passing, {})):
        context = tls.client_context(authority, verify=False, **options)
        with contextlib.suppress(OSError), tls.connect(port, context, name="a.example") as client:
            client.recv(1)
    path = os.path.join(balancer.folder, "tlvs.log")
    balancer.wait_until(lambda: read(path).count("\n") == 3, "three lines")
    whole, bare, unopened = (line.split("|") for line in read(path).splitlines())
    assert whole == [
        *("a.example", "mqtt", "TLSv1.3", "device-7"),
        *("TLS_AES_256_GCM_SHA384", "ecdsa-with-SHA256", "EC256", "0"),
    ]
    assert bare == ["a.example", "-", "TLSv1.3", "-", "TLS_AES_256_GCM_SHA384", "-", "-", "1"]
    assert unopened == ["a.example"] + ["-"] * 7


def _addresses(ports, path):
    hosts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ports]
    return [*hosts, f"unix:{path}"]

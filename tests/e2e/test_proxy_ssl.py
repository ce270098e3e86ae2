"""Two values of each `proxy_ssl…` behave differently, to brokers that ask for TLS."""

import asyncio
import contextlib
import os
import shutil
import socket

import pytest

from lab.certificates import LOCAL_HOST, Authority, new_key, openssl
from lab.sockets import open_raw
from lab.tls import V12, V13, SecureNode, echoes, server_context

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def secure_node(request, server_pair):
    def start(pair=server_pair, *, header=False, **options):
        node = SecureNode(server_context(pair, **options), header=header)
        request.addfinalizer(node.clean_up)
        return node

    return start


@pytest.fixture
def ways(lab):
    """Servers of one balancer with `proxy_ssl on` to a node, one for each text of directives."""

    def start(node, *texts, on="proxy_ssl on;"):
        ports = [lab.ports.free() for _ in texts]
        blocks = [
            f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; {on} {text} }}"
            for port, text in zip(ports, texts, strict=True)
        ]
        start.balancer = lab.balancer("\n".join(blocks))
        return ports

    return start


def through(port) -> bool:
    with open_raw(port) as sock:
        return echoes(sock)


def test_proxy_ssl(ways, secure_node):
    node = secure_node()
    off, on = ways(node, "proxy_ssl off;", "proxy_ssl on;", on="")
    assert (through(off), through(on)) == (False, True)


def test_megabytes_pass_unchanged(ways, secure_node):
    (port,) = ways(secure_node(), "")
    data = os.urandom(1 << 20) * 4
    with open_raw(port) as sock:
        sock.settimeout(30)
        received = bytearray()
        sock.setblocking(False)
        sent = 0
        while len(received) < len(data):
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(data[sent : sent + 65536]) if sent < len(data) else 0
            with contextlib.suppress(BlockingIOError):
                received += sock.recv(65536)
        assert received == data


@pytest.mark.parametrize("version", [V12, V13])
def test_a_nodes_records_may_be_split_anywhere(lab, ways, secure_node, version):
    inner = secure_node(version=version)

    async def dribble(session):
        session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", inner.port)

        async def up():
            while data := await session.recv():
                writer.write(data)
            writer.close()

        async def down():
            while data := await reader.read(65_536):
                for byte in data:
                    await session.send(bytes([byte]))

        await asyncio.gather(up(), down())

    (port,) = ways(lab.node(dribble), "")
    with open_raw(port) as sock:
        assert echoes(sock, os.urandom(2000))


def test_proxy_ssl_certificate(ways, secure_node, authority):
    certificate, key = authority.sign("balancer", subject="/CN=balancer")
    node = secure_node(authority=authority)
    without, with_ = ways(
        node, "", f"proxy_ssl_certificate {certificate}; proxy_ssl_certificate_key {key};"
    )
    assert (through(without), through(with_)) == (False, True)
    assert (("commonName", "balancer"),) in node.clients[-1]["certificate"]["subject"]


def test_proxy_ssl_certificate_cache(ways, secure_node, authority, lab):
    node = secure_node(authority=authority)
    names = (
        f"set $name {lab.folder}/own; proxy_ssl_session_reuse off;"
        " proxy_ssl_certificate $name.pem; proxy_ssl_certificate_key $name.key;"
    )
    off, kept = ways(node, names, f"{names} proxy_ssl_certificate_cache max=10;")
    for name in ("old", "new"):
        for source, kind in zip(authority.sign(name), ("pem", "key"), strict=True):
            shutil.copy(source, os.path.join(lab.folder, f"own.{kind}"))
        assert through(off)
        assert through(kept)
    told = [client["certificate"]["subject"][0][0][1] for client in node.clients]
    assert told == ["old", "old", "new", "old"]


def test_proxy_ssl_password_file(ways, secure_node, authority, lab):
    key = authority.path("locked-balancer.key")
    new_key(key, password="sesame")
    plain = openssl("pkey", "-in", key, "-passin", "pass:sesame")
    locked = os.path.join(lab.folder, "locked.key")
    os.rename(key, locked)
    with open(key, "w") as file:
        file.write(plain)
    certificate, _ = authority.sign("locked-balancer")
    passwords = os.path.join(lab.folder, "passwords")
    with open(passwords, "w") as file:
        file.write("sesame\n")
    (port,) = ways(
        secure_node(authority=authority),
        f"proxy_ssl_certificate {certificate}; proxy_ssl_certificate_key {locked};"
        f"proxy_ssl_password_file {passwords};",
    )
    assert through(port)


def test_proxy_ssl_protocols(ways, secure_node):
    node = secure_node()
    ports = ways(node, "proxy_ssl_protocols TLSv1.2;", "proxy_ssl_protocols TLSv1.3;")
    assert all(through(port) for port in ports)
    assert [client["version"] for client in node.clients] == ["TLSv1.2", "TLSv1.3"]


def test_proxy_ssl_ciphers(ways, secure_node):
    node = secure_node(version=V12)
    names = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    for port in ways(node, *(f"proxy_ssl_ciphers {name};" for name in names)):
        assert through(port)
    assert [client["cipher"] for client in node.clients] == names


def test_proxy_ssl_conf_command(ways, secure_node):
    node = secure_node(version=V13)
    suite = "TLS_CHACHA20_POLY1305_SHA256"
    for port in ways(node, "", f"proxy_ssl_conf_command Ciphersuites {suite};"):
        assert through(port)
    assert [client["cipher"] == suite for client in node.clients] == [False, True]


def test_proxy_ssl_verify(ways, secure_node, authority, tmp_path):
    stranger = Authority(str(tmp_path), subject="/CN=Stranger")
    node = secure_node(stranger.sign("server", extensions=LOCAL_HOST))
    trusted = "proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_trusted_certificate"
    off, ours, theirs = ways(
        node, "", f"{trusted} {authority.certificate};", f"{trusted} {stranger.certificate};"
    )
    assert [through(port) for port in (off, ours, theirs)] == [True, False, True]
    ways.balancer.wait_for_output("upstream SSL certificate verify error: (2")


def test_proxy_ssl_crl(ways, secure_node, tmp_path):
    ours = Authority(str(tmp_path))
    good, bad = (ours.sign(name, extensions=LOCAL_HOST) for name in ("good", "bad"))
    more = (
        "proxy_ssl_verify on; proxy_ssl_name localhost;"
        f"proxy_ssl_trusted_certificate {ours.certificate}; proxy_ssl_crl {ours.revoke(bad[0])};"
    )
    reached = [through(*ways(secure_node(pair), more)) for pair in (good, bad)]
    assert reached == [True, False]


def test_proxy_ssl_verify_depth(ways, secure_node, tmp_path):
    ours = Authority(str(tmp_path))
    first = Authority(str(tmp_path), name="first", subject="/CN=First", parent=ours)
    second = Authority(str(tmp_path), name="second", subject="/CN=Second", parent=first)
    node = secure_node(second.sign("server", extensions=LOCAL_HOST))
    more = (
        "proxy_ssl_verify on; proxy_ssl_name localhost;"
        f"proxy_ssl_trusted_certificate {ours.certificate};"
    )
    ports = ways(node, *(f"{more} proxy_ssl_verify_depth {depth};" for depth in (1, 2)))
    assert [through(port) for port in ports] == [False, True]


def test_proxy_ssl_name(ways, secure_node, authority):
    more = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {authority.certificate};"
    node = secure_node()
    # The certificate bears 127.0.0.1 and localhost.
    ports = ways(
        node, more, f"{more} proxy_ssl_name localhost;", f"{more} proxy_ssl_name elsewhere;"
    )
    assert [through(port) for port in ports] == [True, True, False]
    ways.balancer.wait_for_output('upstream SSL certificate does not match "elsewhere"')


def test_proxy_ssl_server_name(ways, secure_node):
    node = secure_node()
    for port in ways(
        node,
        "proxy_ssl_name broker.example;",
        "proxy_ssl_name broker.example; proxy_ssl_server_name on;",
        "proxy_ssl_server_name on;",
    ):
        assert through(port)
    assert [client["name"] for client in node.clients] == [None, "broker.example", None]


def test_proxy_ssl_session_reuse(ways, secure_node):
    reused = {}
    for version in (V12, V13):
        node = secure_node(version=version)
        on, off = ways(node, "", "proxy_ssl_session_reuse off;")
        for port in (on, on, off, off):
            assert through(port)
        reused[version] = [client["reused"] for client in node.clients]
    assert reused == {V12: [False, True, False, False], V13: [False, True, False, False]}


def test_proxy_ssl_alpn(ways, secure_node):
    node = secure_node(alpn=["mqtt"])
    for port in ways(node, "", "proxy_ssl_alpn x-amzn-mqtt-ca mqtt;"):
        assert through(port)
    assert [client["alpn"] for client in node.clients] == [None, "mqtt"]


def test_a_proxy_header_goes_before_the_handshake(ways, secure_node):
    node = secure_node(header=True)
    (port,) = ways(node, "proxy_protocol on;")
    with open_raw(port) as sock:
        assert echoes(sock)
        own = sock.getsockname()[1]
    assert node.clients[0]["header"] == f"PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\n"


def test_a_handshake_that_fails_is_the_nodes_failure_and_the_next_is_tried(lab, secure_node):
    plain, secure = lab.node(), secure_node()
    port = lab.ports.free()
    balancer = lab.balancer(
        f"upstream nodes {{ server {plain.address} max_fails=1 fail_timeout=60s;"
        f" server {secure.address}; }}\n"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; proxy_ssl on; }}"
    )
    assert all(through(port) for _ in range(4))
    sessions = balancer.wait_sessions(4)
    assert sessions[0]["upstream_addr"] == f"{plain.address}, {secure.address}"
    assert [one["upstream_addr"] for one in sessions[1:]] == [secure.address] * 3
    balancer.wait_for_output("while SSL handshaking to upstream")
    balancer.wait_for_output("upstream server temporarily disabled")


def test_a_node_that_is_silent_in_its_handshake_has_the_connects_time(lab, ways):
    async def never(session):
        await session.recv()
        await session.recv()

    node = lab.node(never)
    (port,) = ways(node, "proxy_connect_timeout 300ms;")
    with open_raw(port) as sock:
        assert sock.recv(1) == b""
    ways.balancer.wait_for_output("upstream timed out")

"""Servers of one TLS address are told apart by the name in the hello, as by the installed nginx."""

import socket
import ssl

import pytest

from lab import http, tls
from lab.sockets import TIMEOUT

pytestmark = [pytest.mark.needs("nginx"), pytest.mark.needs("openssl")]

NAMES = ["a.example", "B.example", "x.b.example", "c.example", "d.example", "none.example", None]


@pytest.fixture(scope="module")
def pairs(authority):
    return {name: authority.sign(name) for name in ("default", "a", "b", "c")}


def servers(port, pairs, authority, first):
    """Four servers of one address; the first is `first`."""

    def pair(name):
        certificate, key = pairs[name]
        return f"ssl_certificate {certificate}; ssl_certificate_key {key};"

    def server(name, more):
        where = f'location / {{ return 200 "{name} $ssl_protocol $ssl_server_name"; }}'
        return f"server {{ listen 127.0.0.1:{port} ssl; {more} {where} }}"

    return "\n".join(
        [
            "ssl_protocols TLSv1.2 TLSv1.3;",
            first or server("default", pair("default")),
            server("a", f"server_name a.example; {pair('a')}"),
            server("b", f"server_name *.b.example b.example; {pair('b')}"),
            server(
                "c",
                f"server_name c.example; {pair('c')} ssl_verify_client on;"
                f" ssl_client_certificate {authority.certificate};",
            ),
            server("d", "server_name d.example; ssl_reject_handshake on;"),
        ]
    )


def met(port, name, authority, pair=None):
    """Whose certificate a client sees, what it is answered, or how it fails."""
    context = tls.client_context(authority, verify=False, pair=pair)
    try:
        raw = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        with raw, context.wrap_socket(raw, server_hostname=name) as sock:
            subject = ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True))
            host = (name or "nobody").encode()
            sock.sendall(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            data = b""
            while more := sock.recv(65536):
                data += more
    except ssl.SSLError as error:
        return error.reason
    head, _, body = data.partition(b"\r\n\r\n")
    answer = body if head.startswith(b"HTTP/1.1 200") else b""
    return subject, head.split(b"\r\n")[0], answer


@pytest.mark.parametrize("rejects", [False, True])
def test_the_server_of_the_name(lab, authority, pairs, rejects):
    said = []
    for program in ("nginx", "tidegate"):
        port = lab.ports.free()
        first = f"server {{ listen 127.0.0.1:{port} ssl default_server; ssl_reject_handshake on; }}"
        text = servers(port, pairs, authority, first if rejects else "")
        http.balancer(lab, text, program=program)
        said.append([met(port, name, authority) for name in NAMES])
        said[-1].append(met(port, "c.example", authority, pairs["a"]))
    assert said[1] == said[0]
    assert len({str(one) for one in said[1]}) >= 5 - rejects
    assert said[1][-1][2] == b"c TLSv1.3 c.example"


def test_each_server_has_its_own_versions(lab, authority, pairs):
    """The installed nginx gives all servers of an address what is common to all of them."""
    port = lab.ports.free()
    text = servers(port, pairs, authority, "").replace(
        "server_name a.example;", "server_name a.example; ssl_protocols TLSv1.2;"
    )
    http.balancer(lab, text)
    assert met(port, "a.example", authority)[2] == b"a TLSv1.2 a.example"
    assert met(port, "b.example", authority)[2] == b"b TLSv1.3 b.example"


def test_what_one_server_gave_is_no_way_into_another(lab, authority, pairs):
    """A session of a server that asks for no certificate is not taken up where one is asked for."""
    port = lab.ports.free()
    http.balancer(lab, servers(port, pairs, authority, ""))
    for version in (tls.V12, tls.V13):
        context = tls.client_context(authority, verify=False, version=version)
        with tls.connect(port, context, name="a.example") as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            while sock.recv(65536):
                pass
            session = sock.session
        with tls.connect(port, context, name="a.example", session=session) as sock:
            assert sock.session_reused
        with tls.connect(port, context, name="c.example", session=session) as sock:
            assert not sock.session_reused
            sock.sendall(b"GET / HTTP/1.1\r\nHost: c.example\r\nConnection: close\r\n\r\n")
            assert b"400 Bad Request" in sock.recv(65536)

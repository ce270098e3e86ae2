"""Who comes to `listen … ssl` of http is answered as by the installed nginx, with its pages."""

from __future__ import annotations

import re
import ssl

import pytest

from lab import http, sockets
from lab.certificates import Authority

pytestmark = pytest.mark.needs("nginx", "openssl")


class Side:
    """One program with servers of several names on one TLS address."""

    def __init__(self, lab, program, pairs, more=""):
        self.port = lab.ports.free()
        servers = " ".join(
            f"server {{ listen 127.0.0.1:{self.port} ssl; server_name {name}; {more}"
            f" ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};"
            f' return 200 "{name} $ssl_client_verify $https $scheme"; }}'
            for name, pair in pairs.items()
        )
        self.balancer = http.balancer(lab, servers, program=program)

    def ask(self, authority, *, name="one.example", pair=None, host=None):
        """The certificate's name that a client sees, and what it is answered."""
        context = ssl.create_default_context(cafile=authority.certificate)
        context.check_hostname = False
        if pair is not None:
            context.load_cert_chain(*pair)
        with (
            sockets.open_raw(self.port) as plain,
            context.wrap_socket(plain, server_hostname=name) as client,
        ):
            asked = host or name
            client.sendall(f"GET / HTTP/1.1\r\nHost: {asked}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := client.recv(65536):
                answer += more
            shown = dict(part[0] for part in client.getpeercert()["subject"])["commonName"]
        return shown, alike(answer)


def alike(answer):
    answer = re.sub(rb"(?m)^(Date|Server|Content-Length): .*\r$", rb"\1: X\r", answer)
    return re.sub(rb"<center>(nginx|tidegate)[^<]*", b"<center>X", answer)


@pytest.fixture(scope="module")
def pairs(authority):
    return {name: authority.sign(name) for name in ("one.example", "two.example", "*.b.example")}


def test_each_name_has_its_own_certificate(lab, authority, pairs):
    sides = [Side(lab, program, pairs) for program in ("nginx", "tidegate")]
    for name in ("one.example", "two.example", "TWO.example", "x.b.example", "other", None):
        nginx, ours = (side.ask(authority, name=name) for side in sides)
        assert ours == nginx, name


def test_plain_http_on_a_tls_port_is_told_so(lab, authority, pairs):
    nginx, ours = (Side(lab, program, pairs) for program in ("nginx", "tidegate"))
    for data in (http.get(), b"hello\r\n\r\n", b"\r\n\r\n"):
        assert alike(http.ask(ours.port, data, end=True)) == alike(
            http.ask(nginx.port, data, end=True)
        )
    assert b"The plain HTTP request was sent to HTTPS port" in http.ask(ours.port, http.get())
    assert ours.ask(authority)[1].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("verify", ["on", "optional", "optional_no_ca"])
def test_clients_are_verified_with_nginxs_pages(lab, authority, pairs, tmp_path, verify):
    strangers = Authority(str(tmp_path))
    known, unknown = authority.sign("known"), strangers.sign("unknown")
    more = f"ssl_client_certificate {authority.certificate}; ssl_verify_client {verify};"
    sides = [Side(lab, program, pairs, more) for program in ("nginx", "tidegate")]
    for pair in (None, known, unknown):
        nginx, ours = (side.ask(authority, pair=pair) for side in sides)
        assert ours == nginx
    assert b" 200 OK" in sides[1].ask(authority, pair=known)[1]


def test_a_server_that_verifies_as_no_other_does_lets_nobody_in_by_anothers_handshake(
    lab, authority, pairs, tmp_path
):
    strangers = Authority(str(tmp_path))
    port = lab.ports.free()
    one, two = list(pairs.values())[:2]
    http.balancer(
        lab,
        f"server {{ listen 127.0.0.1:{port} ssl; server_name one.example; ssl_certificate {one[0]};"
        f" ssl_certificate_key {one[1]}; ssl_client_certificate {strangers.certificate};"
        " ssl_verify_client optional; return 200 one; }"
        f"server {{ listen 127.0.0.1:{port} ssl; server_name two.example; ssl_certificate {two[0]};"
        f" ssl_certificate_key {two[1]}; ssl_client_certificate {authority.certificate};"
        " ssl_verify_client on; return 200 two; }",
    )
    side = Side.__new__(Side)
    side.port = port
    pair = strangers.sign("stranger")
    assert b" 200 OK" in side.ask(authority, pair=pair)[1]
    assert b" 421 " in side.ask(authority, pair=pair, host="two.example")[1]
    assert b"The SSL certificate error" in side.ask(authority, name="two.example", pair=pair)[1]
    ours = authority.sign("known")
    assert b" 200 OK" in side.ask(authority, name="two.example", pair=ours)[1]


@pytest.mark.parametrize("verify", ["on", "optional"])
def test_a_server_without_a_certificate_of_its_own_verifies_clients_all_the_same(
    lab, authority, pairs, verify
):
    one = pairs["one.example"]
    sides = []
    for program in ("nginx", "tidegate"):
        side = Side.__new__(Side)
        side.port = lab.ports.free()
        listen = f"listen 127.0.0.1:{side.port} ssl;"
        http.balancer(
            lab,
            f"server {{ {listen} server_name one.example; ssl_certificate {one[0]};"
            f" ssl_certificate_key {one[1]}; return 200 one; }}"
            f"server {{ {listen} server_name two.example; ssl_verify_client {verify};"
            f' ssl_client_certificate {authority.certificate}; return 200 "$ssl_client_verify"; }}',
            program=program,
        )
        sides.append(side)
    known = authority.sign("known")
    for name in ("two.example", None):
        for pair in (None, known):
            asked = {"name": name, "host": "two.example", "pair": pair}
            nginx, ours = (side.ask(authority, **asked) for side in sides)
            assert ours == nginx, asked
            refused = b"No required SSL certificate was sent" in ours[1]
            assert refused == (verify == "on")
    assert b" 200 OK" in sides[1].ask(authority)[1]
    # By the hello of another server, too; nginx tells such a client 421.
    by_another = sides[1].ask(authority, name="one.example", host="two.example")[1]
    assert (b" 200 OK" in by_another) == (verify != "on")


def test_a_server_without_a_certificate_lets_nobody_in_whom_another_authority_knows(
    lab, authority, pairs, tmp_path
):
    strangers = Authority(str(tmp_path))
    side = Side.__new__(Side)
    side.port = lab.ports.free()
    listen = f"listen 127.0.0.1:{side.port} ssl; ssl_verify_client on;"
    one = pairs["one.example"]
    http.balancer(
        lab,
        f"server {{ {listen} server_name one.example; ssl_certificate {one[0]};"
        f" ssl_certificate_key {one[1]}; ssl_client_certificate {strangers.certificate};"
        " return 200 one; }"
        f"server {{ {listen} server_name two.example;"
        f" ssl_client_certificate {authority.certificate}; return 200 two; }}"
        f"server {{ {listen} server_name three.example;"
        f" ssl_client_certificate {strangers.certificate}; return 200 three; }}",
    )
    pair = strangers.sign("stranger")
    assert b" 200 OK" in side.ask(authority, pair=pair)[1]
    assert b" 421 " in side.ask(authority, name="two.example", pair=pair)[1]
    assert b" 200 OK" in side.ask(authority, name="three.example", pair=pair)[1]
    assert b"No required SSL" in side.ask(authority, name="three.example")[1]

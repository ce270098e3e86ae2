"""Servers of one address are told apart by the name that a client of TLS asks for."""

from __future__ import annotations

import contextlib
import os
import re
import ssl

import pytest

from lab.certificates import openssl
from lab.clients import mosquitto_pub
from lab.packets import connect as mqtt_connect
from lab.process import read
from lab.sockets import open_raw, receive, receive_all
from lab.tls import (
    SecureNode,
    client_context,
    connect,
    echoes,
    greets,
    hello_of,
    refusal,
    server_context,
)
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("openssl")

LOCAL = "subjectAltName=DNS:localhost,IP:127.0.0.1\n"


class Front:
    """One address in TLS; each server has a certificate of its own."""

    def __init__(self, lab, authority):
        self.lab = lab
        self.authority = authority
        self.port = lab.ports.free()
        self.context = client_context(authority, verify=False)

    def server(self, certificate, text, *, listen=""):
        """A server; `certificate` is also what the subject of its certificate says."""
        pem, key = self.authority.sign(certificate, extensions=LOCAL)
        return (
            f"server {{ listen 127.0.0.1:{self.port} ssl {listen}; ssl_certificate {pem};"
            f" ssl_certificate_key {key}; {text} }}"
        )

    def start(self, *servers, **options):
        self.balancer = self.lab.balancer("\n".join(servers), **options)
        return self.balancer

    def asks(self, name, context=None):
        """Whose certificate a client of that name is shown, and what it is told then."""
        with connect(self.port, context or self.context, name=name) as sock:
            subject = openssl(
                *("x509", "-noout", "-subject"),
                text=ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True)),
            )
            return re.search(r"CN ?= ?(\S+)", subject)[1], receive_all(sock).decode()

    def told(self, name, context=None):
        return self.asks(name, context)[1]


@pytest.fixture
def front(lab, authority):
    return Front(lab, authority)


def test_server_name(front):
    front.start(
        front.server("first", "return first;"),
        front.server("exact", "server_name a.example ''; return exact;"),
        front.server("head", "server_name *.example; return head;"),
        front.server("itself", "server_name .example.net; return itself;"),
        front.server("tail", "server_name www.*; return tail;"),
        front.server("regex", r"server_name ~^[0-9]+\.node$; return regex;"),
    )
    asked = {
        "a.example": "exact",
        "A.Example": "exact",
        "b.example": "head",
        "c.b.example": "head",
        "example.net": "itself",
        "x.example.net": "itself",
        "www.org": "tail",
        "www.example": "head",  # the longest wildcard at the head comes before one at the end
        "12.node": "regex",
        "a12.node": "first",
        "elsewhere": "first",
        None: "first",
    }
    assert {name: front.asks(name) for name in asked} == {
        name: (server, server) for name, server in asked.items()
    }


def test_the_client_of_openssl_is_shown_the_certificate_of_its_name(front):
    front.start(
        front.server("first", "return first;"),
        front.server("second", "server_name second.example; return second;"),
    )
    for name in ("first", "second"):
        said = openssl(
            *("s_client", "-connect", f"127.0.0.1:{front.port}"),
            *("-servername", f"{name}.example"),
            text="",
        )
        assert re.search(rf"^subject=CN ?= ?{name}$", said, re.MULTILINE)


def test_default_server_has_who_names_none(front):
    front.start(
        front.server("first", "server_name first.example; return first;"),
        front.server("second", "return second;", listen="default_server"),
    )
    assert [front.told(name) for name in ("first.example", "other", None)] == [
        "first",
        "second",
        "second",
    ]


def test_a_server_without_a_certificate_shows_that_of_the_default_one(front):
    bare = f"server {{ listen 127.0.0.1:{front.port}; server_name bare.example; return bare; }}"
    front.start(front.server("first", "return first;"), bare)
    assert front.asks("bare.example") == ("first", "bare")


def test_what_an_expression_matched_is_known(front):
    text = r"server_name ~^(?<node>[a-z]+)\.(\d+)$; set $both $node/$2; return '$both $1';"
    front.start(front.server("first", "return first;"), front.server("second", text))
    assert front.told("red.7") == "red/7 red"


def test_a_single_server_knows_what_its_expression_matched(front):
    front.start(front.server("first", r"server_name ~^(?<node>[a-z]+)\.; return '[$node]';"))
    assert [front.told(name) for name in ("red.7", "7")] == ["[red]", "[]"]


def test_each_server_verifies_its_own_clients(front):
    authority = front.authority
    front.start(
        front.server("first", "return first;"),
        front.server(
            "strict",
            "server_name strict.example; return $ssl_client_verify; ssl_verify_client on;"
            f" ssl_client_certificate {authority.certificate};",
        ),
    )
    known = client_context(authority, verify=False, pair=authority.sign("device"))
    assert front.told("strict.example", known) == "SUCCESS"
    assert front.told("other.example") == "first"
    assert not greets(front.port, front.context, name="strict.example")
    front.balancer.wait_until(
        lambda: "client sent no required SSL certificate" in front.balancer.errors(), "the reason"
    )


def test_a_session_is_not_taken_up_at_a_server_that_verifies(front):
    authority = front.authority
    front.start(
        front.server("first", "return first;"),
        front.server(
            "strict",
            "server_name strict.example; return strict; ssl_verify_client on;"
            f" ssl_client_certificate {authority.certificate};",
        ),
    )
    with connect(front.port, front.context, name="first.example") as sock:
        assert receive_all(sock) == b"first"
        session = sock.session
    with connect(front.port, front.context, name="strict.example", session=session) as sock:
        with contextlib.suppress(OSError):
            assert receive_all(sock) == b""
        assert not sock.session_reused


def test_ssl_reject_handshake(front):
    reject = (
        f"server {{ listen 127.0.0.1:{front.port} ssl default_server; ssl_reject_handshake on;"
        " return x; }"
    )
    front.start(
        front.server("named", "server_name named.example; return named;"),
        reject,
        front.server("refused", "server_name no.example; ssl_reject_handshake on; return no;"),
    )
    assert front.told("named.example") == "named"
    for name in ("other.example", "no.example", None):
        assert refusal(front.port, front.context, name=name) == "TLSV1_UNRECOGNIZED_NAME"
    assert "handshake rejected while SSL handshaking" in front.balancer.errors()


def test_the_rules_of_the_chosen_server_hold(front):
    balancer = front.start(
        "limit_conn_zone $server_port zone=all:1m;",
        front.server("first", "return first;"),
        front.server("closed", "server_name closed.example; deny all; return closed;"),
        front.server("one", "server_name one.example; limit_conn all 1; proxy_pass 127.0.0.1:1;"),
    )
    assert front.told("first.example") == "first"
    assert front.told("closed.example") == ""
    assert "access forbidden by rule while initializing session" in balancer.errors()
    assert [row["status"] for row in balancer.wait_sessions(2)] == ["200", "403"]


def test_a_client_counts_where_it_is_served(lab, front):
    node = lab.node()
    balancer = front.start(
        "limit_conn_zone $remote_addr zone=all:1m; limit_conn all 2;",
        front.server("first", f"proxy_pass {node.address};"),
        front.server("second", f"server_name second.example; proxy_pass {node.address};"),
    )
    with contextlib.ExitStack() as open_ones:
        for name in ("second.example", "first.example"):
            sock = open_ones.enter_context(connect(front.port, front.context, name=name))
            assert echoes(sock)
        assert not greets(front.port, front.context, name="second.example")
    assert 'limiting connections by zone "all"' in balancer.errors()
    with contextlib.ExitStack() as open_ones:  # both places are free again
        for _ in range(2):
            sock = wait_until(lambda: served(front, "second.example"), "a place is free")
            open_ones.enter_context(sock)


def served(front, name):
    """A connection that is served; None where there is none."""
    try:
        sock = connect(front.port, front.context, name=name)
    except OSError:
        return None
    return sock if echoes(sock) else sock.close()


def test_each_server_has_its_own_logs(front, lab):
    node = lab.node()
    balancer = front.start(
        "log_format who '$ssl_server_name $status';",
        front.server("first", f"proxy_pass {node.address}; access_log first.log who;"),
        front.server(
            "second",
            f"server_name second.example; proxy_pass {node.address}; access_log second.log who;",
        ),
    )
    for name in ("second.example", "first.example"):
        with connect(front.port, front.context, name=name) as sock:
            assert echoes(sock)
    logs = [os.path.join(balancer.folder, f"{name}.log") for name in ("first", "second")]
    balancer.wait_until(lambda: all(map(read, logs)), "a line in each log")
    assert list(map(read, logs)) == ["first.example 200\n", "second.example 200\n"]


def test_mqtt_is_read_by_the_server_that_asks_for_it(lab, front):
    broker = lab.mosquitto()
    balancer = front.start(
        "log_format who '$mqtt_preread_clientid $status';",
        front.server("first", "return first;"),
        front.server(
            "localhost",
            f"server_name localhost; mqtt_preread on; access_log who.log who;"
            f" proxy_pass {broker.host}:{broker.port};",
        ),
    )
    more = ["-h", "localhost", "--cafile", front.authority.certificate, "-i", "device-7"]
    for version in ("mqttv5", "mqttv311"):
        mosquitto_pub(front.port, "topic", b"hello", version=version, more=more)
    assert front.told("127.0.0.1") == "first"
    path = os.path.join(balancer.folder, "who.log")
    balancer.wait_until(lambda: read(path).count("\n") == 2, "two lines")
    assert read(path) == "device-7 200\n" * 2


def test_a_broker_that_is_stopped_is_told_in_mqtt_by_the_chosen_server(front):
    front.start(
        front.server("first", "return first;"),
        front.server(
            "second", "server_name second.example; mqtt_preread on; proxy_pass 127.0.0.1:1;"
        ),
    )
    with connect(front.port, front.context, name="second.example") as sock:
        sock.sendall(mqtt_connect("device-7"))
        assert receive_all(sock) == bytes([0x20, 2, 0, 3])


def test_ssl_preread_chooses_as_well(lab, server_pair, authority):
    nodes = [SecureNode(server_context(server_pair)) for _ in range(2)]
    plain, port = lab.node(), lab.ports.free()
    listen = f"listen 127.0.0.1:{port};"
    try:
        balancer = lab.balancer(
            "log_format who '$asked';"
            f" server {{ {listen} ssl_preread on; proxy_pass {plain.address}; }}"
            f" server {{ {listen} server_name red.example; proxy_pass {nodes[0].address}; }}"
            f" server {{ {listen} server_name *.blue.example; proxy_pass {nodes[1].address};"
            " set $asked $ssl_preread_server_name; access_log who.log who; }"
        )
        context = client_context(authority, verify=False)
        for name in ("red.example", "a.blue.example"):
            with connect(port, context, name=name) as sock:
                assert echoes(sock)
        with open_raw(port) as sock:
            sock.sendall(b"no hello")
            assert receive(sock, 8) == b"no hello"
        assert [[one["name"] for one in node.clients] for node in nodes] == [
            ["red.example"],
            ["a.blue.example"],
        ]
        path = os.path.join(balancer.folder, "who.log")
        balancer.wait_until(lambda: read(path), "a line")
        assert read(path) == "a.blue.example\n"
    finally:
        for node in nodes:
            node.clean_up()


def test_a_hello_inside_of_tls_chooses_no_server(front):
    balancer = front.start(
        front.server("first", "ssl_preread on; return '$ssl_preread_server_name';"),
        front.server("second", "server_name second.example; return second;"),
    )
    with connect(front.port, front.context, name="first.example") as sock:
        sock.sendall(hello_of(name="second.example"))
        assert receive_all(sock) == b"second.example"
    assert "Traceback" not in balancer.errors()


def test_a_name_that_is_too_long_is_none(front):
    balancer = front.start(
        front.server("first", "return first;"),
        front.server("second", "server_name ~^a; return second; error_log second.log info;"),
    )
    name = ".".join(["a" * 60] * 4)
    with open_raw(front.port) as sock:
        sock.sendall(longer(hello_of(name=name), name.encode(), b"a." * 3_000))
        assert receive(sock, 7) == b"\x15\x03\x03\0\2\2\x70"  # unrecognized_name
    balancer.wait_until(lambda: "SSL_do_handshake() failed" in balancer.errors(), "a line")
    assert read(os.path.join(balancer.folder, "second.log")) == ""
    assert front.told(name) == "second"


def longer(hello, name, other):
    """The same hello with another name of a server: the lengths around it grow, too."""
    more = len(other) - len(name)
    at = hello.index(name)
    # Of the name, the list, the extension; of all extensions, the message, the record.
    for place in (at - 2, at - 5, at - 7):
        hello = grown(hello, place, more)
    hello = grown(hello, extensions_at(hello), more)
    return grown(grown(hello, 7, more), 3, more).replace(name, other)


def grown(data, at, more):
    size = int.from_bytes(data[at : at + 2], "big") + more
    return data[:at] + size.to_bytes(2, "big") + data[at + 2 :]


def extensions_at(hello):
    """Where the length of all extensions stands: behind session, ciphers and compressions."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    return at + 1 + hello[at]


def test_a_reload_may_bring_servers_and_take_them(front):
    first = front.server("first", "return first;")
    second = front.server("second", "server_name second.example; return second;")
    balancer = front.start(first)
    assert front.asks("second.example") == ("first", "first")
    conf = read(balancer.conf)
    for text, answer in ((f"{first} {second}", "second"), (first, "first")):
        with open(balancer.conf, "w") as file:
            file.write(conf.replace(first, text))
        balancer.send("reload")
        wait_until(lambda answer=answer: front.asks("second.example") == (answer,) * 2, answer)


def test_a_renewed_certificate_is_shown_by_its_server(front):
    front.start(
        front.server("first", "return first;"),
        front.server("second", "server_name second.example; return second;"),
    )
    front.authority.sign("second", subject="/CN=renewed", extensions=LOCAL)
    wait_until(lambda: front.asks("second.example")[0] == "renewed", "the new one is shown")
    assert front.asks("first.example")[0] == "first"


def test_without_names_the_first_server_has_all_clients(lab):
    port = lab.ports.free()
    listen = f"listen 127.0.0.1:{port};"
    balancer = lab.balancer(
        f"server {{ {listen} return first; }} server {{ {listen} server_name b; return second; }}"
    )
    with open_raw(port) as sock:
        assert receive_all(sock) == b"first"
    assert f"clients of 127.0.0.1:{port} cannot name this server, ignored" in balancer.tail()

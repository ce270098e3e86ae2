"""Servers of stream that share an address, and those that pass connections on."""

from __future__ import annotations

import socket

import pytest

from lab.certificates import LOCAL_HOST
from tidegate.config.model import Pass
from tidegate.variables.template import Template

HOST = "0.0.0.0"


def stream(text):
    return f"events {{}} stream {{ {text} }}"


def test_servers_of_one_address_share_it(folder):
    first, second = folder.stream(
        "server { listen 1; listen 2; return a; }"
        " server { listen 1; listen 2 default_server; return b; }"
    ).servers
    assert first.listens == second.listens
    assert first.default_for == (f"{HOST}:1",)
    assert second.default_for == (f"{HOST}:2",)


def test_names_are_kept_in_small_letters(folder):
    (server,) = folder.stream(
        r"server { listen 1; server_name A.Example *.B .c d.*; server_name ~^E(?<f>\d)$ ''; "
        " return $f; }"
    ).servers
    assert server.names == ("a.example", "*.b", ".c", "d.*", r"~^E(?<f>\d)$", "")


def test_a_server_without_a_name_has_the_empty_one(folder):
    assert folder.server("listen 1; return a;").names == ("",)


def test_the_hosts_name(folder):
    assert folder.server("listen 1; server_name $hostname; return a;").names == (
        socket.gethostname().lower(),
    )


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("server { listen 1; listen *:1; return a; }", f"a duplicate listen {HOST}:1"),
        (
            "server { listen 1 backlog=5; return a; } server { listen 1 deferred; return b; }",
            f"duplicate listen options for {HOST}:1",
        ),
        (
            (
                "server { listen 1 default_server; return a; }"
                " server { listen 1 default_server; return b; }"
            ),
            f"a duplicate default server for {HOST}:1",
        ),
        ("server { listen 1; server_name *; return a; }", 'server name "*" is invalid'),
        ("server { listen 1; server_name .; return a; }", 'server name "." is invalid'),
        ("server { listen 1; server_name ~; return a; }", 'empty regex in server name "~"'),
    ],
)
def test_what_cannot_be_is_refused(folder, servers, message):
    assert message in folder.errors(stream(servers))


def test_a_name_with_a_wildcard_inside_is_refused_where_names_matter(folder):
    servers = "server { listen 1; server_name a.*.b; return a; } server { listen 1; return b; }"
    assert folder.errors(stream(servers)) == [
        f'invalid server name or wildcard "a.*.b" on {HOST}:1'
    ]


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        (
            (
                "server { listen 1 ssl; ssl_reject_handshake on; server_name a; return a; }"
                " server { listen 1 ssl; ssl_reject_handshake on; server_name a; return b; }"
            ),
            f'conflicting server name "a" on {HOST}:1, ignored',
        ),
        (
            (
                "server { listen 1 ssl; ssl_reject_handshake on; return a; }"
                " server { listen 1 proxy_protocol; ssl_reject_handshake on; return b; }"
            ),
            f"protocol options redefined for {HOST}:1",
        ),
        (
            "server { listen 1; return a; } server { listen 1; server_name b; return b; }",
            f"clients of {HOST}:1 cannot name this server, ignored",
        ),
    ],
)
def test_what_is_of_no_use_is_warned_of(folder, servers, message):
    loaded = folder.load(stream(servers))
    assert loaded.first_error is None
    assert message in [one.message for one in loaded.problems]


@pytest.mark.parametrize(
    "servers",
    [
        (
            "server { listen 1; ssl_preread on; return a; }"
            " server { listen 1; server_name b; return b; }"
        ),
        (
            "server { listen 1 ssl; ssl_reject_handshake on; return a; }"
            " server { listen 1 ssl; ssl_reject_handshake on; server_name b; return b; }"
        ),
    ],
)
def test_servers_that_can_be_named_are_not_warned_of(folder, servers):
    assert folder.warnings(stream(servers)) == []


def test_a_server_that_a_hello_chooses_knows_what_was_in_it(folder):
    text = (
        "server { listen 1; ssl_preread on; return a; }"
        " server { listen 1; server_name b; return $ssl_preread_server_name; }"
    )
    assert folder.warnings(stream(text)) == []
    alone = "server { listen 1; server_name b; return $ssl_preread_server_name; }"
    assert len(folder.warnings(stream(alone))) == 1


@pytest.fixture(scope="module")
def pair(authority):
    certificate, key = authority.sign("shared", extensions=LOCAL_HOST)
    return f"ssl_certificate {certificate}; ssl_certificate_key {key};"


@pytest.mark.needs("openssl")
class TestCertificates:
    def test_that_of_the_default_server_is_enough(self, folder, pair):
        first, second = folder.stream(
            f"server {{ listen 1 ssl; {pair} return a; }}"
            " server { listen 1; server_name b; return b; }"
        ).servers
        assert first.tls is not None
        assert second.tls is None
        assert second.listens[0].ssl

    @pytest.mark.parametrize(
        "servers",
        [
            "server { listen 1 ssl; return a; }",
            (
                "server { listen 1 ssl; return a; }"
                " server { listen 1 ssl; server_name b; %s return b; }"
            ),
            (
                "server { listen 1 ssl; %s return a; }"
                " server { listen 1; server_name b; ssl_verify_client optional_no_ca; return b; }"
            ),
            (
                "server { listen 1 ssl; ssl_reject_handshake on; return a; }"
                " server { listen 1; server_name b; return b; }"
            ),
        ],
    )
    def test_it_has_to_be_there(self, folder, pair, servers):
        text = stream(servers.replace("%s", pair))
        assert folder.errors(text) == [
            'no "ssl_certificate" is defined for the "listen ... ssl" directive'
        ]

    def test_the_server_that_lacks_it_is_named(self, folder, pair):
        loaded = folder.load(
            f"events {{}}\nstream {{\nserver {{ listen 1 ssl; {pair} return a; }}\n"
            "server { listen 1; server_name b; ssl_verify_client optional_no_ca; return b; }\n}"
        )
        assert loaded.first_error is not None
        assert loaded.first_error.span.line == 4

    def test_an_ocsp_answer_comes_from_a_file(self, folder, pair):
        text = f"server {{ listen 1 ssl; {pair} ssl_stapling on; %s return a; }}"
        assert folder.errors(stream(text % "")) == [
            '"ssl_stapling" without "ssl_stapling_file" is not supported yet'
        ]
        folder.write("nonsense", "answer.der")
        (error,) = folder.errors(stream(text % "ssl_stapling_file answer.der;"))
        assert error.startswith(f'd2i_OCSP_RESPONSE_bio("{folder.path}/answer.der") failed (SSL: ')
        (error,) = folder.errors(stream(text % "ssl_stapling_file gone;"))
        assert error.startswith(f'BIO_new_file("{folder.path}/gone") failed (SSL: ')


class TestPass:
    def test_an_address(self, folder):
        server, *_others = folder.stream(
            "server { listen 1; pass 10.0.0.7:5; } server { listen 5; return x; }"
        ).servers
        assert isinstance(server.content, Pass)
        assert server.content.to.text == "10.0.0.7:5"

    @pytest.mark.parametrize("text", ["unix:/a.sock", "[::1]:7"])
    def test_addresses_of_other_kinds(self, folder, text):
        server, _other = folder.stream(
            f"server {{ listen 1; pass {text}; }} server {{ listen {text}; return x; }}"
        ).servers
        assert server.content.to.text == text

    def test_variables(self, folder):
        server = folder.server("listen 1; pass $remote_addr:5;")
        assert isinstance(server.content.to, Template)

    def test_a_listen_of_http(self, folder):
        model = folder.model(
            "events {} http { server { listen 127.0.0.1:80; } }"
            " stream { server { listen 1; pass 127.0.0.1:80; } }"
        )
        assert model.stream.servers[0].content.to.text == "127.0.0.1:80"

    def test_the_last_of_several_handlers_holds(self, folder):
        other = "server { listen 5; return x; }"
        first, _ = folder.stream(
            f"server {{ listen 1; return a; pass 1.1.1.1:5; }} {other}"
        ).servers
        assert isinstance(first.content, Pass)
        first, _ = folder.stream(
            f"server {{ listen 1; pass 1.1.1.1:5; return a; }} {other}"
        ).servers
        assert not isinstance(first.content, Pass)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("pass 127.0.0.1;", '"pass" directive has no port'),
            ("pass emqx1:5;", '"pass" directive has no addresses'),
            ("pass 127.0.0.1:x;", 'invalid port in "127.0.0.1:x" of the "pass" directive'),
            ("pass 127.0.0.1:7;", 'port not found for "127.0.0.1:7"'),
            ("pass [::1]:1;", 'port not found for "[::1]:1"'),
            ("pass 127.0.0.1:1;", 'stream pass cycle through "127.0.0.1:1"'),
            ("pass 1.1.1.1:5; pass 1.1.1.1:5;", '"pass" directive is duplicate'),
            ("pass $nothing;", 'unknown "nothing" variable'),
        ],
    )
    def test_what_leads_nowhere_is_refused(self, folder, text, message):
        others = "server { listen 5; return x; }"
        assert folder.errors(stream(f"server {{ listen 1; {text} }} {others}")) == [message]

    def test_a_connect_that_would_be_passed_on_unchanged_is_refused(self, folder):
        text = 'server { listen 1; mqtt on; mqtt_set_connect clientid "x"; pass $remote_addr:5; }'
        assert folder.errors(stream(text)) == ['"mqtt_set_connect" changes nothing beside "pass"']

    def test_its_place_is_told(self, folder):
        loaded = folder.load("events {}\nstream {\nserver { listen 1;\n pass 127.0.0.1:7; }\n}\n")
        span = loaded.first_error.span
        assert (span.line, span.column) == (4, 7)

    def test_a_cycle_of_several_servers_is_refused(self, folder):
        text = (
            "server { listen 1; pass 1.1.1.1:2; } server { listen 2; pass 1.1.1.1:3; }"
            " server { listen 3; pass 1.1.1.1:1; }"
        )
        assert len(folder.errors(stream(text))) == 3

    def test_a_way_into_a_cycle_is_no_cycle(self, folder):
        text = "server { listen 1; pass 1.1.1.1:2; } server { listen 2; pass 1.1.1.1:2; }"
        assert folder.errors(stream(text)) == ['stream pass cycle through "1.1.1.1:2"']

    @pytest.mark.needs("openssl")
    def test_tls_in_tls_is_refused(self, folder, pair):
        text = (
            f"server {{ listen 1 ssl; {pair} pass 1.1.1.1:2; }}"
            f" server {{ listen 2 ssl; {pair} return x; }}"
        )
        assert folder.errors(stream(text)) == [
            'TLS that ended here cannot be passed to "listen 1.1.1.1:2 ssl"'
        ]

    @pytest.mark.parametrize("look", ["ssl_preread on;", "mqtt_preread on;"])
    def test_a_proxy_header_behind_what_was_read_is_refused(self, folder, look):
        text = (
            f"server {{ listen 1; {look} pass 1.1.1.1:2; }}"
            " server { listen 2 proxy_protocol; return x; }"
        )
        assert folder.errors(stream(text)) == [
            'cannot pass connection with preread data to "1.1.1.1:2"'
        ]

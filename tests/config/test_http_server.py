"""Servers of http: their addresses and names."""

import os
import socket

import pytest

HOST = "0.0.0.0"


def listens(server):
    return [(one.listen.address.text, one.default) for one in server.listens]


def test_servers_of_one_address_share_it(folder):
    first, second = folder.http(
        "server { listen 80; listen 81 default_server; } server { listen 80; listen 81; }"
    ).servers
    assert listens(first) == [(f"{HOST}:80", True), (f"{HOST}:81", True)]
    assert listens(second) == [(f"{HOST}:80", False), (f"{HOST}:81", False)]
    assert first.listens[0].listen == second.listens[0].listen


def test_a_later_server_may_be_the_default(folder):
    first, second = folder.http(
        "server { listen 80; } server { listen *:80 default_server; }"
    ).servers
    assert listens(first) == [(f"{HOST}:80", False)]
    assert listens(second) == [(f"{HOST}:80", True)]


def test_a_server_without_listen_is_on_port_80_or_8000(folder):
    (server,) = folder.http("server { }").servers
    assert listens(server) == [(f"{HOST}:{80 if os.getuid() == 0 else 8000}", True)]


def test_an_address_without_a_port_has_80(folder):
    (server,) = folder.http(
        "server { listen 127.0.0.1; listen [::1]; listen unix:/a.sock; }"
    ).servers
    assert [text for text, _default in listens(server)] == [
        "127.0.0.1:80",
        "[::1]:80",
        "unix:/a.sock",
    ]
    assert server.listens[1].listen.address.family == socket.AF_INET6


def test_parameters_of_all_servers_hold_for_the_address(folder):
    servers = folder.http(
        "server { listen 80; } server { listen 80 proxy_protocol; } server { listen 80 backlog=7; }"
    ).servers
    for server in servers:
        (one,) = server.listens
        assert one.listen.proxy_protocol
        assert one.listen.backlog == 7


def test_other_protocols_for_an_address_are_warned_of(folder):
    text = (
        "events {} http { server { listen 80 proxy_protocol; }"
        " server { listen 80 ssl; ssl_reject_handshake on; } }"
    )
    assert f"protocol options redefined for {HOST}:80" in folder.warnings(text)


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("server { listen 80; listen *:80; }", f"a duplicate listen {HOST}:80"),
        (
            "server { listen 80 backlog=1; } server { listen 80 backlog=1; }",
            f"duplicate listen options for {HOST}:80",
        ),
        (
            "server { listen 80 default_server; } server { listen 80 default_server; }",
            f"a duplicate default server for {HOST}:80",
        ),
        ("server { listen 80 maybe; }", 'invalid parameter "maybe"'),
        ("server { listen 80 backlog=0; }", 'invalid backlog "backlog=0"'),
        ("server { listen 0; }", 'invalid port in "0" of the "listen" directive'),
        ("server { listen 80 quic; }", '"listen ... quic" is not supported yet'),
        (
            "server { listen 443 ssl; }",
            'no "ssl_certificate" is defined for the "listen ... ssl" directive',
        ),
    ],
)
def test_a_wrong_listen_is_refused(folder, servers, message):
    assert folder.errors(f"events {{}} http {{ {servers} }}") == [message]


def test_http2_is_not_spoken_and_nginx_says_where_it_stands_now(folder):
    text = "events {} http { server { listen 80 http2; } }"
    assert folder.warnings(text) == [
        'the "listen ... http2" directive is deprecated, use the "http2" directive instead'
    ]


def test_worker_connections_have_to_do_for_these_addresses(folder):
    text = "events { worker_connections 1; } http { server { listen 1; } }"
    assert folder.errors(text) == ["1 worker_connections are not enough for 1 listening sockets"]


# --- names ---


def test_names_are_kept_in_small_letters(folder):
    (server,) = folder.http(
        r"server { listen 80; server_name A.b *.C.d .e.f www.g.* ~^(?<x>A)\.b$ ''; }"
    ).servers
    assert server.names == ("a.b", "*.c.d", ".e.f", "www.g.*", r"~^(?<x>A)\.b$", "")


def test_a_server_without_a_name_has_the_empty_one(folder):
    (server,) = folder.http("server { listen 80; }").servers
    assert server.names == ("",)


def test_the_name_of_the_host_is_put_in(folder):
    (server,) = folder.http("server { listen 80; server_name $hostname; }").servers
    assert server.names == (socket.gethostname().lower(),)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("*a.b", 'server name "*a.b" is invalid'),
        ("*", 'server name "*" is invalid'),
        (".", 'server name "." is invalid'),
        ("~", 'empty regex in server name "~"'),
    ],
)
def test_a_wrong_name_is_refused(folder, name, message):
    text = f"events {{}} http {{ server {{ listen 80; server_name {name}; }} }}"
    assert folder.errors(text) == [message]


def test_a_wildcard_in_the_middle_counts_where_names_are_looked_up(folder):
    text = "server { listen 80; server_name a.*.b; }"
    assert folder.errors(f"events {{}} http {{ {text} }}") == []
    assert folder.errors(f"events {{}} http {{ {text} server {{ listen 80; }} }}") == [
        f'invalid server name or wildcard "a.*.b" on {HOST}:80'
    ]


def test_a_name_of_two_servers_is_that_of_the_first(folder):
    text = (
        "events {} http { server { listen 80; server_name a.b x; }"
        " server { listen 80; server_name x .a.b; } server { listen 81; server_name x; } }"
    )
    assert folder.warnings(text) == [
        f'conflicting server name "x" on {HOST}:80, ignored',
        f'conflicting server name ".a.b" on {HOST}:80, ignored',
    ]


def test_two_servers_without_a_name_are_warned_of(folder):
    text = "events {} http { server { listen 80; } server { listen 80; } }"
    assert folder.warnings(text) == [f'conflicting server name "" on {HOST}:80, ignored']

"""What says whether a PROXY header comes, and who is believed, is read as nginx reads it."""

import socket

import pytest

from tidegate.config.networks import parse_network
from tidegate.wire.network import Network

LISTEN = "listen 1 proxy_protocol; return x;"


def networks(*texts):
    return tuple(parse_network(text)[0] for text in texts)


def test_listen_says_where_a_header_comes_first(folder):
    server = folder.server("listen 1 proxy_protocol; listen 2 backlog=9; return x;")
    assert [listen.proxy_protocol for listen in server.listens] == [True, False]


def test_a_header_has_30_seconds_or_what_is_written(folder):
    assert folder.server(LISTEN).proxy_protocol_timeout_ms == 30_000
    own = folder.server(f"{LISTEN} proxy_protocol_timeout 1m500ms;")
    assert own.proxy_protocol_timeout_ms == 60_500
    stream = folder.stream(f"proxy_protocol_timeout 5s; server {{ {LISTEN} }}")
    assert stream.servers[0].proxy_protocol_timeout_ms == 5_000


def test_addresses_networks_names_and_unix(folder):
    text = " ".join(
        f"set_real_ip_from {one};" for one in ("10.0.0.0/8", "::1", "unix:", "both", "emqx1")
    )
    assert folder.server(f"{LISTEN} {text}").real_ip_from == (
        *networks("10.0.0.0/8", "::1"),
        Network(family=socket.AF_UNIX),
        *networks("10.0.0.3", "fd00::3", "10.0.0.1"),
    )


def test_the_list_of_stream_holds_where_a_server_has_none(folder):
    own = "set_real_ip_from 10.0.0.1;"
    around = "set_real_ip_from 10.0.0.2; set_real_ip_from 10.0.0.3;"
    stream = folder.stream(f"server {{ {LISTEN} {own} }} server {{ listen 2; return x; }} {around}")
    assert stream.servers[0].real_ip_from == networks("10.0.0.1")
    assert stream.servers[1].real_ip_from == networks("10.0.0.2", "10.0.0.3")


def whole(text):
    return f"events {{}}\nstream {{\nserver {{\n{LISTEN}\n{text}\n}}\n}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "10.0.0",
        "10.0.0.1:80",
        "[::1]",
        "fd00::/129",
        "unix:/run/x",
        "nobody.invalid",
    ],
)
def test_what_is_no_address_is_an_error_with_its_place(folder, text):
    loaded = folder.load(whole(f"  set_real_ip_from {text};"))
    (problem,) = loaded.problems
    message = f'host not found in set_real_ip_from "{text}"'
    assert problem.words == f"{message} in {problem.span.file}:5"
    assert problem.span.column == len("  set_real_ip_from ") + 1
    assert "host name" in problem.hint


def test_bits_below_the_mask_are_a_warning(folder):
    assert folder.warnings(whole("set_real_ip_from 10.1.2.3/8;")) == [
        "low address bits of 10.1.2.3/8 are meaningless"
    ]
    assert folder.server(f"{LISTEN} set_real_ip_from 10.1.2.3/8;").real_ip_from == (
        networks("10.0.0.0/8")
    )


def test_trust_without_a_header_is_a_warning(folder):
    text = "events {} stream { server { listen 1; return x; set_real_ip_from 10.0.0.1; } }"
    assert folder.warnings(text) == [
        '"set_real_ip_from" has no effect: no "listen" of the server has "proxy_protocol"'
    ]
    assert folder.warnings(whole("set_real_ip_from 10.0.0.1;")) == []
    shared = "events {} stream { set_real_ip_from 10.0.0.1; server { listen 1; return x; } }"
    assert folder.warnings(shared) == []


def test_variables_of_a_header_that_nobody_reads_are_a_warning(folder):
    text = "events {{}} stream {{ server {{ listen 1{}; return $proxy_protocol_addr; }} {} }}"
    (problem,) = folder.load(text.format("", "")).problems
    message = 'the "proxy_protocol_addr" variable is always empty in "return"'
    assert (problem.message, problem.fatal) == (message, False)
    assert '"proxy_protocol"' in problem.hint
    assert folder.warnings(text.format(" proxy_protocol", "")) == []
    other = f"server {{ {LISTEN.replace('1', '2')} }}"
    assert folder.warnings(text.format("", other)) == [message]


@pytest.mark.parametrize(
    "name",
    [
        "proxy_protocol_addr",
        "proxy_protocol_port",
        "proxy_protocol_server_addr",
        "proxy_protocol_server_port",
        "realip_remote_addr",
        "realip_remote_port",
    ],
)
def test_the_variables_are_known(folder, name):
    assert folder.errors(whole(f"set_real_ip_from 10.0.0.1; proxy_bind ${name};")) == []

"""`allow`, `deny` and `limit_conn` in the model, and what is said of wrong ones."""

import socket

import pytest

from tidegate.config.model import Level
from tidegate.wire.network import Network

ZONE = "limit_conn_zone $binary_remote_addr zone=addr:1m;"
REST = "listen 1883; proxy_pass emqx1:1883;"


def told(folder, text):
    """Message, line, column and hint of the one problem in a `stream {}`."""
    (problem,) = folder.load(f"events {{}}\nstream {{\n{text}\n}}\n").problems
    return problem.message, problem.span.line, problem.span.column, problem.hint


def test_rules_stand_in_their_order(folder):
    server = folder.server(f"{REST} deny 10.0.0.1; allow fd00::/8; allow unix:; deny all;")
    assert [(rule.deny, rule.network) for rule in server.access] == [
        (True, Network(family=socket.AF_INET, base=0x0A000001, mask=0xFFFFFFFF)),
        (False, Network(family=socket.AF_INET6, base=0xFD << 120, mask=0xFF << 120)),
        (False, Network(family=socket.AF_UNIX)),
        (True, None),
    ]


def test_rules_and_limits_are_inherited_by_servers_without_their_own(folder):
    stream = folder.stream(
        f"{ZONE} limit_conn_zone $remote_addr zone=other:64k; deny all; limit_conn addr 5;"
        f" limit_conn_log_level warn; server {{ {REST} }}"
        " server { listen 2; return x; allow all; limit_conn other 6; limit_conn_dry_run on; }"
    )
    heir, own = stream.servers
    assert [rule.deny for rule in heir.access] == [True]
    assert [rule.deny for rule in own.access] == [False]
    assert [(one.zone, one.most) for one in heir.limit_conns.limits] == [("addr", 5)]
    assert [(one.zone, one.most) for one in own.limit_conns.limits] == [("other", 6)]
    assert (heir.limit_conns.log_level, heir.limit_conns.dry_run) == (Level.WARN, False)
    assert (own.limit_conns.log_level, own.limit_conns.dry_run) == (Level.WARN, True)
    zones = [(zone.name, zone.size, str(zone.key)) for zone in stream.limit_conn_zones]
    assert zones == [("addr", 1 << 20, "$binary_remote_addr"), ("other", 65536, "$remote_addr")]


def test_a_server_without_them_has_none(folder):
    server = folder.server(REST)
    assert (server.access, server.limit_conns) == ((), None)


@pytest.mark.parametrize(
    ("text", "message", "column", "hint"),
    [
        ("allow loclhost;", 'invalid parameter "loclhost"', 7, "an address, a network like"),
        ("deny All;", 'invalid parameter "All"', 6, "it is written in small letters: all"),
        ("deny 10.0.0.1/8;", "low address bits of 10.0.0.1/8 are meaningless", 6, None),
        ("limit_conn_zone a zone=x;", 'invalid zone size "zone=x"', 19, "a size is missing"),
        ("limit_conn_zone a zone=x:1k;", 'zone "zone=x:1k" is too small', 19, "the smallest is"),
        (f"{ZONE} limit_conn addr 0;", 'invalid number of connections "0"', 67, "a number from 1"),
        (
            f"{ZONE} limit_conn adr 1;",
            'zero size shared memory zone "adr"',
            62,
            'did you mean "addr"?',
        ),
        ("limit_conn adr 1;", 'zero size shared memory zone "adr"', 12, "add: limit_conn_zone"),
        ("limit_conn_log_level wran;", 'invalid value "wran"', 22, 'did you mean "warn"?'),
    ],
)
def test_a_problem_has_its_place_and_what_to_do(folder, text, message, column, hint):
    found = told(folder, text)
    assert found[:3] == (message, 3, column)
    assert (found[3] or "")[: len(hint or "")] == (hint or "")


def test_a_zone_says_where_it_was_first(folder):
    message, line, _column, hint = told(folder, f"{ZONE}\nlimit_conn_zone $pid zone=addr:1m;")
    assert message == 'limit_conn_zone "addr" is already bound to key "$binary_remote_addr"'
    assert (line, hint.rpartition("/")[2]) == (4, "tidegate.conf:3")


@pytest.mark.parametrize(
    ("limit", "server", "warned"),
    [
        ("limit_conn ids 1;", "", True),
        ("limit_conn ids 1;", "mqtt_preread on;", False),
        ("", "", False),
    ],
)
def test_a_key_that_is_always_empty_is_warned_of(folder, limit, server, warned):
    text = (
        f"limit_conn_zone $mqtt_preread_clientid zone=ids:1m; server {{ {REST} {limit} {server} }}"
    )
    found = folder.warnings(f"events {{}} stream {{ {text} }}")
    always = 'the "mqtt_preread_clientid" variable is always empty in "limit_conn_zone"'
    assert found == ([always] if warned else [])

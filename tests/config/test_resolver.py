"""`resolver`, `server … resolve` and `service=`: what they make, and what is wrong in them."""

import socket

import pytest

from tidegate.config.model_names import Found, questions, with_answers
from tidegate.wire.address import Address


def stream(servers, *, around="resolver 10.0.0.2;", inside=""):
    return f"{around} upstream u {{ {inside} {servers} }} server {{ listen 1883; proxy_pass u; }}"


def nobody(host, _port):
    raise OSError(host)


def resolver_of(model, text):
    (upstream,) = model.stream(text).upstreams
    return upstream.moving[0].resolver


def test_a_name_is_not_looked_up_when_the_configuration_is_read(folder):
    made = folder.stream(stream("server gone.test:1883 resolve;"), resolve=nobody)
    (upstream,) = made.upstreams
    assert upstream.peers == ()
    (moving,) = upstream.moving
    assert (moving.host, moving.service, moving.peer.name) == ("gone.test", "", "gone.test:1883")


def test_an_address_has_nothing_to_resolve(folder):
    (upstream,) = folder.stream(stream("server 10.0.0.7:1883 resolve;", around="")).upstreams
    assert upstream.moving == ()
    assert [peer.address.text for peer in upstream.peers] == ["10.0.0.7:1883"]


def test_the_settings_of_a_resolver(folder):
    found = resolver_of(
        folder,
        stream(
            "server a.test:1 resolve;",
            around="resolver 10.0.0.2 [fd00::2]:5353 emqx1 valid=30s ipv6=off;"
            " resolver_timeout 2s;",
        ),
    )
    assert [one.text for one in found.servers] == ["10.0.0.2:53", "[fd00::2]:5353", "10.0.0.1:53"]
    assert (found.valid, found.ipv4, found.ipv6, found.timeout_ms) == (30, True, False, 2000)


def test_what_is_not_written_has_nginx_s_defaults(folder):
    found = resolver_of(folder, stream("server a.test:1 resolve;"))
    assert (found.valid, found.ipv4, found.ipv6, found.timeout_ms) == (None, True, True, 30000)


def test_the_resolver_of_the_upstream_comes_before_that_around(folder):
    inside = "resolver 10.0.0.3; resolver_timeout 1s;"
    found = resolver_of(folder, stream("server a.test:1 resolve;", inside=inside))
    assert [one.text for one in found.servers] == ["10.0.0.3:53"]
    assert found.timeout_ms == 1000


def test_a_resolver_may_stand_below_the_server(folder):
    text = stream("server a.test:1 resolve; resolver 10.0.0.3;", around="")
    assert [one.text for one in resolver_of(folder, text).servers] == ["10.0.0.3:53"]


def test_http_has_them_too_and_its_port(folder):
    made = folder.http(
        "resolver 10.0.0.2; upstream u { server a.test resolve; }"
        " server { listen 80; location / { proxy_pass http://u; } }"
    )
    (moving,) = made.upstreams[0].moving
    assert moving.peer.address.port == 80


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("server a.test resolve;", 'no port in upstream "a.test"'),
        (
            "server a.test:1883 service=mqtt resolve;",
            'service upstream "a.test:1883" may not have port',
        ),
        ("server a.test service=mqtt;", 'service upstream "a.test" requires "resolve" parameter'),
        (
            "server 10.0.0.1 service=mqtt resolve;",
            'service upstream "10.0.0.1" requires domain name',
        ),
        ("server a.test service= resolve;", "service is empty"),
        ("server a.test:1 resolve=on;", 'invalid parameter "resolve=on"'),
        ("server a.test:1 resolve backup;", 'no servers in upstream "u"'),
    ],
)
def test_servers_that_cannot_be(folder, servers, message):
    assert message in folder.errors(f"events {{}} stream {{ {stream(servers)} }}")


@pytest.mark.parametrize(
    ("directive", "message"),
    [
        ("resolver valid=10s;", "no name servers defined"),
        ("resolver 10.0.0.2 valid=x;", "invalid parameter: valid=x"),
        ("resolver 10.0.0.2 valid=;", "invalid parameter: valid="),
        ("resolver 10.0.0.2 ipv6=no;", "invalid parameter: ipv6=no"),
        ("resolver 10.0.0.2 ipv4=off ipv6=off;", '"ipv4" and "ipv6" cannot both be "off"'),
        ("resolver nowhere.test;", 'host not found in resolver "nowhere.test"'),
        ("resolver 10.0.0.2:0;", 'invalid port in resolver "10.0.0.2:0"'),
        ("resolver unix:/x;", 'invalid host in resolver "unix:/x"'),
        ("resolver 10.0.0.2; resolver 10.0.0.3;", '"resolver" directive is duplicate'),
        ("resolver;", 'invalid number of arguments in "resolver" directive'),
        ("resolver 10.0.0.2; resolver_timeout x;", '"resolver_timeout" directive invalid value'),
        ("", 'no resolver defined to resolve names at run time in upstream "u"'),
    ],
)
def test_resolvers_that_cannot_be(folder, directive, message):
    text = stream("server a.test:1883 resolve;", around=directive)
    assert folder.errors(f"events {{}} stream {{ {text} }}")[0] == message


def test_the_place_of_a_lack_is_that_of_the_upstream(folder):
    loaded = folder.load(
        "events {}\nstream {\nupstream u {\nserver a.test:1 resolve;\n}\n"
        "server { listen 1; proxy_pass u; }\n}\n"
    )
    assert loaded.first_error.headline.endswith("tidegate.conf:3")


def test_what_has_no_effect_is_told(folder):
    text = "resolver 10.0.0.2 status_zone=z; server { listen 1; return x; resolver 10.0.0.3; }"
    warnings = folder.warnings(f"events {{}} stream {{ {text} }}")
    assert len(warnings) == 2
    assert warnings[0].startswith('parameter "status_zone=z" of "resolver" is ignored')
    assert warnings[1].startswith('"resolver" directive is ignored: only servers with "resolve"')


def test_a_group_that_may_grow_is_not_said_to_have_one_server(folder):
    text = (
        "resolver 10.0.0.2; upstream u { server a.test:1 resolve; }"
        " server { listen 1; proxy_pass u; mqtt_next_upstream 136; }"
    )
    assert folder.warnings(f"events {{}} stream {{ {text} }}") == []


# What answers make of a model.


def at(host, **of_service):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Found(Address(family=family, host=host), **of_service)


def filled(folder, servers, *found):
    model = folder.model(f"events {{}} stream {{ {stream(servers)} }}")
    model = with_answers(model, lambda _question: found)
    return model, [
        (peer.address.text, peer.name, peer.weight, peer.backup)
        for peer in model.stream.upstreams[0].peers
    ]


def test_peers_of_a_name_have_its_port_and_settings(folder):
    _model, peers = filled(
        folder,
        "server a.test:1883 resolve weight=3; server 10.0.0.1:1;",
        at("10.0.0.9"),
        at("fd00::9"),
    )
    assert peers == [
        ("10.0.0.1:1", "10.0.0.1:1", 1, False),
        ("10.0.0.9:1883", "a.test:1883", 3, False),
        ("[fd00::9]:1883", "a.test:1883", 3, False),
    ]


FIRST = at("10.0.0.8", port=1883, weight=5, name="x.test")
SECOND = at("10.0.0.9", port=1884, weight=6, name="y.test", backup=True)


def test_peers_of_a_service_have_what_its_records_say(folder):
    _model, peers = filled(folder, "server a.test service=mqtt resolve;", FIRST, SECOND)
    assert peers == [
        ("10.0.0.8:1883", "x.test", 5, False),
        ("10.0.0.9:1884", "y.test", 6, True),
    ]


def test_a_written_weight_stands_for_those_of_a_service(folder):
    _model, peers = filled(folder, "server a.test service=mqtt resolve weight=2;", FIRST, SECOND)
    assert [weight for _address, _name, weight, _backup in peers] == [2, 2]


def test_a_service_of_backups_has_its_best_hosts_alone(folder):
    servers = "server 10.0.0.1:1; server a.test service=mqtt resolve backup;"
    _model, peers = filled(folder, servers, FIRST, SECOND)
    assert peers == [
        ("10.0.0.1:1", "10.0.0.1:1", 1, False),
        ("10.0.0.8:1883", "x.test", 5, True),
    ]


def test_answers_take_the_place_of_former_ones(folder):
    servers = "server a.test:1883 resolve; server 10.0.0.1:1;"
    model, _peers = filled(folder, servers, at("10.0.0.9"))
    model = with_answers(model, lambda _question: [at("10.0.0.8")])
    texts = [peer.address.text for peer in model.stream.upstreams[0].peers]
    assert texts == ["10.0.0.1:1", "10.0.0.8:1883"]


def test_a_model_whose_answers_are_the_same_is_the_same(folder):
    model, _peers = filled(folder, "server a.test:1883 resolve;", at("10.0.0.9"))
    assert with_answers(model, lambda _question: [at("10.0.0.9")]) is model


def test_a_question_is_asked_once_for_all_that_want_it(folder):
    servers = "server a.test:1 resolve; server a.test:2 resolve; server b.test:1 resolve;"
    model, _peers = filled(folder, servers)
    assert [one.host for one in questions(model)] == ["a.test", "b.test"]

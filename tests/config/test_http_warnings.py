"""What `-t` says of http that nginx takes in silence."""

import pytest

from tidegate.config.urls import NOT_RESOLVED

UPGRADE = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection Upgrade;"
ADDED = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
PASS = "proxy_pass http://emqx1:8083;"
WRITTEN = "proxy_read_timeout 1h;"


def of_location(text, around=""):
    return f"events {{}} http {{ {around} server {{ listen 1; location /mqtt {{ {text} }} }} }}"


IDLE = (
    'no "proxy_read_timeout" in location "/mqtt":'
    " the idle limit of MQTT sessions is that of their keep alive"
)
FORGED = 'with "$proxy_add_x_forwarded_for" clients can forge the address that brokers see'


def test_an_idle_limit_that_nobody_wrote_is_told_of(folder):
    assert folder.warnings(of_location(f"{PASS} {UPGRADE}")) == [IDLE]
    assert folder.warnings(of_location(PASS, UPGRADE)) == [IDLE]


@pytest.mark.parametrize(
    ("text", "around"),
    [
        (f"{PASS} {UPGRADE} {WRITTEN}", ""),
        (f"{PASS} {UPGRADE}", WRITTEN),
        (PASS, ""),
        (f"{PASS} proxy_set_header Upgrade '';", ""),
        (UPGRADE, ""),
    ],
)
def test_nothing_is_said_of_an_idle_limit_that_is_clear(folder, text, around):
    assert folder.warnings(of_location(text, around)) == []


def test_an_address_that_clients_can_forge_is_told_of_once(folder):
    loaded = folder.load(
        f"events {{}} http {{ {ADDED} server {{ listen 1; location /a {{ {PASS} }}"
        f" location /b {{ {PASS} }} }} }}"
    )
    (warning,) = loaded.problems
    assert warning.message == FORGED
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in warning.hint


@pytest.mark.parametrize(
    ("text", "around"),
    [
        (f"{PASS} proxy_set_header X-Forwarded-For $remote_addr;", ""),
        (f"{PASS} proxy_set_header X-Real-IP $remote_addr;", ADDED),
        (f"{PASS} {ADDED} set_real_ip_from 10.0.0.0/8;", ""),
        (ADDED, ""),
    ],
)
def test_nothing_is_said_where_nobody_can_forge(folder, text, around):
    assert folder.warnings(of_location(text, around)) == []


def test_a_header_that_is_not_read_is_told_of(folder):
    text = "events {{}} http {{ server {{ {}; set_real_ip_from ::1; {} }} }}"
    header = "real_ip_header proxy_protocol;"
    assert folder.warnings(text.format("listen 1", header)) == [
        (
            '"real_ip_header proxy_protocol" has no effect: no "listen" of the server has'
            ' "proxy_protocol"'
        )
    ]
    assert folder.warnings(text.format("listen 1 proxy_protocol", header)) == []
    assert folder.warnings(text.format("listen 1", "")) == []


def test_mqtt_directives_without_effect_are_told_of(folder):
    assert folder.warnings(of_location(f"{PASS} mqtt_set_connect username x;")) == [
        '"mqtt_set_connect" has no effect without "mqtt on"'
    ]
    name = "$mqtt_preread_clientid"
    (warning,) = folder.load(of_location(f"{PASS} proxy_set_header X-Id {name};")).problems
    assert warning.message == (
        'the "mqtt_preread_clientid" variable is always empty in "proxy_set_header"'
    )
    assert warning.hint == 'add "mqtt_preread on;" to the location, or to "http {}"'
    assert folder.warnings(of_location(f"{PASS} mqtt_preread on; add_header X-Id {name};")) == []


def test_a_text_of_a_server_may_be_for_one_of_its_locations(folder):
    text = (
        "events {} http { server { listen 1; set $id $mqtt_preread_clientid;"
        f" location /mqtt {{ {PASS} mqtt_preread on; }} }} }}"
    )
    assert folder.warnings(text) == []


def test_stream_and_http_cannot_share_an_address(folder):
    text = "events {}\nstream { server { listen 80; return x; } }\nhttp { server { listen 80; } }"
    (error,) = folder.load(text).problems
    assert error.late
    assert error.message == "bind() to 0.0.0.0:80 failed (98: Address already in use)"
    assert "conf:2 and in" in error.hint


def test_transparent_addresses_are_told_to_workers(folder):
    text = "events {{}} http {{ server {{ listen 1; location /a {{ location /a/b {{ {} }} }} }} }}"
    transparent = "proxy_bind $remote_addr transparent;"
    assert folder.model(text.format(f"{PASS} {transparent}")).transparent
    assert not folder.model(text.format(PASS)).transparent


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("10.0.0.1:1", None),
        ("10.0.0.1", None),
        ("brokers", None),
        ("brokers:1", NOT_RESOLVED.format("brokers")),
        ("broker", NOT_RESOLVED.format("broker")),
        ("10.0.0.1:x", 'invalid port in upstream "10.0.0.1:x"'),
    ],
)
def test_values_that_lead_nowhere_are_told_of(folder, value, fault):
    text = (
        f"events {{}} http {{ map $arg_x $to {{ a {value}; }} upstream brokers {{ server emqx1; }}"
        " server { listen 1; location / { proxy_pass http://$to/x; } } }"
    )
    expected = f'"http://$to/x" in "proxy_pass" may be "{value}": {fault}'
    assert folder.warnings(text) == ([] if fault is None else [expected])


def test_a_time_for_sending_alone_is_told_of(folder):
    told = ['"proxy_send_timeout" has no effect beside another "proxy_read_timeout"']
    assert folder.warnings(of_location(f"{PASS} proxy_send_timeout 5s;")) == told
    assert folder.warnings(of_location(f"{PASS} proxy_send_timeout 1h; {WRITTEN}")) == []
    assert folder.warnings(of_location(f"{PASS} {WRITTEN}")) == []
    assert folder.warnings(of_location("root /;", "proxy_send_timeout 5s;")) == []

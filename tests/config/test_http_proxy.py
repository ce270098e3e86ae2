"""`proxy_pass` of http and what goes with it."""

import pytest

from tidegate.config.model_http import HttpProxy

PASS = "proxy_pass http://emqx1:8083;"

# A line, the field of a proxy, and the values without the line and with it.
VALUES = {
    "proxy_http_version 1.0": ("http_version", "1.1", "1.0"),
    "proxy_pass_request_headers off": ("pass_request_headers", True, False),
    "proxy_pass_request_body off": ("pass_request_body", True, False),
    "proxy_intercept_errors on": ("intercept_errors", False, True),
    "proxy_connect_timeout 10s": ("connect_timeout_ms", 60_000, 10_000),
    "proxy_send_timeout 10s": ("send_timeout_ms", 60_000, 10_000),
    "proxy_read_timeout 10s": ("read_timeout_ms", 60_000, 10_000),
    "proxy_read_timeout 60s": ("read_timeout_written", False, True),
    "proxy_buffer_size 16k": ("buffer_size", 4096, 16384),
    "proxy_next_upstream http_503 non_idempotent": (
        "next_upstream",
        {"error", "timeout"},
        {"http_503", "non_idempotent"},
    ),
    "proxy_next_upstream off": ("next_upstream", {"error", "timeout"}, frozenset()),
    "proxy_next_upstream_tries 2": ("next_upstream_tries", 0, 2),
    "proxy_next_upstream_timeout 3s": ("next_upstream_timeout_ms", 0, 3000),
    "proxy_socket_keepalive on": ("socket_keepalive", False, True),
    "proxy_session_drop on": ("session_drop", False, True),
    "proxy_protocol on": ("protocol", False, True),
    "preread_timeout 5s": ("preread_timeout_ms", 30_000, 5_000),
    "mqtt_websocket_to tcp": ("websocket_to_tcp", False, True),
}


def proxy(folder, text, **options):
    content = folder.location(text, **options).content
    assert isinstance(content, HttpProxy)
    return content


@pytest.mark.parametrize("line", VALUES)
def test_a_value_reaches_the_proxy(folder, line):
    field, default, value = VALUES[line]
    assert getattr(proxy(folder, PASS), field) == default
    assert getattr(proxy(folder, f"{PASS} {line};"), field) == value
    assert getattr(proxy(folder, PASS, around=f"{line};"), field) == value


# --- where to ---


@pytest.mark.parametrize(
    ("url", "secure", "upstream", "port", "host", "uri"),
    [
        ("http://emqx1", False, "emqx1:80", 80, "emqx1", None),
        ("http://emqx1:80", False, "emqx1:80", 80, "emqx1", None),
        ("http://emqx1:8083", False, "emqx1:8083", 8083, "emqx1:8083", None),
        ("http://emqx1:8083/", False, "emqx1:8083", 8083, "emqx1:8083", "/"),
        ("HTTP://emqx1/mqtt?a=b", False, "emqx1:80", 80, "emqx1", "/mqtt?a=b"),
        ("http://emqx1?a=/b", False, "emqx1:80", 80, "emqx1", "?a=/b"),
        ("https://emqx1/x", True, "emqx1:443", 443, "emqx1", "/x"),
        ("https://emqx1:80", True, "emqx1:80", 80, "emqx1:80", None),
        ("http://[fd00::1]:8083/x", False, "[fd00::1]:8083", 8083, "[fd00::1]:8083", "/x"),
        ("http://[fd00::1]", False, "[fd00::1]:80", 80, "[fd00::1]", None),
        ("http://unix:/run/a.sock:/x", False, "unix:/run/a.sock", 0, "localhost", "/x"),
        ("http://unix:/run/a.sock", False, "unix:/run/a.sock", 0, "localhost", None),
    ],
)
def test_a_url_is_taken_apart(folder, url, secure, upstream, port, host, uri):
    http = folder.http(f"server {{ listen 1; location /a {{ proxy_pass {url}; }} }}")
    found = http.servers[0].locations[0].content
    assert (found.secure, found.upstream, found.host) == (secure, upstream, host)
    assert (None if found.uri is None else str(found.uri)) == uri
    (group,) = http.upstreams
    assert (group.name, group.peers[0].address.port) == (upstream, port)
    assert group.implicit


def test_a_group_is_shared_by_those_that_name_it(folder):
    http = folder.http(
        "server { listen 1; location /a { proxy_pass http://late/x; }"
        " location /b { proxy_pass http://LATE; } location /c { proxy_pass http://emqx1; }"
        " location /d { proxy_pass http://emqx1:80/y; } location /e { proxy_pass https://emqx1; } }"
        " upstream late { server emqx2:8083; } server { listen 2;"
        " location /f { proxy_pass https://LATE; } }"
    )
    named = [one.content.upstream for server in http.servers for one in server.locations]
    assert named == ["late", "late", "emqx1:80", "emqx1:80", "emqx1:443", "late"]
    assert [group.name for group in http.upstreams] == ["late", "emqx1:80", "emqx1:443"]


def test_a_url_may_have_variables(folder):
    around = "map $arg_a $to { default emqx1:1; }"
    found = proxy(folder, "proxy_pass http://$to/x$is_args;", around=around)
    assert str(found.upstream) == "$to"
    assert str(found.uri) == "/x$is_args"
    named = proxy(folder, "proxy_pass http://emqx1:8083$request_uri;")
    assert named.upstream == "emqx1:8083"
    assert str(named.uri) == "$request_uri"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("emqx1:8083", "invalid URL prefix"),
        ("mqtt://emqx1", "invalid URL prefix"),
        ("http://", 'no host in upstream ""'),
        ("http:///x", 'no host in upstream "/x"'),
        ("http://emqx1:x/", 'invalid port in upstream "emqx1:x/"'),
        ("http://nowhere.invalid/x", 'host not found in upstream "nowhere.invalid"'),
        ("http://brokers:1/x", 'upstream "brokers" may not have port 1'),
    ],
)
def test_a_wrong_url_is_refused(folder, url, message):
    text = (
        "events {} http { upstream brokers { server emqx1:1; }"
        f" server {{ listen 1; location / {{ proxy_pass {url}; }} }} }}"
    )
    assert folder.errors(text) == [message]


@pytest.mark.parametrize("where", ["~ ^/a", "~* ^/a", "@a"])
def test_no_uri_where_no_part_of_the_path_is_known(folder, where):
    text = (
        f"events {{}} http {{ server {{ listen 1;"
        f" location {where} {{ proxy_pass http://emqx1/; }} }} }}"
    )
    assert folder.errors(text) == [
        (
            '"proxy_pass" cannot have URI part in location given by regular expression, or inside'
            ' named location, or inside "if" statement, or inside "limit_except" block'
        )
    ]
    assert folder.errors(text.replace("emqx1/", "emqx1")) == []


def test_one_location_has_one_proxy_pass(folder):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {PASS} {PASS} }} }} }}"
    assert folder.errors(text) == ['"proxy_pass" directive is duplicate']


# --- headers ---


def headers(found):
    return [(one.name, str(one.value)) for one in found.set_headers]


def test_two_headers_are_set_unless_they_are_written(folder):
    assert headers(proxy(folder, PASS)) == [("Host", "$proxy_host"), ("Connection", "close")]
    more = "proxy_set_header X-Real-IP $remote_addr; proxy_set_header host $host;"
    assert headers(proxy(folder, f"{PASS} {more} proxy_set_header A '';")) == [
        ("X-Real-IP", "$remote_addr"),
        ("host", "$host"),
        ("A", ""),
        ("Connection", "close"),
    ]


def test_lists_go_over_as_a_whole(folder):
    around = "proxy_set_header A 1; add_header B 1 always; add_header C 2;"
    inherited = folder.location(PASS, around=around)
    assert headers(inherited.content)[0] == ("A", "1")
    assert [(one.name, one.always) for one in inherited.add_headers] == [("B", True), ("C", False)]
    own = folder.location(f"{PASS} proxy_set_header D 4; add_header E 5;", around=around)
    assert [name for name, _value in headers(own.content)] == ["D", "Host", "Connection"]
    assert [one.name for one in own.add_headers] == ["E"]


def test_headers_of_brokers_are_hidden(folder):
    assert proxy(folder, PASS).hide_headers[:2] == ("date", "server")
    found = proxy(folder, f"{PASS} proxy_hide_header X-A; proxy_pass_header Server;")
    assert "x-a" in found.hide_headers
    assert "server" not in found.hide_headers
    assert "date" in found.hide_headers
    assert found.pass_headers == ("server",)


def test_redirects_are_rewritten_as_written(folder):
    assert proxy(folder, PASS).redirect_default
    off = proxy(folder, f"{PASS} proxy_redirect off;", around="proxy_redirect /a /b;")
    assert (off.redirects, off.redirect_default) == ((), False)
    found = proxy(folder, f"{PASS} proxy_redirect http://a/ /; proxy_redirect ~*^/x(.*) $1;")
    assert [(one.regex, str(one.pattern), str(one.replacement)) for one in found.redirects] == [
        ("", "http://a/", "/"),
        ("~*", "^/x(.*)", "$1"),
    ]
    assert not found.redirect_default
    both = proxy(folder, f"{PASS} proxy_redirect default; proxy_redirect /a /b;")
    assert both.redirect_default
    assert len(both.redirects) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("proxy_redirect maybe;", 'invalid parameter "maybe"'),
        (
            "proxy_redirect default;",
            '"proxy_redirect default" should be placed after the "proxy_pass" directive',
        ),
        (
            "proxy_pass http://$host; proxy_redirect default;",
            '"proxy_redirect default" cannot be used with "proxy_pass" directive with variables',
        ),
        ("add_header A b never;", 'invalid parameter "never"'),
        ("proxy_http_version 2;", 'invalid value "2"'),
        ("proxy_next_upstream http_418;", 'invalid value "http_418"'),
        ("mqtt_websocket_to udp;", 'invalid value "udp"'),
    ],
)
def test_a_wrong_word_is_refused(folder, line, message):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}"
    assert folder.errors(text) == [message]


# --- MQTT ---


def test_mqtt_is_read_where_it_is_asked_for(folder):
    assert proxy(folder, PASS).mqtt is None
    found = proxy(folder, f"{PASS} mqtt_preread on; mqtt_keepalive_timeout 2;").mqtt
    assert (found.preread, found.rewrite, found.keepalive_factor) == (True, False, 2)
    unwrapped = proxy(folder, f"{PASS} mqtt_websocket_to tcp;")
    assert unwrapped.websocket_to_tcp
    assert not unwrapped.mqtt.preread


def test_a_connect_is_rewritten_as_written(folder):
    found = proxy(folder, f"{PASS} mqtt on; mqtt_set_connect clientid $http_x_id;").mqtt
    assert [(one.field, str(one.value)) for one in found.set_connect] == [
        ("clientid", "$http_x_id")
    ]

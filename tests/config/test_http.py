"""`http {}` as a whole: blocks, upstreams, logs, variables."""

import os

import pytest

from tidegate.config.model import Hash, IpHash
from tidegate.variables.names_http import HTTP, PREFIXES

SERVER = "server { listen 80; location / { return 200; } }"


def test_each_server_has_its_own_locations(folder):
    first, second = folder.http(
        "server { listen 1; location /a { } location /b { } } server { listen 2; location /c { } }"
    ).servers
    assert [one.text for one in first.locations] == ["/a", "/b"]
    assert [one.text for one in second.locations] == ["/c"]


def test_a_second_http_is_merged_into_the_first(folder):
    loaded = folder.load(
        "events {}\nhttp { server { listen 1; } }\nhttp { server { listen 2; location / "
        "{ proxy_pass http://late; } } upstream late { server emqx1:1; } }"
    )
    name = f"{folder.path}/tidegate.conf"
    assert [problem.words for problem in loaded.problems] == [
        f'"http" directive is duplicate, merged into the one in {name}:2 in {name}:3'
    ]
    assert len(loaded.model.http.servers) == 2


def test_names_of_stream_and_http_do_not_meet(folder):
    model = folder.model(
        "events {} stream { upstream a { server emqx1:1; } server { listen 1; proxy_pass a; } }"
        " http { upstream a { server emqx2:2; }"
        " server { listen 2; location / { proxy_pass http://a; } } }"
    )
    (mine,), (other,) = model.stream.upstreams, model.http.upstreams
    assert (mine.name, mine.http, mine.key) == ("a", False, "a")
    assert (other.name, other.http, other.key) == ("a", True, "http a")


def test_upstreams_choose_as_in_stream(folder):
    http = folder.http(
        "upstream a { ip_hash; server emqx1:8083; server emqx2; }"
        " upstream b { hash $http_x_device consistent; server emqx1:8083; }" + SERVER
    )
    first, second = http.upstreams
    assert first.method == IpHash()
    assert [peer.address.port for peer in first.peers] == [8083, 80]
    assert isinstance(second.method, Hash)
    assert str(second.method.key) == "$http_x_device"


def test_keepalive_to_brokers_is_accepted_with_a_warning(folder):
    text = "events {} http { upstream a { server emqx1; keepalive 16; }" + SERVER + "}"
    assert folder.warnings(text) == [
        '"keepalive" directive is ignored: each request has a connection of its own to a broker'
    ]


# --- logs ---


def test_requests_are_logged_unless_off(folder):
    http = folder.http(
        "log_format short $status; server { listen 1; location /off { access_log off; }"
        " location /a { access_log a.log short; location /a/b { } } location /c { } }"
    )
    off, a, default = http.servers[0].locations
    assert off.access_logs == ()
    (log,) = default.access_logs
    assert log.path == f"{folder.path}/logs/access.log"
    assert str(log.format.template) == (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
        ' "$http_referer" "$http_user_agent"'
    )
    assert [(one.path, one.format.name) for one in a.access_logs] == [
        (f"{folder.path}/a.log", "short")
    ]
    assert a.nested[0].access_logs == a.access_logs


def test_the_default_log_is_where_the_caller_says(folder):
    text = "server { listen 1; }"
    (log,) = folder.http(text, access_log="/var/log/tg/access.log").servers[0].outside.access_logs
    assert log.path == "/var/log/tg/access.log"


def test_a_log_without_a_format_is_combined(folder):
    http = folder.http("access_log all.log;" + SERVER)
    (log,) = http.servers[0].outside.access_logs
    assert log.format.name == "combined"


def test_files_of_named_logs_stay_open(folder):
    http = folder.http(
        "open_log_file_cache max=7; access_log $host.log; server { listen 1; location /a { }"
        " location /b { open_log_file_cache off; } }"
    )
    kept, closed = (one.access_logs[0].cache for one in http.servers[0].locations)
    assert kept.limit == 7
    assert closed is None


def test_combined_is_taken(folder):
    errors = folder.errors("events {} http { log_format combined $status; }")
    assert errors == ['duplicate "log_format" name "combined"']


def test_the_innermost_error_log_counts(folder):
    http = folder.http(
        "error_log h.log; server { listen 1; error_log s.log warn;"
        " location /a { error_log l.log; } location /b { } }"
    )
    (server,) = http.servers
    paths = [os.path.basename(one.error_logs[0].path) for one in (*server.locations, server)]
    assert paths == ["l.log", "s.log", "s.log"]


def test_a_format_has_variables_of_http(folder):
    every = " ".join(f"${name}" for name in HTTP)
    more = " ".join(f"${prefix}x" for prefix in PREFIXES)
    text = f"events {{}} http {{ log_format a '{every} {more}'; access_log a.log a; {SERVER} }}"
    assert folder.errors(text) == []


# --- variables ---


def test_an_unknown_variable_is_told(folder):
    (error,) = folder.load(
        "events {}\nhttp { server { listen 1; location / { return 200 $reqest; } } }"
    ).problems
    assert error.message == 'unknown "reqest" variable'
    assert error.hint == 'did you mean "$request"?' or "request" in error.hint


@pytest.mark.parametrize("name", ["session_time", "bytes_received", "upstream_session_time"])
def test_variables_of_stream_alone_are_unknown(folder, name):
    text = f"events {{}} http {{ server {{ listen 1; return 200 ${name}; }} }}"
    assert folder.errors(text) == [f'unknown "{name}" variable']


def test_a_map_knows_variables_of_http(folder):
    http = folder.http(
        "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
        " server { listen 1; location / { proxy_pass http://emqx1;"
        " proxy_set_header Connection $connection_upgrade; } }"
    )
    assert [name for name, _one in http.variables] == ["connection_upgrade"]


def test_captures_of_expressions_are_variables(folder):
    http = folder.http(
        r"server { listen 1; server_name ~^(?<tenant>\w+)\.a\.b$;"
        r" location ~ ^/(?<part>\w+) { return 200 $tenant$part$1; } }"
    )
    assert [name for name, _one in http.variables] == ["tenant", "part"]


# --- what we do not have ---


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fastcgi_pass x:1;", '"fastcgi_pass" directive is not supported yet'),
        ("if ($request_method = POST) { return 405; }", '"if" directive is not supported yet'),
        ("limit_except GET { deny all; }", '"limit_except" directive is not supported yet'),
        ('auth_basic "x";', '"auth_basic" directive is not supported yet'),
        ("rewrite ^ /x;", '"rewrite" directive is not supported yet'),
        ("limit_rate 10k;", '"limit_rate" directive is not supported yet'),
        ("sub_filter a b;", '"sub_filter" directive is not supported yet'),
    ],
)
def test_what_somebody_would_rely_on_is_refused_by_name(folder, line, message):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}"
    assert folder.errors(text) == [message]


@pytest.mark.parametrize(
    "line",
    [
        "auth_basic off;",
        "ssi off;",
        "proxy_cookie_path off;",
        "userid off;",
        "add_header_inherit on;",
    ],
)
def test_off_is_as_if_it_were_not_there(folder, line):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}"
    assert folder.errors(text) == []
    assert folder.warnings(text) == []


def test_what_does_no_harm_is_warned_of_once(folder):
    text = (
        "events {} http { sendfile on; gzip on; gzip_types text/plain; proxy_buffering off;"
        " server { listen 1; sendfile on; etag on; http2 off; } }"
    )
    assert folder.errors(text) == []
    assert [
        message.partition(" directive is ignored: ")[0] for message in folder.warnings(text)
    ] == [
        '"sendfile"',
        '"gzip"',
        '"gzip_types"',
    ]


def test_mistakes_inside_are_found(folder):
    assert folder.errors(
        "events {} http { server_nam x; listen 80; sendfile maybe;"
        " server { location { } location / { proxy_pass; stream {} } } }"
    ) == [
        'unknown directive "server_nam"',
        '"listen" directive is not allowed here',
        'invalid value "maybe" in "sendfile" directive, it must be "on" or "off"',
        'invalid number of arguments in "location" directive',
        'invalid number of arguments in "proxy_pass" directive',
        '"stream" directive is not allowed here',
    ]


def test_zones_are_common_to_stream_and_http(folder):
    zone = "limit_conn_zone $binary_remote_addr zone=a:1m;"
    assert folder.errors(f"events {{}} stream {{ {zone} }} http {{ {zone} }}") == [
        'the shared memory zone "a" is already declared for a different use'
    ]

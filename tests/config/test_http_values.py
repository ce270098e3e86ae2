"""Directives of http that are about clients and answers: each value reaches the model."""

import socket

import pytest

from tidegate.config.model_http import Files, HttpReturn, StubStatus
from tidegate.wire.network import Network

# A line, the field of a location or server, and the values without the line and with it.
OF_LOCATIONS = {
    "client_max_body_size 2g": ("client_max_body_size", 1 << 20, 2 << 30),
    "client_body_timeout 5s": ("client_body_timeout_ms", 60_000, 5_000),
    "send_timeout 5s": ("send_timeout_ms", 60_000, 5_000),
    "keepalive_timeout 65": ("keepalive_timeout_ms", 75_000, 65_000),
    "keepalive_timeout 0": ("keepalive_timeout_ms", 75_000, 0),
    "keepalive_timeout 65 15s": ("keepalive_header", None, 15),
    "keepalive_requests 7": ("keepalive_requests", 1000, 7),
    "tcp_nodelay off": ("tcp_nodelay", True, False),
    "default_type a/b": ("default_type", "text/plain", "a/b"),
    "server_tokens off": ("server_tokens", True, False),
    "absolute_redirect off": ("absolute_redirect", True, False),
    "port_in_redirect off": ("port_in_redirect", True, False),
    "server_name_in_redirect on": ("server_name_in_redirect", False, True),
    "limit_conn_status 429": ("limit_conn_status", 503, 429),
    "real_ip_header X-Forwarded-For": ("real_ip_header", "x-real-ip", "x-forwarded-for"),
    "real_ip_recursive on": ("real_ip_recursive", False, True),
}
OF_SERVERS = {
    "client_header_timeout 5s": ("client_header_timeout_ms", 60_000, 5_000),
    "client_header_buffer_size 2k": ("client_header_buffer_size", 1024, 2048),
    "large_client_header_buffers 2 16k": ("large_client_header_buffers", (4, 8192), (2, 16384)),
    "ignore_invalid_headers off": ("ignore_invalid_headers", True, False),
    "underscores_in_headers on": ("underscores_in_headers", False, True),
    "merge_slashes off": ("merge_slashes", True, False),
}


@pytest.mark.parametrize("line", OF_LOCATIONS)
def test_a_value_reaches_locations(folder, line):
    field, default, value = OF_LOCATIONS[line]
    assert getattr(folder.location(""), field) == default
    assert getattr(folder.location(f"{line};"), field) == value
    assert getattr(folder.location("", around=f"{line};"), field) == value


@pytest.mark.parametrize("line", OF_SERVERS)
def test_a_value_reaches_servers(folder, line):
    field, default, value = OF_SERVERS[line]
    for text, expected in (
        ("server { listen 1; }", default),
        (f"server {{ listen 1; {line}; }}", value),
        (f"{line}; server {{ listen 1; }}", value),
    ):
        (server,) = folder.http(text).servers
        assert getattr(server, field) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("satisfy some;", 'invalid value "some"'),
        ("server_tokens maybe;", 'invalid value "maybe"'),
        ("keepalive_timeout x;", '"keepalive_timeout" directive invalid value'),
        ("keepalive_timeout 1 x;", '"keepalive_timeout" directive invalid value'),
        ("limit_conn_status 200;", "value must be between 400 and 599"),
        ("limit_conn_status x;", '"limit_conn_status" directive invalid number'),
        ("client_max_body_size x;", '"client_max_body_size" directive invalid value'),
        ("internal; internal;", '"internal" directive is duplicate'),
        ("send_timeout 1; send_timeout 1;", '"send_timeout" directive is duplicate'),
    ],
)
def test_a_wrong_value_is_refused(folder, line, message):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}"
    assert folder.errors(text) == [message]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4 0;", '"large_client_header_buffers" directive invalid value'),
        (
            "4 256;",
            (
                'the "large_client_header_buffers" size must be equal to or greater than'
                ' "connection_pool_size"'
            ),
        ),
    ],
)
def test_header_buffers_have_a_size(folder, line, message):
    text = f"events {{}} http {{ large_client_header_buffers {line} }}"
    assert folder.errors(text) == [message]


def test_a_real_ip_is_told_by_those_trusted(folder):
    assert folder.location("").real_ip_from == ()
    network = Network(family=socket.AF_INET, base=10 << 24, mask=0xFF000000)
    assert folder.location("set_real_ip_from 10.0.0.0/8;").real_ip_from == (network,)
    inside = folder.location("set_real_ip_from unix:;", around="set_real_ip_from 10.0.0.0/8;")
    assert [one.family for one in inside.real_ip_from] == [socket.AF_UNIX]


# --- return, set, stub_status ---


@pytest.mark.parametrize(
    ("words", "status", "text", "redirect"),
    [
        ("204", 204, None, False),
        ("200 ok", 200, "ok", False),
        ("301 https://$host$request_uri", 301, "https://$host$request_uri", True),
        ("308 /x", 308, "/x", True),
        ("http://a/", 302, "http://a/", True),
        ("$scheme://a", 302, "$scheme://a", True),
        ("444", 444, None, False),
    ],
)
def test_return_is_a_code_a_text_or_a_url(folder, words, status, text, redirect):
    content = folder.location(f"return {words};").content
    assert isinstance(content, HttpReturn)
    found = None if content.text is None else str(content.text)
    assert (content.status, found, content.redirect) == (status, text, redirect)


@pytest.mark.parametrize("words", ["ok", "1000", "-1", "/x", "ok 200"])
def test_return_needs_a_code(folder, words):
    text = f"events {{}} http {{ server {{ listen 1; return {words}; }} }}"
    assert folder.errors(text) == [f'invalid return code "{words.split()[0]}"']


def test_a_return_of_a_server_comes_before_its_locations(folder):
    (server,) = folder.http("server { listen 1; return 301 /x; location / { } }").servers
    assert server.returns.status == 301
    assert isinstance(server.outside.content, Files)
    assert isinstance(server.locations[0].content, Files)


def test_the_first_return_counts_whatever_else_is_there(folder):
    content = folder.location("return 201; return 202; proxy_pass http://emqx1;").content
    assert content.status == 201


def test_set_is_done_where_it_stands(folder):
    (server,) = folder.http(
        "server { listen 1; set $a 1; location /x { set $b $a; location /x/y { } } }"
    ).servers
    (outer,) = server.locations
    assert [(one.name, str(one.value)) for one in server.assignments] == [("a", "1")]
    assert [(one.name, str(one.value)) for one in outer.assignments] == [("b", "$a")]
    assert server.outside.assignments == outer.nested[0].assignments == ()


def test_stub_status_is_content(folder):
    for line in ("stub_status;", "stub_status on;", "proxy_pass http://emqx1; stub_status;"):
        assert folder.location(line).content == StubStatus()
    assert not isinstance(folder.location("").content, StubStatus)
    (server,) = folder.http("server { listen 1; stub_status; location / { } }").servers
    assert server.outside.content == StubStatus()
    assert isinstance(server.locations[0].content, Files)


def test_an_internal_location_is_kept_from_clients(folder):
    assert not folder.location("").internal
    assert folder.location("internal;").internal


# --- files ---


def test_files_are_those_of_html_unless_said_otherwise(folder):
    content = folder.location("").content
    assert str(content.root) == f"{folder.path}/html"
    assert [str(one) for one in content.index] == ["index.html"]
    assert not content.alias
    assert not content.autoindex
    assert content.try_files == ()


@pytest.mark.parametrize(
    ("line", "root", "alias"),
    [
        ("root /srv/www/;", "/srv/www", False),
        ("root www;", "{}/www", False),
        ("root $document_uri/x;", "$document_uri/x", False),
        ("root sites/$host;", "{}/sites/$host", False),
        ("alias /srv/x/;", "/srv/x/", True),
    ],
)
def test_files_are_below_a_root_or_an_alias(folder, line, root, alias):
    content = folder.location(line).content
    assert (str(content.root), content.alias) == (root.format(folder.path), alias)


def test_an_alias_from_around_stands_for_what_matched_there(folder):
    (server,) = folder.http(
        "server { listen 1; location /a/ { alias /x/; location /a/b/ { } } }"
    ).servers
    content = server.locations[0].nested[0].content
    assert (str(content.root), content.alias) == ("/x/b/", True)


def test_index_try_files_and_autoindex_are_kept(folder):
    content = folder.location("index a.html $host.html; try_files $uri =404; autoindex on;").content
    assert [str(one) for one in content.index] == ["a.html", "$host.html"]
    assert [str(one) for one in content.try_files] == ["$uri", "=404"]
    assert content.autoindex


def test_try_files_are_not_inherited(folder):
    (server,) = folder.http(
        "server { listen 1; try_files $uri /x; location / { try_files $uri /y; location /z { } } }"
    ).servers
    (outer,) = server.locations
    assert [str(one) for one in server.outside.content.try_files] == ["$uri", "/x"]
    assert [str(one) for one in outer.content.try_files] == ["$uri", "/y"]
    assert outer.nested[0].content.try_files == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("root a; root b;", '"root" directive is duplicate'),
        ("alias a; alias b;", '"alias" directive is duplicate'),
        (
            "root a; alias b;",
            '"alias" directive is duplicate, "root" directive was specified earlier',
        ),
        (
            "alias a; root b;",
            '"root" directive is duplicate, "alias" directive was specified earlier',
        ),
        (
            "root $document_root/a;",
            'the $document_root variable cannot be used in the "root" directive',
        ),
        (
            "alias ${realpath_root};",
            'the $realpath_root variable cannot be used in the "alias" directive',
        ),
        ('index "";', 'index "" in "index" directive is invalid'),
        ("try_files a =x;", 'invalid code "=x"'),
        ("try_files a =1000;", 'invalid code "=1000"'),
        ("try_files a b; try_files a b;", '"try_files" directive is duplicate'),
    ],
)
def test_wrong_files_are_refused(folder, line, message):
    text = f"events {{}} http {{ server {{ listen 1; location / {{ {line} }} }} }}"
    assert folder.errors(text) == [message]


def test_an_alias_has_no_place_in_a_named_location(folder):
    text = "events {} http { server { listen 1; location @a { alias x; } } }"
    assert folder.errors(text) == ['the "alias" directive cannot be used inside the named location']


def test_types_are_by_extension(folder):
    assert dict(folder.location("").types) == {
        "html": "text/html",
        "gif": "image/gif",
        "jpg": "image/jpeg",
    }
    assert dict(folder.location("types { a/b x Y; c/d z; }").types) == {
        "x": "a/b",
        "y": "a/b",
        "z": "c/d",
    }
    assert folder.location("types { }").types == ()


def test_types_may_be_included(folder):
    folder.write("types { a/b x; }", "mime.types")
    assert folder.location("", around="include mime.types;").types == (("x", "a/b"),)


def test_an_extension_has_one_type(folder):
    text = "events {} http { types { a/b x; c/d x; } }"
    assert folder.warnings(text) == [
        'duplicate extension "x", content type: "c/d", previous content type: "a/b"'
    ]


# --- errors ---


def test_error_pages_are_by_code(folder):
    location = folder.location(
        "error_page 500 502 /50x.html; error_page 404 =200 /$host; error_page 403 = @x;"
        " error_page 495 496 /no.html;"
    )
    assert [(one.code, one.status, str(one.uri)) for one in location.error_pages] == [
        (500, None, "/50x.html"),
        (502, None, "/50x.html"),
        (404, 200, "/$host"),
        (403, 0, "@x"),
        (495, 400, "/no.html"),
        (496, 400, "/no.html"),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("200 /x", 'value "200" must be between 300 and 599'),
        ("499 /x", 'invalid value "499"'),
        ("x /x", 'invalid value "x"'),
        ("=200 /x", 'invalid value "=200"'),
        ("404 =x /x", 'invalid value "=x"'),
    ],
)
def test_a_wrong_error_page_is_refused(folder, words, message):
    assert folder.errors(f"events {{}} http {{ error_page {words}; }}") == [message]

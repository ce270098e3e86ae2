"""`location`: how it matches and where it may stand."""

import pytest


def servers(text):
    return f"events {{}} http {{ server {{ listen 80; {text} }} }}"


@pytest.mark.parametrize(
    ("words", "match", "text"),
    [
        ("/a", "", "/a"),
        ("= /a", "=", "/a"),
        ("=/a", "=", "/a"),
        ("^~ /a", "^~", "/a"),
        ("^~/a", "^~", "/a"),
        (r"~ \.x$", "~", r"\.x$"),
        (r"~\.x$", "~", r"\.x$"),
        (r"~* \.x$", "~*", r"\.x$"),
        (r"~*\.x$", "~*", r"\.x$"),
        ("@a", "@", "@a"),
    ],
)
def test_a_location_keeps_how_it_matches(folder, words, match, text):
    (server,) = folder.http(f"server {{ listen 80; location {words} {{ }} }}").servers
    (location,) = server.locations
    assert (location.match, location.text) == (match, text)


def test_what_fits_no_location_is_the_servers_own(folder):
    (server,) = folder.http("server { listen 80; root /x; location /a { root /y; } }").servers
    assert server.outside.match is None
    assert str(server.outside.content.root) == "/x"
    assert server.outside.nested == ()
    assert str(server.locations[0].content.root) == "/y"


def test_locations_stand_in_locations(folder):
    (server,) = folder.http(
        "server { listen 80; location /a {"
        " location /a/b { } location ~ x { } location = /a/c { } } }"
    ).servers
    (outer,) = server.locations
    assert [(one.match, one.text) for one in outer.nested] == [
        ("", "/a/b"),
        ("~", "x"),
        ("=", "/a/c"),
    ]


def test_a_location_inside_inherits_all_but_what_it_serves(folder):
    (server,) = folder.http(
        "server { listen 80; location /a { proxy_pass http://emqx1; send_timeout 5s; internal;"
        " deny all; location /a/b { } } }"
    ).servers
    (outer,) = server.locations
    (inner,) = outer.nested
    assert type(inner.content).__name__ == "Files"
    assert inner.send_timeout_ms == 5000
    assert inner.internal
    assert inner.access == outer.access != ()


def test_every_location_has_a_key_of_its_own_that_stays(folder):
    text = (
        "server { listen 80; location /a { location /a/b { } } location /c { } location ~ x { }"
        " location ~ x { } } server { listen 81; location /a { } }"
    )

    def keys(http):
        return [
            [server.outside.key, *(one.key for one in server.locations)]
            + [inner.key for one in server.locations for inner in one.nested]
            for server in http.servers
        ]

    found = keys(folder.http(text))
    assert len({key for server in found for key in server}) == 8
    again = keys(folder.http(text.replace("location /c", "location /new { } location /c")))
    assert set(found[0]) < set(again[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("location ~~ x { }", 'invalid location modifier "~~"'),
        (
            "location = /a { location /a/b { } }",
            'location "/a/b" cannot be inside the exact location "/a"',
        ),
        (
            "location @a { location /b { } }",
            'location "/b" cannot be inside the named location "@a"',
        ),
        ("location /a { location @b { } }", 'named location "@b" can be on the server level only'),
        ("location /a { location /b { } }", 'location "/b" is outside location "/a"'),
        ("location /a { } location /a { }", 'duplicate location "/a"'),
        ("location /a { } location ^~ /a { }", 'duplicate location "/a"'),
        ("location = /a { } location = /a { }", 'duplicate location "/a"'),
    ],
)
def test_a_location_has_its_place(folder, text, message):
    assert folder.errors(servers(text)) == [message]


@pytest.mark.parametrize(
    "text",
    [
        "location /a { } location = /a { }",
        "location ~ a { } location ~ a { }",
        "location /a { } location /b { location /b/a { } }",
    ],
)
def test_these_are_not_the_same(folder, text):
    assert folder.errors(servers(text)) == []


def test_a_broken_expression_is_told(folder):
    (error,) = folder.errors(servers("location ~ ( { }"))
    assert "pcre2_compile() failed" in error

"""Certificates and names with variables, their cache, and the zones of sessions, in the model."""

import pytest

from tidegate.config.model_tls import PairCache, session_caches

REST = "listen 1883 ssl; proxy_pass emqx1:1883;"
NAMED = "ssl_certificate c/$ssl_server_name.pem; ssl_certificate_key c/key.pem;"


def told(folder, text):
    """Message, line and column of the one problem in a `stream {}`."""
    (problem,) = folder.load(f"events {{}}\nstream {{\n{text}\n}}\n").problems
    span = problem.span
    return problem.message, span and span.line, span and span.column


def test_files_with_variables_are_not_read_by_us(folder):
    tls = folder.server(f"{REST} {NAMED}").tls
    assert tls.pairs == ()
    ((certificate, key),) = tls.named.pairs
    assert (str(certificate), str(key)) == ("c/$ssl_server_name.pem", "c/key.pem")
    assert tls.named.folder.rstrip("/") == str(folder.path)
    assert tls.named.cache is None


@pytest.mark.parametrize(
    ("text", "cache"),
    [
        ("off", None),
        ("max=5", PairCache(most=5, inactive=10, valid=60)),
        ("valid=1m inactive=2h max=7", PairCache(most=7, inactive=7200, valid=60)),
    ],
)
@pytest.mark.parametrize("kind", ["ssl", "proxy_ssl"])
def test_the_cache_is_that_of_its_directive(folder, text, cache, kind):
    server = folder.server(
        f"{REST} {NAMED} proxy_ssl on; proxy_ssl_certificate $remote_addr;"
        f" proxy_ssl_certificate_key $remote_addr; {kind}_certificate_cache {text};"
    )
    found = {"ssl": server.tls.named.cache, "proxy_ssl": server.content.tls.named.cache}
    assert found[kind] == cache
    assert [one for name, one in found.items() if name != kind] == [None]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("max=0", 'invalid parameter "max=0"', 23),
        ("max=5 valid=x", 'invalid parameter "valid=x"', 29),
        ("max=5 min_uses=2", 'invalid parameter "min_uses=2"', 29),
        ("valid=1m", '"ssl_certificate_cache" must have the "max" parameter', 1),
    ],
)
def test_a_wrong_cache_is_told_of_where_it_stands(folder, text, message, column):
    server = f"server {{ {REST} {NAMED}\nssl_certificate_cache {text}; }}"
    assert told(folder, server) == (message, 4, column)


@pytest.mark.parametrize(
    "text",
    [
        "ssl_certificate $nope; ssl_certificate_key x;",
        "ssl_certificate $remote_addr; ssl_certificate_key $nope;",
        f"{NAMED} proxy_ssl on; proxy_ssl_name $nope;",
    ],
)
def test_an_unknown_variable_is_told_of_where_it_stands(folder, text):
    message, line, _column = told(folder, f"server {{ {REST}\n{text} }}")
    assert (message, line) == ('unknown "nope" variable', 4)


def test_a_certificate_may_stand_in_the_configuration_itself(folder):
    stream = f'server {{ {REST} ssl_certificate "data:x"; ssl_certificate_key data:y; }}'
    message, *_where = told(folder, stream)
    assert message.startswith('cannot load certificate "data:": PEM_read_bio_X509_AUX() failed')


def test_a_dollar_in_a_command_of_openssl_is_a_dollar(folder):
    loaded = folder.load(
        f"events {{}} stream {{ server {{ {REST} {NAMED} ssl_conf_command Nonsense $x; }} }}"
    )
    assert 'SSL_CONF_cmd("Nonsense", "$x") failed' in loaded.first_error.words


def test_a_name_of_memory_is_for_one_use(folder):
    text = (
        "limit_conn_zone $remote_addr zone=a:64k;\n"
        f"server {{ {REST} {NAMED}\nssl_session_cache shared:a:64k; }}"
    )
    message, line, _column = told(folder, text)
    assert message == 'the shared memory zone "a" is already declared for a different use'
    assert line == 5


def test_servers_that_name_a_cache_mean_the_same(folder):
    server = f"server {{ listen %d ssl; return x; {NAMED} ssl_session_cache shared:%s:64k; }}"
    stream = folder.stream("".join(server % one for one in ((1, "a"), (2, "b"), (3, "a"))))
    assert session_caches(stream) == (("a", 65536), ("b", 65536))

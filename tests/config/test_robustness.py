"""Whatever stands in a file ends in a model or in problems: no crash, no hang, no flood."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.cli.check import render_check, render_dump, render_test
from tidegate.config.diagnostics import MAX_PROBLEMS
from tidegate.config.files import MAX_BYTES
from tidegate.config.load import load
from tidegate.config.parser import MAX_NESTING, MAX_WORDS

# The slowest of these takes a few seconds on a small machine.
PATIENCE = 60

WORDS = [
    "stream",
    "events",
    "http",
    "server",
    "upstream",
    "listen",
    "proxy_pass",
    "zone",
    "server_name",
    "location",
    "map",
    "geo",
    "split_clients",
    "set",
    "hostnames",
    "ranges",
    "delete",
    "default",
    "50%",
    "10.0.0.0/8",
    "10.0.0.1-10.0.0.9",
    "~(a",
    "$x",
    "$1",
    "if",
    "include",
    "worker_processes",
    "worker_connections",
    "error_log",
    "access_log",
    "log_format",
    "return",
    "off",
    "on",
    "1883",
    "127.0.0.1:1883",
    "unix:/x",
    "[::1]:1",
    "1k",
    "10s",
    "weight=2",
    "backup",
    "down",
    "$status",
    "${x}",
    "x",
    "y",
    "proxy_bind",
    "proxy_timeout",
    "daemon",
    "env",
    "user",
    "types",
    "hash",
    "mail",
    "ssl",
    "escape=json",
]
soup = st.lists(
    st.sampled_from([*WORDS, "{", "}", ";", ";", "{", "}", '"', "'", "\\", "#", "\n", "$"]),
    max_size=60,
).map(" ".join)


def nowhere(host, _port):
    raise OSError(host)


def consume(path):
    """Load, and render everything that can be rendered."""
    loaded = load(str(path), prefix=str(path.parent), resolve=nowhere)
    assert (loaded.model is None) == any(problem.fatal for problem in loaded.problems)
    texts = [render_test(loaded), render_check(loaded)]
    render_dump(loaded)
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n"))
    return loaded


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "t.conf"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(file, content):
    file.write_bytes(content)
    consume(file)


@settings(max_examples=300, deadline=None)
@given(soup)
def test_any_words(file, content):
    file.write_text(content)
    consume(file)


@settings(deadline=None)
@given(soup, soup)
def test_any_words_inside_a_stream(file, one, two):
    file.write_text(
        f"events {{}} stream {{ {one} server {{ listen 1; proxy_pass 127.0.0.1:1; {two} }} }}"
    )
    consume(file)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=3))
def test_any_directives_of_the_command_line(file, texts):
    file.write_text("events {}")
    loaded = load(str(file), prefix="/", globals_=tuple(texts), resolve=nowhere)
    render_test(loaded)
    render_check(loaded)


@pytest.mark.parametrize(
    "content",
    [
        "a " * (MAX_WORDS + 10) + ";",
        "a;" * (MAX_BYTES // 2),
        "x {" * 100_000,
        "}" * 100_000,
        '"' * 100_000,
        "a" * MAX_BYTES,
        "\\" * MAX_BYTES,
        "$" * MAX_BYTES,
        "#" * MAX_BYTES,
        "\n" * MAX_BYTES,
        "events {} stream { " + "server { listen 1883; return x; } " * 20_000 + "}",
        "events {} stream { log_format a " + "$x" * 2000 + "; }",
        "events {} stream { upstream a { " + "server x:1; " * 50_000 + "} }",
    ],
    ids=lambda content: content[:24].strip(),
)
def test_a_flood_ends_soon_in_few_problems(file, content):
    file.write_text(content)
    start = time.monotonic()
    loaded = consume(file)
    assert time.monotonic() - start < PATIENCE
    assert len(loaded.problems) <= MAX_PROBLEMS + 1


def test_blocks_are_bounded_in_depth(file):
    file.write_text("types { " * MAX_NESTING + "}" * MAX_NESTING)
    assert "nested" not in consume(file).problems[-1].message
    file.write_text("types { " * (MAX_NESTING + 1) + "}" * (MAX_NESTING + 1))
    assert consume(file).problems[-1].message == f"blocks are nested more than {MAX_NESTING} deep"


def test_bytes_that_are_no_utf8_are_kept(file):
    content = b"events {}\nenv X=\xff\xfe;\n# \xe9\n"
    file.write_bytes(content)
    loaded = consume(file)
    assert loaded.model.env[-1] == ("X", "\udcff\udcfe")
    dump = render_dump(loaded).encode("utf-8", "surrogateescape")
    assert dump == b"# configuration file %s:\n%s\n" % (bytes(file), content)


def test_a_model_can_be_handed_over(file):
    import pickle  # noqa: PLC0415

    file.write_text("events {} stream { server { listen 1; return \xe9$pid; } }")
    model = consume(file).model
    assert pickle.loads(pickle.dumps(model)) == model

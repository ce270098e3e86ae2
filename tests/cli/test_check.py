"""`-t`, `-T` and `check` print nginx's words in nginx's order, and more below them."""

import pytest

from tidegate.cli.check import render_check, render_dump, render_test
from tidegate.cli.start_block import start_block
from tidegate.config.load import load
from tidegate.wire.address import Address

GOOD = """events {}
stream {
    upstream brokers { server a:1883 weight=2; server 10.0.0.9:1 backup; }
    server { listen 1883; proxy_pass brokers; }
    server { listen unix:/s reuseport; return x; }
}
"""
BAD = "worker_proceses 2;\nevents { use epoll; }\nstream { nonsense\x1b; }\n"


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        (tmp_path / "t.conf").write_text(text)
        found = Address(family=2, host="10.0.0.1", port=1883)
        return load("t.conf", prefix=str(tmp_path), resolve=lambda *_: [found], **options)

    return read


def said(text, tmp_path):
    return text.replace(str(tmp_path), "DIR").splitlines()


def test_success_is_two_lines(read, tmp_path):
    assert said(render_test(read(GOOD)), tmp_path) == [
        "tidegate: the configuration file DIR/t.conf syntax is ok",
        "tidegate: configuration file DIR/t.conf test is successful",
    ]
    assert render_test(read(GOOD), quiet=True) == ""


def test_failure_is_the_first_error_with_its_place_and_the_verdict(read, tmp_path):
    expected = [
        'tidegate: [emerg] unknown directive "worker_proceses" in DIR/t.conf:1',
        "  worker_proceses 2;",
        "  ^",
        '  did you mean "worker_processes"?',
        '  and 1 more error; "tidegate check" shows all',
        "tidegate: configuration file DIR/t.conf test failed",
    ]
    assert said(render_test(read(BAD)), tmp_path) == expected
    assert said(render_test(read(BAD), quiet=True), tmp_path) == expected


def test_warnings_come_first(read, tmp_path):
    lines = said(render_test(read("pcre_jit on;\nevents {}")), tmp_path)
    assert lines[0] == (
        'tidegate: [warn] "pcre_jit" directive is ignored: there is no PCRE in DIR/t.conf:1'
    )
    assert lines[-1].endswith("test is successful")


def test_what_is_found_late_follows_the_syntax(read, tmp_path):
    assert said(render_test(read("worker_processes 1;")), tmp_path) == [
        "tidegate: the configuration file DIR/t.conf syntax is ok",
        'tidegate: [emerg] no "events" section in configuration',
        "  an empty one will do: events {}",
        "tidegate: configuration file DIR/t.conf test failed",
    ]


def test_a_mistake_on_the_command_line_is_shown(read, tmp_path):
    lines = said(render_test(read("events {}", globals_=("demon off;",))), tmp_path)
    assert lines[:3] == [
        'tidegate: [emerg] unknown directive "demon" in command line',
        "  demon off;",
        "  ^",
    ]


def test_the_dump_holds_every_file_once(read, tmp_path):
    (tmp_path / "part").write_text("env A;\n")
    text = "include part;\ninclude part;\nevents {}"
    assert render_dump(read(text)).replace(str(tmp_path), "DIR") == (
        f"# configuration file DIR/t.conf:\n{text}\n# configuration file DIR/part:\nenv A;\n\n"
    )


def test_check_shows_every_problem_as_compilers_do(read, tmp_path):
    assert said(render_check(read(BAD)), tmp_path) == [
        'DIR/t.conf:1:1: error: unknown directive "worker_proceses"',
        "  worker_proceses 2;",
        "  ^",
        '  did you mean "worker_processes"?',
        'DIR/t.conf:2:10: warning: "use" directive is ignored: epoll is always used',
        "  events { use epoll; }",
        "           ^",
        'DIR/t.conf:3:10: error: unknown directive "nonsense\\x1B"',
        "  stream { nonsense\\x1B; }",
        "           ^",
        "files      DIR/t.conf (63 bytes)",
        "ignored    use",
        "2 errors, 1 warning",
    ]


def test_check_ends_with_what_the_configuration_makes(read, tmp_path):
    assert said(render_check(read(GOOD)), tmp_path) == [
        "files      DIR/t.conf (195 bytes)",
        "listen     0.0.0.0:1883 -> brokers",
        "listen     unix:/s reuseport -> a fixed answer",
        "upstream   brokers: a:1883 (10.0.0.1:1883) weight=2, 10.0.0.9:1 backup",
        "0 errors, 0 warnings",
    ]


def test_check_shows_the_names_of_servers(read, tmp_path):
    text = (
        "events {} stream { server { listen 1; ssl_preread on; return x; }"
        " server { listen 1; server_name a.example b.example; return x; } }"
    )
    out = said(render_check(read(text)), tmp_path)
    assert "listen     0.0.0.0:1 -> a fixed answer" in out
    assert "listen     0.0.0.0:1 -> a.example: a fixed answer" in out


def test_check_names_methods_and_what_looks_into_mqtt(read, tmp_path):
    text = """events {}
stream {
    mqtt_preread on;
    upstream a { hash "$mqtt_preread_clientid-${server_port}x" consistent; server a:1883; }
    upstream b { ip_hash; server a:1883; server 10.0.0.9:1; }
    upstream c { least_conn; server a:1883; }
    upstream d { random; server a:1883; }
    upstream e { random two; server a:1883; }
    upstream f { least_time first_byte inflight; server a:1883; }
    upstream g { random two least_time=connect; server a:1883; }
    server { listen 1; proxy_pass a; mqtt on; }
    server { listen 2; proxy_pass b; mqtt_require on; mqtt_next_upstream 0x9C; }
    server { listen 3; return x; mqtt_preread off; }
}
"""
    address = "a:1883 (10.0.0.1:1883)"
    assert said(render_check(read(text)), tmp_path)[1:] == [
        "listen     0.0.0.0:1 -> a (mqtt_preread, mqtt)",
        "listen     0.0.0.0:2 -> b (mqtt_preread, mqtt_next_upstream, mqtt_require)",
        "listen     0.0.0.0:3 -> a fixed answer",
        f"upstream   a (hash $mqtt_preread_clientid-${{server_port}}x consistent): {address}",
        f"upstream   b (ip_hash): {address}, 10.0.0.9:1",
        f"upstream   c (least_conn): {address}",
        f"upstream   d (random): {address}",
        f"upstream   e (random two): {address}",
        f"upstream   f (least_time first_byte inflight): {address}",
        f"upstream   g (random two least_time=connect): {address}",
        "0 errors, 0 warnings",
    ]
    lines = start_block(read(text).model).splitlines()
    assert "  listen    0.0.0.0:1 → a (mqtt_preread, mqtt)" in lines
    assert "            b (ip_hash): 10.0.0.1:1883, 10.0.0.9:1" in lines

"""Directives of the top level and of `events`, and their defaults."""

import os

import pytest

from tidegate.config import load as loading
from tidegate.config.model import ErrorLog, Level


def test_defaults_are_nginx_s(folder, tmp_path):
    model = folder.model("events {}")
    assert model.worker_processes == 1
    assert model.worker_connections == 512
    assert model.worker_rlimit_nofile is None
    assert model.worker_priority == 0
    assert model.worker_shutdown_timeout_ms is None
    assert (model.daemon, model.master_process) == (True, True)
    assert model.pid == f"{tmp_path}/logs/tidegate.pid"
    assert model.error_logs == (ErrorLog(path=f"{tmp_path}/logs/error.log", level=Level.ERROR),)
    assert model.env == (("TZ", None),)
    assert model.stream is None
    assert model.http is None
    assert model.files == (f"{tmp_path}/tidegate.conf",)


def test_every_value_reaches_the_model(folder, tmp_path):
    model = folder.model(
        """
        worker_processes 3;
        worker_rlimit_nofile 4096;
        worker_priority -5;
        worker_shutdown_timeout 1m30s;
        daemon off;
        master_process OFF;
        pid run/t.pid;
        error_log stderr info;
        error_log /var/log/t.log debug_core;
        env TZ;
        env A=b=c;
        events { worker_connections 77; use epoll; }
        """
    )
    assert model.worker_processes == 3
    assert model.worker_rlimit_nofile == 4096
    assert model.worker_priority == -5
    assert model.worker_shutdown_timeout_ms == 90_000
    assert (model.daemon, model.master_process) == (False, False)
    assert model.pid == f"{tmp_path}/run/t.pid"
    assert model.error_logs == (
        ErrorLog(path=None, level=Level.INFO),
        ErrorLog(path="/var/log/t.log", level=Level.DEBUG),
    )
    assert model.env == (("TZ", None), ("A", "b=c"))
    assert model.worker_connections == 77


def test_places_of_the_caller_hold_where_the_file_names_none(folder, tmp_path):
    model = folder.model("events {}", error_log="/e.log", pid="p.pid")
    assert model.error_logs[0].path == "/e.log"
    assert model.pid == f"{tmp_path}/p.pid"


def test_auto_is_one_worker_for_each_cpu_we_may_use(folder):
    model = folder.model("worker_processes auto; events {}")
    assert model.worker_processes == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker_processes 2000;", '"worker_processes" directive invalid value'),
        ("error_log memory:32m;", '"error_log" to "memory:" is not supported yet'),
        ("mail { server { listen 25; } }", '"mail" directive is not supported'),
        ("ssl_engine x;", '"ssl_engine" directive is not supported yet'),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(folder, text, message):
    assert folder.errors(f"{text}\nevents {{}}") == [message]


def test_a_configuration_without_events_is_refused(folder):
    error = folder.load("worker_processes 1;").first_error
    assert error.words == 'no "events" section in configuration'
    assert error.late
    assert folder.load("events {}").first_error is None


def test_a_user_is_for_root_only(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert folder.warnings("user x;\nevents {}") == [
        (
            'the "user" directive makes sense only if the master process runs'
            " with super-user privileges, ignored"
        )
    ]
    assert folder.model("user x;\nevents {}").user is None


def test_root_becomes_the_user_of_the_configuration(folder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    model = folder.model("user root;\nevents {}")
    assert (model.user, model.group) == ("root", "root")
    model = folder.model("events {}")
    assert model.user in ("nobody", None)
    assert folder.errors("user no-such;\nevents {}") == ['getpwnam("no-such") failed']
    assert folder.errors("user root no-such;\nevents {}") == ['getgrnam("no-such") failed']


def test_what_tunes_nginx_is_ignored_with_one_warning_each(folder):
    text = "pcre_jit on;\nevents { accept_mutex on; accept_mutex_delay 1s; }\nload_module x.so;"
    loaded = folder.load("load_module a.so;\nload_module b.so;\n" + text.rpartition("\n")[0])
    assert [problem.message.split(":")[0] for problem in loaded.problems] == [
        '"load_module" directive is ignored',
        '"pcre_jit" directive is ignored',
        '"accept_mutex" directive is ignored',
        '"accept_mutex_delay" directive is ignored',
    ]
    assert loaded.ignored == ("load_module", "pcre_jit", "accept_mutex", "accept_mutex_delay")
    assert loaded.model is not None
    assert folder.errors("pcre_jit maybe;\nevents {}") == [
        'invalid value "maybe" in "pcre_jit" directive, it must be "on" or "off"'
    ]


class TestCommandLine:
    def test_directives_of_the_command_line_come_first(self, folder):
        assert folder.model("events {}", globals_=("daemon off;", "worker_processes 2;"))
        loaded = folder.load("daemon on;\nevents {}", globals_=("daemon off;",))
        assert loaded.first_error.message == '"daemon" directive is duplicate'
        assert loaded.first_error.words.endswith("tidegate.conf:1")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("nonsense;", 'unknown directive "nonsense" in command line'),
            ("daemon off", 'unexpected end of parameter, expecting ";" in command line'),
            ("events {}", "block directives are not supported in -g option in command line"),
            ("daemon off;}", 'unexpected "}" in command line'),
        ],
    )
    def test_its_mistakes_have_nginx_words(self, folder, text, words):
        loaded = folder.load("events {}", globals_=(text,))
        assert loaded.first_error.words == words
        assert loaded.line(loaded.first_error.span) == text

    def test_each_text_stands_for_itself(self, folder):
        loaded = folder.load("events {}", globals_=("daemon off", "worker_processes 2;"))
        words = 'unexpected end of parameter, expecting ";" in command line'
        assert [problem.words for problem in loaded.problems] == [words]


def test_names_are_looked_up_once(folder):
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        raise OSError

    text = "upstream %s { server gone:1; server gone:1; server gone:2; }"
    loaded = folder.load(f"events {{}} stream {{ {text % 'a'} {text % 'b'} }}", resolve=resolve)
    assert asked == [("gone", 1), ("gone", 2)]
    assert len(loaded.problems) == 6


def test_the_system_s_resolver_is_the_default(folder):
    assert loading.load.__kwdefaults__["resolve"] is loading.resolve_name
    (address,) = loading.resolve_name("127.0.0.1", 1883)
    assert address.text == "127.0.0.1:1883"
    assert folder.errors(
        f"events {{}} stream {{ upstream a {{ server {'x' * 300}:1; server a..b:1; }} }}",
        resolve=loading.resolve_name,
    ) == [
        f'host not found in upstream "{"x" * 300}:1"',
        'host not found in upstream "a..b:1"',
    ]

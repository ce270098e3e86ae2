"""A test of a configuration tells of files that could not be opened, and makes none."""

import os

import pytest

from tidegate.config.places import with_places_tried


def tried(folder, text):
    (folder.path / "logs").mkdir(exist_ok=True)
    before = sorted(os.listdir(folder.path / "logs"))
    loaded = with_places_tried(folder.load(text))
    assert sorted(os.listdir(folder.path / "logs")) == before
    return loaded


def test_files_that_can_be_opened_are_no_problem(folder):
    loaded = tried(folder, "events {} error_log /dev/null;")
    assert loaded.model is not None
    assert not loaded.problems


@pytest.mark.parametrize(
    "text",
    [
        "pid gone/x; events {}",
        "error_log gone/x; events {}",
        "events {} stream { error_log gone/x; server { listen 1; return x; } }",
        "events {} stream { log_format f x; access_log gone/x f; server { listen 1; return x; } }",
        "events {} http { access_log gone/x; server { listen 1; } }",
        "events {} http { server { listen 1; location / { location /b { error_log gone/x; } } } }",
    ],
)
def test_a_folder_that_is_not_there_is_an_error_behind_the_syntax(folder, text):
    loaded = tried(folder, text)
    error = loaded.first_error
    assert loaded.model is None
    assert error.late
    assert error.words == (f'open() "{folder.path}/gone/x" failed (2: No such file or directory)')


def test_a_path_with_variables_is_opened_when_there_is_a_line(folder):
    server = "server { listen 1; return x; access_log gone/$pid/x f; }"
    text = f"events {{}} error_log /dev/null; stream {{ log_format f x; {server} }}"
    assert tried(folder, text).model is not None


def test_syslog_is_no_file(folder):
    server = "syslog:server=127.0.0.1"
    text = f"events {{}} error_log {server}; http {{ access_log {server}; server {{ listen 1; }} }}"
    assert tried(folder, text).model is not None


def test_the_log_that_nobody_wrote_has_its_folder(folder):
    loaded = folder.load("events {} http { server { listen 1; } }", error_log="/dev/null")
    log = f"{folder.path}/logs/access.log"
    pid = f"{folder.path}/logs/tidegate.pid"
    assert with_places_tried(loaded, made=(pid,)).first_error.message.startswith(f'open() "{log}"')
    assert with_places_tried(loaded, made=(pid, log)).model is not None


def test_a_folder_in_the_place_of_a_file_is_an_error(folder):
    error = tried(folder, "error_log logs; events {}").first_error
    assert error.words == f'open() "{folder.path}/logs" failed (21: Is a directory)'


def test_a_folder_that_a_start_would_make_is_no_error(folder):
    loaded = folder.load("events {}", pid="gone/far/x", error_log="/dev/null")
    pid = f"{folder.path}/gone/far/x"
    assert with_places_tried(loaded).model is None
    assert with_places_tried(loaded, made=(pid,)).model is not None
    (folder.path / "gone").write_text("a file")
    error = with_places_tried(loaded, made=(pid,)).first_error
    assert error.words == f'open() "{pid}" failed (20: Not a directory)'


def test_a_configuration_that_is_wrong_anyway_is_left_alone(folder):
    loaded = tried(folder, "nonsense;")
    assert len(loaded.problems) == 1


def test_a_folder_that_may_not_be_written_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_args, **_options: False)
    error = tried(folder, "error_log logs/x; events {}").first_error
    assert error.words.endswith("(13: Permission denied)")
    assert error.hint == "this user may not write there"

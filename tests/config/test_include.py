"""`include` reads files in its place, from the folder of the configuration, within bounds."""

import os

import pytest

from tidegate.config.files import MAX_BYTES, MAX_INCLUDE_DEPTH


def first(folder, text=None):
    return folder.load(text).first_error.words.replace(str(folder.path), "DIR")


def test_a_mask_reads_all_its_files_in_order(folder):
    for name in ("b", "a", "C", ".hidden"):
        folder.write(f"server {{ listen 127.0.0.1:{ord(name[0])}; return x; }}", f"d/{name}.conf")
    servers = folder.stream("include d/*.conf;").servers
    assert [server.listens[0].address.port for server in servers] == [67, 97, 98]
    assert folder.stream("include d/b.conf;").servers[0].listens[0].address.port == 98


def test_names_are_looked_up_beside_the_main_file(folder, tmp_path):
    folder.write("worker_processes 3;", "conf/sub/one.conf")
    folder.write("include sub/one.conf;\nevents {}", "conf/main.conf")
    loaded = folder.load()
    assert loaded.first_error.message.startswith("open()")
    from tidegate.config.load import load  # noqa: PLC0415

    model = load("conf/main.conf", prefix=str(tmp_path)).model
    assert model.worker_processes == 3
    assert [os.path.relpath(file, tmp_path) for file in model.files] == [
        "conf/main.conf",
        "conf/sub/one.conf",
    ]


def test_a_mask_may_match_nothing(folder):
    assert folder.model("events {}\ninclude nothing/*.conf;")


def test_a_missing_file_is_named_with_the_place_that_asks_for_it(folder):
    text = "events {}\ninclude nothing.conf;"
    message = (
        'open() "DIR/nothing.conf" failed (2: No such file or directory) in DIR/tidegate.conf:2'
    )
    assert first(folder, text) == message


def test_a_mistake_in_an_included_file_is_told_with_its_own_place(folder):
    folder.write("\n\nnonsense;", "part.conf")
    assert first(folder, "events {}\ninclude part.conf;") == (
        'unknown directive "nonsense" in DIR/part.conf:3'
    )


def test_a_block_ends_in_the_file_where_it_begins(folder):
    folder.write("worker_connections 5; }", "part.conf")
    assert first(folder, "events { include part.conf; }") == 'unexpected "}" in DIR/part.conf:1'


@pytest.mark.parametrize("loop", [["tidegate.conf"], ["a", "tidegate.conf"], ["a", "b", "a"]])
def test_a_loop_ends_in_one_error(folder, loop):
    here = "tidegate.conf"
    for name in loop:
        folder.write(f"include {name};", here)
        here = name
    errors = folder.errors(None)
    assert len(errors) == 1
    assert errors[0].endswith("is included while it is being read")


def test_files_that_multiply_end_in_one_error(folder):
    """Twelve files that each include the next one eight times would be read 8^12 times."""
    for number in range(12):
        name = f"{number}.conf" if number else "tidegate.conf"
        folder.write(f"include {number + 1}.conf;\n" * 8, name)
    folder.write("env A;", "12.conf")
    assert folder.load().model is None


def test_includes_are_bounded_in_depth(folder):
    for number in range(MAX_INCLUDE_DEPTH + 5):
        folder.write(f"include {number + 1};", str(number) if number else "tidegate.conf")
    (error,) = folder.errors(None)
    assert error == f"files are included more than {MAX_INCLUDE_DEPTH} deep"


def test_a_huge_file_is_refused(folder):
    folder.write(b"#" * (MAX_BYTES + 1))
    (error,) = folder.errors(None)
    assert error.startswith("the configuration is larger than 8 MiB")


def test_folders_devices_and_pipes_do_no_harm(folder):
    os.mkfifo(folder.path / "fifo")
    assert folder.model("events {}\ninclude fifo;\ninclude /dev/zero;\ninclude /dev/null;")
    assert (
        first(folder, "include /;")
        == 'pread() "/" failed (21: Is a directory) in DIR/tidegate.conf:1'
    )


def test_a_main_file_that_is_missing_has_no_place(folder):
    assert first(folder) == 'open() "DIR/tidegate.conf" failed (2: No such file or directory)'

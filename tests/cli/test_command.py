"""The command as a user types it: what is printed where, and the exit status."""

import os
import re
import subprocess
import sys

import pytest

from tidegate.version import VERSION

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "src"))
GOOD = "events {}\nstream { server { listen 127.0.0.1:1; return hello; } }\n"
BAD = "events {}\nstreem {}\nfoo bar;\n"
SUCCESS = "tidegate: configuration file {} test is successful\n"


@pytest.fixture
def run(tmp_path):
    """Runs `tidegate WORDS` in an empty folder."""

    def run(*words, **environ):
        return subprocess.run(
            [sys.executable, "-m", "tidegate.cli.main", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": SOURCE, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.conf"
    path.write_text(GOOD)
    return str(path)


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.conf"
    path.write_text(BAD)
    return str(path)


def result(done):
    return done.returncode, done.stdout, done.stderr


def test_the_version_is_on_stderr_as_nginxs(run):
    assert result(run("-v")) == (0, "", f"tidegate version: tidegate/{VERSION}\n")


def test_the_long_version_names_python_and_the_places(run):
    done = run("-V")
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert lines[0] == f"tidegate version: tidegate/{VERSION}"
    assert "Python 3." in lines[1]
    assert "--conf-path=" in lines[2]


@pytest.mark.parametrize("switch", ["-h", "-?"])
def test_help_names_every_switch_the_verbs_and_the_default_places(run, switch):
    done = run(switch, HOME="/nowhere")
    assert (done.returncode, done.stdout) == (0, "")
    for letter in "hvVtTqspecg":
        assert re.search(rf"^  (-\?,)?-{letter} ", done.stderr, re.MULTILINE)
    for verb in ("run", "check", "demo", "version"):
        assert re.search(rf"^  {verb} +: \S", done.stderr, re.MULTILINE)
    for name in ("tidegate.conf", "tidegate.pid", "error.log"):
        assert re.search(rf"/\S*{name}", done.stderr)


def test_a_good_configuration_is_called_so(run, good):
    assert result(run("-t", "-c", good)) == (
        0,
        "",
        f"tidegate: the configuration file {good} syntax is ok\n{SUCCESS.format(good)}",
    )


@pytest.mark.parametrize("directive", ["pid", "error_log"])
def test_a_file_that_cannot_be_opened_fails_the_test_behind_the_syntax(run, tmp_path, directive):
    path = tmp_path / "good.conf"
    path.write_text(f"{directive} {tmp_path}/none/x;\n{GOOD}")
    done = run("-t", "-c", str(path))
    assert (done.returncode, done.stdout) == (1, "")
    ok, error, mend, failed = done.stderr.splitlines()
    assert ok == f"tidegate: the configuration file {path} syntax is ok"
    words = f'open() "{tmp_path}/none/x" failed (2: No such file or directory)'
    assert error == f"tidegate: [emerg] {words}"
    assert mend == "  the folder is not there; make it first"
    assert failed == f"tidegate: configuration file {path} test failed"
    assert not (tmp_path / "none").exists()


def test_a_test_makes_no_file(run, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/tidegate.conf").write_text(GOOD)
    assert run("-t", "-p", str(tmp_path)).returncode == 0
    assert os.listdir(tmp_path) == ["conf"]


def test_quiet_says_nothing_of_a_good_one(run, good):
    assert result(run("-tq", "-c", good)) == (0, "", "")


def test_a_bad_one_is_shown_at_its_first_error(run, bad):
    done = run("-t", "-c", bad)
    assert (done.returncode, done.stdout) == (1, "")
    first, *others, last = done.stderr.splitlines()
    assert first == f'tidegate: [emerg] unknown directive "streem" in {bad}:2'
    assert '  did you mean "stream"?' in others
    assert last == f"tidegate: configuration file {bad} test failed"


def test_the_dump_is_on_stdout_byte_for_byte(tmp_path):
    path = tmp_path / "odd.conf"
    path.write_bytes(b"# \xff\xc3\xa9\nevents {}\n")
    done = subprocess.run(
        [sys.executable, "-m", "tidegate.cli.main", "-Tc", str(path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == (
        b"# configuration file %s:\n# \xff\xc3\xa9\nevents {}\n\n" % os.fsencode(path)
    )
    assert b"test is successful" in done.stderr


def test_directives_of_the_command_line_come_first(run, good):
    done = run("-t", "-c", good, "-g", "nonsense on;")
    assert done.returncode == 1
    assert done.stderr.startswith(
        'tidegate: [emerg] unknown directive "nonsense" in command line\n'
    )


def test_a_relative_name_is_found_here_or_in_the_prefix(run, tmp_path):
    (tmp_path / "good.conf").write_text(GOOD)
    assert run("-tc", "good.conf").returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.conf").write_text(GOOD)
    assert run("-tp", "other", "-c", "x.conf").returncode == 0
    assert run("-tp", "other", "-c", "good.conf").returncode == 1


def test_the_default_file_is_the_users(run, tmp_path):
    done = run("-t", HOME=str(tmp_path), XDG_CONFIG_HOME="")
    folder = "/etc" if os.geteuid() == 0 else f"{tmp_path}/.config"
    assert f"configuration file {folder}/tidegate/tidegate.conf test" in done.stderr


@pytest.mark.parametrize("words", [("-x",), ("-t", "x"), ("-c",), ("-s", "x")])
def test_wrong_switches_end_with_1(run, words):
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"tidegate: (invalid|option) .*\n", done.stderr)


def test_a_mistyped_verb_ends_with_2_and_a_guess(run):
    assert result(run("chekc")) == (
        2,
        "",
        'tidegate: there is no verb "chekc", did you mean "check"?\ntry `tidegate -h`\n',
    )
    assert 'did you mean "reload"?' in run("relaod").stderr


@pytest.mark.parametrize("words", [("run", "--nope"), ("check", "a", "b"), ("version", "x")])
def test_wrong_usage_of_a_verb_ends_with_2(run, words):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"try `tidegate {words[0]} -h`" in done.stderr


@pytest.mark.parametrize("words", [("-h",), ("check", "-h"), ("run", "--help")])
def test_verbs_help_without_a_failure(run, words):
    assert run(*words).returncode == 0


def test_check_reports_all_problems_at_once(run, bad, good):
    done = run("check", bad)
    assert done.returncode == 1
    assert f'{bad}:2:1: error: unknown directive "streem"' in done.stdout
    assert f'{bad}:3:1: error: unknown directive "foo"' in done.stdout
    assert "2 errors, 0 warnings" in done.stdout
    done = run("check", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 errors" in done.stdout


def test_the_version_verb_is_for_reading(run):
    done = run("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"tidegate {VERSION}\nPython 3.")


def test_a_reader_that_has_gone_is_no_error(good):
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m tidegate.cli.main -t -c {good} 2>&1 >/dev/null | :"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(
    "words",
    [
        ["-x"],
        ["foo", "-x"],
        ["-tqx"],
        ["-c"],
        ["-e"],
        ["-p"],
        ["-g"],
        ["-s"],
        ["-s", "bogus"],
        ["-sstopp"],
        ["-t", "-c", "/no/such.conf"],
        ["-s", "stop", "-c", "/no/such.conf"],
        ["-s", "stop", "-c", "GOOD"],
        ["-s", "stop", "-c", "EMPTY"],
        ["-s", "stop", "-c", "NOBODY"],
    ],
)
def test_the_words_are_nginxs(run, tmp_path, words):
    (tmp_path / "empty.pid").write_text("")
    (tmp_path / "nobody.pid").write_text("99999999\n")
    for name, pid in (("GOOD", "none"), ("EMPTY", "empty"), ("NOBODY", "nobody")):
        (tmp_path / name).write_text(
            f"pid {tmp_path}/{pid}.pid; error_log {tmp_path}/log; events {{}}\n"
        )
    words = [str(tmp_path / word) if word.isupper() and word != "T" else word for word in words]
    nginx = subprocess.run(
        ["/usr/sbin/nginx", *words], capture_output=True, text=True, timeout=60, check=False
    )
    ours = run(*words)
    if words[0] == "foo":
        assert (nginx.returncode, ours.returncode) == (1, 2)  # a word is one of our verbs
        return
    assert ours.returncode == nginx.returncode
    theirs = [said(line) for line in nginx.stderr.splitlines() if "[notice]" not in line]
    mine = [said(line).partition("; ")[0] for line in ours.stderr.splitlines()]
    assert [line for line in mine if not line.startswith("  ")][: len(theirs)] == theirs


def said(line):
    """The line without the name of the program, or its time and process number."""
    line = re.sub(r"^\S+ \S+ (\[\w+\]) \d+#\d+: ", r"\1 ", line)
    # nginx logs a signal that finds nobody as an alert; for who typed it, it is an error.
    return re.sub(r"^(nginx|tidegate): ", "", line).replace("[alert]", "[error]")

import pytest

from tidegate.cli.switches import UsageError, parse


def test_flags_may_stand_together():
    assert parse(["-tq"]).flags == {"t", "q"}
    assert parse(["-t", "-q"]).flags == {"t", "q"}


@pytest.mark.parametrize("words", [["-c", "F"], ["-cF"], ["-tcF"], ["-tc", "F"]])
def test_a_value_is_the_rest_of_the_word_or_the_next_one(words):
    assert parse(words).conf == "F"


def test_all_values():
    switches = parse(["-p", "P", "-e", "E", "-g", "daemon off;", "-s", "quit"])
    assert (switches.prefix, switches.error_log, switches.directives, switches.signal) == (
        "P",
        "E",
        ("daemon off;",),
        "quit",
    )


@pytest.mark.parametrize("word", ["stop", "quit", "reopen", "reload"])
@pytest.mark.parametrize("before", [[], ["-c", "F"]])
def test_a_plain_word_is_a_signal_too(word, before):
    assert parse([*before, word]).signal == word


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-x"], 'invalid option: "x"'),
        (["-tx"], 'invalid option: "x"'),
        (["-t", "foo"], 'invalid option: "foo"'),
        (["-c"], 'option "-c" requires file name'),
        (["-e"], 'option "-e" requires file name'),
        (["-p"], 'option "-p" requires directory name'),
        (["-g"], 'option "-g" requires parameter'),
        (["-s"], 'option "-s" requires parameter'),
        (["-s", "bogus"], 'invalid option: "-s bogus"'),
        (["--help"], 'invalid option: "-"'),
    ],
)
def test_what_is_wrong_is_said_in_nginxs_words(words, said):
    with pytest.raises(UsageError) as raised:
        parse(words)
    assert str(raised.value) == said

"""`map`, `geo`, `split_clients` and `set` reach the model, and mistakes are told with a way out."""

import pickle

import pytest

from tidegate.config.cycles import DEEPEST
from tidegate.variables import names
from tidegate.variables.geo import Geo
from tidegate.variables.map import Expression, Map
from tidegate.variables.split_clients import HASHES, SplitClients
from tidegate.variables.template import Template, parse

SERVER = "server { listen 1; return x; }"


def stream(text):
    return f"events {{}}\nstream {{\n{text}\n{SERVER}\n}}"


def only_problem(folder, text):
    (problem,) = folder.load(stream(text)).problems
    return problem


def defined(folder, text):
    """The variables that a configuration defines."""
    return dict(folder.stream(f"{text} {SERVER}").variables)


class TestMap:
    def test_all_of_it_reaches_the_model(self, folder):
        text = """map $remote_addr $X {
            hostnames; volatile; A one; *.b.c $remote_port; .d two; e.* one;
            ~*^(f) "$1"; ~g one; default none; }"""
        found = defined(folder, text)
        assert found == {
            "x": Map(
                key=parse("$remote_addr"),
                default=parse("none"),
                texts={b"a": parse("one")},
                wildcards={
                    ("*.", b"b.c"): parse("$remote_port"),
                    (".", b"d"): parse("two"),
                    (".*", b"e"): parse("one"),
                },
                expressions=(
                    Expression(b"^(f)", True, parse("$1")),
                    Expression(b"g", False, parse("one")),
                ),
                hostnames=True,
                volatile=True,
            )
        }
        assert pickle.loads(pickle.dumps(found)) == found

    def test_without_a_default_it_is_empty(self, folder):
        assert defined(folder, "map a $x { }")["x"].default == Template(("",))

    def test_lines_may_come_from_files(self, folder):
        folder.write("a 1;\n", "maps/one.map")
        folder.write("b 2;\n", "maps/two.map")
        assert defined(folder, "map a $x { include maps/*.map; c 3; }")["x"].texts.keys() == {
            b"a", b"b", b"c",
        }  # fmt: skip

    def test_a_mistake_in_a_file_is_told_with_its_place(self, folder):
        folder.write("a 1;\n\na 2;\n", "one.map")
        problem = only_problem(folder, "map a $x { include one.map; }")
        assert (problem.span.file, problem.span.line) == (str(folder.path / "one.map"), 3)

    def test_each_wrong_line_is_told(self, folder):
        text = "map a $x {\n a 1;\n a 2;\n ~( 3;\n b;\n c $nothing;\n }"
        loaded = folder.load(stream(text))
        assert [(one.message, one.span.line) for one in loaded.problems] == [
            ('conflicting parameter "a"', 5),
            ('pcre2_compile() failed: missing closing parenthesis in "("', 6),
            ("invalid number of the map parameters", 7),
            ('unknown "nothing" variable', 8),
        ]

    def test_groups_are_variables(self, folder):
        text = "map a $x { ~(?<Kind>a) $kind; } server { listen 2; return $kind$1$x; }"
        assert folder.errors(stream(text)) == []


class TestGeo:
    def test_networks_reach_the_model_as_intervals(self, folder):
        text = "geo $x { default d; 10.0.0.0/8 a; 10.1.0.0/16 b; ::1 c; proxy 127.0.0.0/8; }"
        found = defined(folder, text)
        (geo,) = found.values()
        assert isinstance(geo, Geo)
        assert (geo.address, len(geo.proxies)) == ("remote_addr", 1)
        assert geo.inet.starts == (0, 10 << 24, 0x0A010000, 0x0A020000, 11 << 24)
        assert geo.inet.values == ("d", "a", "b", "a", "d")
        assert (geo.inet6.starts, geo.inet6.values) == ((0, 1, 2), ("d", "c", "d"))
        assert pickle.loads(pickle.dumps(found)) == found

    def test_ranges_reach_the_model_as_intervals(self, folder):
        text = "geo $remote_addr $x { ranges; 10.0.0.0-10.255.255.255 a; 10.0.0.9-10.0.0.9 b; }"
        geo = defined(folder, text)["x"]
        assert geo.inet.starts == (0, 10 << 24, 0x0A000009, 0x0A00000A, 11 << 24)
        assert geo.inet.values == ("", "a", "b", "a", "")

    def test_the_address_must_be_a_variable_that_there_is(self, folder):
        problem = only_problem(folder, "geo $remote_adr $x { }")
        assert problem.message == 'unknown "remote_adr" variable'
        assert problem.hint == 'did you mean "remote_addr"?'


class TestSplitClients:
    def test_all_of_it_reaches_the_model(self, folder):
        found = defined(folder, 'split_clients "$remote_addr" $x { 50% a; * b; }')
        assert found == {
            "x": SplitClients(
                key=parse("$remote_addr"), parts=((HASHES // 2 - 1, "a"), (HASHES, "b"))
            )
        }

    def test_the_share_that_is_too_much_is_shown(self, folder):
        problem = only_problem(folder, "split_clients a $x {\n 60% a;\n 50% b;\n 1% c;\n}")
        assert (problem.span.line, problem.line) == (5, 7)
        problem = only_problem(folder, "split_clients a $x { * a; 1% b; }")
        assert problem.hint == '"*" has all that is left, so it comes last'


class TestNames:
    @pytest.mark.parametrize("line", ["map a %s { }", "geo %s { }", "split_clients a %s { }"])
    def test_one_that_has_a_value_of_its_own_is_refused(self, folder, line):
        for name in names.STREAM:
            problem = only_problem(folder, line % f"${name.upper()}")
            assert problem.message == f'the duplicate "{name}" variable'

    def test_the_nearest_of_ones_own_is_named(self, folder):
        text = "map a $backend { } server { listen 2; return $bakcend; }"
        assert only_problem(folder, text).hint == 'did you mean "backend"?'

    def test_one_that_only_a_set_defines_is_known_everywhere(self, folder):
        text = "server { listen 2; return $a; } server { listen 3; return $a; set $a b; }"
        assert folder.errors(stream(text)) == []


class TestCycles:
    def test_one_that_always_comes_round_is_an_error_with_the_way(self, folder):
        text = "map $c $a { } map $a $b { }\n map x$b $c { }"
        problem = only_problem(folder, text)
        assert problem.fatal
        assert problem.message == 'cycle while evaluating variable "a"'
        assert problem.hint == "$a needs $c needs $b needs $a, so it never has a value"

    def test_one_that_hangs_upon_values_is_a_warning(self, folder):
        text = "map $remote_addr $a { 1 $b; } map $remote_addr $b { 2 $a; }"
        problem = only_problem(folder, text)
        assert not problem.fatal
        assert problem.message == 'possible cycle while evaluating variable "a"'

    def test_the_same_variable_by_two_ways_is_none(self, folder):
        text = "map a $a { } map $a $b { default $a; } map $a$b $c { default $b$a; }"
        assert folder.load(stream(text)).problems == ()


class TestProxyPass:
    GROUPS = "upstream brokers { server emqx1:1; }"

    def warning(self, folder, blocks):
        text = f"{self.GROUPS} {blocks} server {{ listen 2; proxy_pass $to; }}"
        return folder.load(stream(text)).problems

    def test_a_value_that_leads_nowhere_is_warned_of(self, folder):
        (problem,) = self.warning(folder, "map a $to { a brokers; b brokrs; c 127.0.0.1:1; }")
        assert not problem.fatal
        assert problem.message == (
            '"$to" in "proxy_pass" may be "brokrs": no port in upstream "brokrs"'
        )
        assert problem.hint.endswith('did you mean the upstream "brokers"?')

    @pytest.mark.parametrize(
        "blocks",
        [
            "map a $to { a brokers; b BROKERS; c [::1]:1; d unix:/x; e $remote_addr; }",
            "split_clients a $to { * 10.0.0.1:1883; }",
            "geo $to { default brokers; }",
            "server { listen 3; proxy_pass emqx2:1; } map a $to { a emqx2:1; }",
        ],
    )
    def test_values_that_lead_somewhere_are_in_order(self, folder, blocks):
        assert self.warning(folder, blocks) == ()


def chain(length):
    maps = [f"map $v{n} $v{n + 1} {{ a $v{n}; }}" for n in range(1, length)]
    return stream("\n".join(["map a $v1 { }", *maps]))


class TestChains:
    def test_one_that_sessions_can_follow_is_read(self, folder):
        assert folder.load(chain(DEEPEST)).problems == ()

    @pytest.mark.parametrize("length", [DEEPEST + 1, 3000])
    def test_a_longer_one_is_an_error_with_the_place_and_soon(self, folder, length):
        (problem,) = folder.load(chain(length)).problems
        assert problem.fatal
        assert problem.message == (
            f'too many variables are needed one behind the other for "v{DEEPEST + 1}"'
        )
        assert problem.hint == f"{DEEPEST + 1} are, {DEEPEST} may be"
        assert problem.span.line == DEEPEST + 3

    def test_in_a_circle_that_values_may_lead_into_it_is_one_too(self, folder):
        text = " ".join(f"map $remote_addr $v{n} {{ a $v{(n + 1) % 300}; }}" for n in range(300))
        warning, error = folder.load(stream(text)).problems
        assert warning.message.startswith("possible cycle")
        assert error.message.startswith("too many variables")

    def test_many_circles_are_read_soon(self, folder):
        every = "".join(f" {n} $v{n};" for n in range(60))
        text = "\n".join(f"map $remote_addr $v{n} {{{every} }}" for n in range(60))
        assert not any(problem.fatal for problem in folder.load(stream(text)).problems)


def test_a_list_with_many_mistakes_is_taken_with_few_warnings(folder):
    lines = [f"10.{number % 200}.0.0/16 a;" for number in range(1000)]
    problems = folder.load(stream(f"geo $x {{\n{' '.join(lines)}\n}}")).problems
    assert len(problems) == 21
    assert not any(problem.fatal for problem in problems)
    assert problems[-1].message == '780 more warnings of this "geo" are not shown'

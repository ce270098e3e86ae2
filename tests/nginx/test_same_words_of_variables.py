"""Wrong `map`, `geo`, `split_clients` and `set` get all the words of the installed nginx."""

import pytest

from lab.words import said_of

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

pytestmark = pytest.mark.needs("nginx")

# What stands in `stream {}`, each with a server behind it; "valid" ones pass.
SAME = {
    "split_clients, too much": "split_clients $remote_addr $x { 50% a; 51% b; }",
    "split_clients, too much after the rest": "split_clients a $x {\n * a;\n 51% b;\n }",
    "split_clients, no percent sign": "split_clients a $x { 60 a; }",
    "split_clients, three decimals": "split_clients a $x { 0.001% a; }",
    "split_clients, nothing": "split_clients a $x { 0% a; }",
    "split_clients, empty share": 'split_clients a $x { "" a; }',
    "split_clients, no dollar": "split_clients a x { * a; }",
    "split_clients, no name": "split_clients a $ { * a; }",
    "split_clients, a name of nginx": "split_clients a $remote_addr { * a; }",
    "split_clients, a block inside": "split_clients a $x {\n 50% {\n }\n }",
    "split_clients, three words": "split_clients a b $x { * a; }",
    "split_clients, no block": "split_clients a $x;",
    "split_clients in a server": "server { listen 2; return x; split_clients a $x { } }",
    "split_clients, a lone dollar": "split_clients a$ $x { }",
    "map, no value": "map a $x { a; }",
    "map, two values": "map a $x {\n\n a b c; }",
    "map, the same text": "map a $x { Abc 1; aBC 2; }",
    "map, default twice": "map a $x { default 1; default 2; }",
    "map, a bad expression": "map a $x { ~( a; }",
    "map, another bad expression": "map a $x { ~*(a))) a; }",
    "map, an empty range": 'map a $x { "~[z-a]" a; }',
    "map, a bad name of a group": 'map a $x { "~(?<1>x)" a; }',
    "map, a group with a name of nginx": "map a $x { ~(?<remote_addr>a) a; }",
    "map, a bad wildcard": "map a $x { hostnames; a*b 1; }",
    "map, two wildcards": "map a $x { hostnames; *.a.* 1; }",
    "map, two dots": "map a $x { hostnames; a..b 1; }",
    "map, a wildcard alone": "map a $x { hostnames; * 1; }",
    "map, the same wildcard": "map a $x { hostnames; *.A.b 1; .a.B 2; }",
    "map, the same as a wildcard": "map a $x { hostnames; .a.b 1; A.b 2; }",
    "map, a wildcard that is the same": "map a $x { hostnames; a.b 1; .a.b 2; }",
    "map, the same at the end": "map a $x { hostnames; a.b.* 1; A.b.* 2; }",
    "map, no dollar": "map a b { }",
    "map, a block inside": "map a $x { a { } }",
    "map, an unclosed value": 'map a $x { a "${b"; }',
    "map, a lone dollar": "map a $x { a $; }",
    "map, no include": "map a $x { include nothing; }",
    "geo, three words": "geo $x { a b c; }",
    "geo, one word": "geo $x { 10.0.0.1; }",
    "geo, no network": "geo $x { name a; }",
    "geo, a network of 33 bits": "geo $x { 10.0.0.0/33 a; }",
    "geo, an IPv6 network of 129 bits": "geo $x { ::/129 a; }",
    "geo, no mask": "geo $x { 10.0.0.0/ a; }",
    "geo, no dollar": "geo x { }",
    "geo, no dollar before the address": "geo remote_addr $x { }",
    "geo, ranges too late": "geo $x { 10.0.0.0/8 a; ranges; }",
    "geo, ranges after default": "geo $x { default a; ranges; }",
    "geo, a range upside down": "geo $x { ranges; 1.2.3.4-1.2.3.2 a; }",
    "geo, half a range": "geo $x { ranges; 1.2.3.4 a; }",
    "geo, a range to the end": "geo $x { ranges; 1.2.3.4-255.255.255.255 a; }",
    "geo, a range that overlaps": "geo $x { ranges; 1.2.3.4-1.2.3.9 a; 1.2.3.2-1.2.3.5 b; }",
    "geo, a range that covers": "geo $x { ranges; 1.2.3.4-1.2.3.9 a; 1.2.3.2-1.2.3.10 b; }",
    "geo, a range over blocks": "geo $x { ranges; 1.2.3.4-1.5.3.9 a; 1.3.0.0-1.8.0.0 b; }",
    "geo, nothing to delete here": "geo $x { delete x; }",
    "set, no dollar": "server { listen 2; return x; set x y; }",
    "set, no name": "server { listen 2; return x; set $ y; }",
    "set, a name of nginx": "server { listen 2; return x; set $remote_addr y; }",
    "set in stream": "set $x y;",
    "set, one word": "server { listen 2; return x; set $x; }",
    "valid split_clients": "split_clients $remote_addr $x { 20.% a; .5% b; * c; * d; }",
    "valid split_clients of nothing": "split_clients a $x-y { }",
    "valid map of itself": "map $y $x { a b; default $y$1; } map a $y { }",
    "valid map": r'map a $x { volatile; hostnames; \~a b; "" c; *.a d; .b e; c.* f; ~(?<g>.) $g; }',
    "valid map of one name twice": "map a $x { } map b $X { } geo $x { }",
    "valid geo": "geo $x { 10.0.0.0/8 a; ::1 b; default c; 255.255.255.255 d; 010.1.0.0/16 e; }",
    "valid geo with low bits": "geo $x { 10.0.0.1/8 a; 2001:db8::1/32 b; }",
    "valid geo, one twice": "geo $x { 10.0.0.0/8 a; 10.0.0.0/9 b; 10.0.0.0/8 c; ::1 d; ::1 e; }",
    "valid geo, two defaults": "geo $x { default a; default b; }",
    "valid geo, none to delete": "geo $x { delete 10.0.0.0/8; 11.0.0.0/8 a; delete 11.0.0.0/8; }",
    "valid geo of ranges": "geo $x { ranges; 1.0.0.0-1.2.3.4 a; 1.0.0.5-1.0.0.9 b; default c; }",
    "valid geo, a range twice": "geo $x { ranges; 1.0.0.0-1.0.255.255 a;\n 1.0.0.0-1.2.0.0 b; }",
    "valid geo, two defaults of ranges": "geo $x { ranges; default a; default b; }",
    "valid geo, no range to delete": "geo $x { ranges; delete 1.0.0.0-1.0.0.9; }",
    "valid set": "server { listen 2; return $x; set $x a; set $x $x$1; }",
}

# Our lines, its lines, and the reason.
DIFFERENT = {
    "a variable there is not": (
        "map $nothing $x { }",
        ['unknown "nothing" variable in FILE:3'],
        ['unknown "nothing" variable'],
        "nginx does not say where",
    ),
    "a group in braces": (
        "server { listen 2; return ${1}; }",
        ['unknown "1" variable in FILE:3'],
        ['unknown "1" variable'],
        "nginx does not say where",
    ),
    "a group in a log": (
        "log_format x $1;",
        ['unknown "1" variable in FILE:3'],
        ['unknown "1" variable'],
        "nginx does not say where",
    ),
    "an address that nobody has": (
        "geo $x { 255.255.255.255/32 a; }",
        [],
        ['invalid network "255.255.255.255/32" in FILE:3'],
        "nginx takes it for an error of inet_addr",
    ),
    "empty octets": (
        "geo $x { 1..2.3 a; }",
        ['invalid network "1..2.3" in FILE:3'],
        [],
        "nginx takes them for 0",
    ),
    "no value for a share": (
        "split_clients a $x { 50%; }",
        ["invalid number of the split_clients parameters in FILE:3"],
        [],
        "nginx takes whatever comes next in its memory",
    ),
    "two values for a share": (
        "split_clients a $x { 50% a b; }",
        ["invalid number of the split_clients parameters in FILE:3"],
        [],
        "nginx drops the second",
    ),
    "a variable for a share": (
        "split_clients a $x { 50% $y; }",
        ['no variable in value "$y" of "split_clients" in FILE:3'],
        [],
        "nginx takes it as it is written, and so do we",
    ),
    "a variable for a network": (
        "geo $x { ::1 $y; }",
        ['no variable in value "$y" of "geo" in FILE:3'],
        [],
        "nginx takes it as it is written, and so do we",
    ),
    "a cycle": (
        "map $x $y { } map $y $x { }",
        ['cycle while evaluating variable "y" in FILE:3'],
        [],
        "nginx says so for each session",
    ),
    "a cycle of values": (
        "map a $y { a $x; } map b $x { a $y; }",
        ['possible cycle while evaluating variable "y" in FILE:3'],
        [],
        "nginx says so for each session that goes round",
    ),
    "proxy in stream": (
        "geo $x { proxy 10.0.0.0/8; proxy_recursive; ::1 a; }",
        [],
        ['invalid network "proxy" in FILE:3'],
        "nginx has it in http only; here the PROXY header tells the address",
    ),
}


@pytest.fixture
def said(tmp_path):
    (tmp_path / "logs").mkdir()

    def said(text):
        """What both say of a `stream {}`."""
        server = "server { listen 1883; return x; }"
        return said_of(
            tmp_path,
            f"events {{}}\nstream {{\n{text}\n{server}\n}}\n",
            directives=f"load_module {MODULE};",
        )

    return said


@pytest.mark.parametrize("case", SAME)
def test_the_words_are_the_same(said, case):
    ours, theirs, passes = said(SAME[case])
    assert ours == theirs
    assert passes == case.startswith("valid")


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_known_difference_is_still_one(said, case):
    text, our_words, their_words, reason = DIFFERENT[case]
    assert reason
    ours, theirs, _passes = said(text)
    assert (ours, theirs) == (our_words, their_words)

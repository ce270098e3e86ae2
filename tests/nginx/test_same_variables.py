"""The same file gives variables the values that they have under the installed nginx."""

import ipaddress
import random

import pytest

from lab import said

pytestmark = pytest.mark.needs("nginx")

WORDS = ["a", "A", "b", "abc", "ABC", "emqx", "com", "example", "www", "x-1", "*", ".", "..", "é"]


def names():
    """Texts of all kinds: some are in the maps below, many nearly."""
    chance = random.Random(5)
    made = ["", " ", ".", "..", "a.", ".a", "example.com", "example.com.", "example.com..", "~a"]
    made += [
        ".example.com",
        "www.example.com",
        "a.b.example.com",
        "EXAMPLE.COM.",
        "www.example.org",
    ]
    made += [
        "default",
        "include",
        "hostnames",
        "volatile",
        "\\x",
        "\\",
        "x\ty",
        "x\ny",
        "a b",
        "x;{",
    ]
    made += ["device-0001", "device-12", "DEVICE-7", "sensor/42/temp", "aaa@bbb", "mqttx_7db1709c"]
    made += [".".join(chance.choices(WORDS, k=chance.randrange(1, 5))) for _ in range(120)]
    made += ["".join(chance.choices("aAbB01-_/.", k=chance.randrange(1, 9))) for _ in range(120)]
    return list(dict.fromkeys(made))


MAPS = {
    "texts": """
        map $key $m {
            abc one; ABCD two; "" empty; "a b" space; default none; \\default escaped;
            \\include inc; "x;{" punctuation; é accent; \\\\x backslash; x\\ty tab;
            *.example.com star; \\~a tilde; a. dot; 1 1;
        }
    """,
    "without a default": "map $key $m { abc one; }",
    "wildcards": """
        map $key $m {
            hostnames;
            example.com exact; *.example.com below; .b.example.com itself; www.example.* behind;
            www.* www; .a a; *.a.b.a deep; a.a.a exact3; *.abc.com abc; abc.abc.* tail;
            default none; *.com com; .emqx emqx; *.a.emqx aemqx; a.emqx.* x; emqx.* y;
        }
    """,
    "wildcards after texts": "map $key $m { *.a text; .b text; hostnames; *.b.a wild; x.* tail; }",
    "expressions": r"""
        map $key $m {
            hostnames; *.abc wild; abc text;
            ~^[a-c]+$ small; ~*^[a-c]+$ any; "~^(\w+)-(\d+)$" "$2 of $1";
            ~*^(?<kind>device|sensor)/(?<rest>.*)$ "$kind=$rest"; ~\.$ dot; ~^é first;
            "~a\nb" never; ~(a)|(b) "<$1$2>"; default "none:$1";
        }
    """,
    "what PCRE alone knows": r"""
        map $key $m {
            "~^(?>a+)b" atomic; ~^\h blank; ~^x\Ky kept; "~^(\.(?1)?\.)$" recursion;
            ~^a++b possessive; ~^(?i)WWW inline; ~^\Qexample.com\E$ literal; ~^[[:alpha:]]+$ posix;
            ~\A\S+\Z whole;
            ~(?<=abc)\. behind; ~(*UTF8)^.$ character; ~^(a|ab)(?:c|bcd)?$ "$1"; ~\R newline;
            ~(?|(x)|(y)) "$1"; "~^\p{Lu}" upper;
        }
    """,
    "maps of maps": r"""
        map $key $first { ~^(.)(.*)$ "$2$1"; }
        map $first $second { ~^(?<one>.)(.*)$ "$one/$2"; default "-$first-"; }
        map "$second$key" $m { volatile; ~b b:$second; ~c c:$1; default "$first"; }
    """,
    "groups that take no part": r"""
        map $key $m { "~^(a)?(b)?(?<c>c)?" "[$1][$2][$3][$c]"; }
    """,
    "the last of several": """
        map $key $m { abc first; default x; }
        map $key $M { abc second; }
    """,
}


@pytest.mark.parametrize("case", MAPS)
def test_a_map(lab, case):
    keys = names()
    found = [
        said.to_keys(lab, program, MAPS[case], keys, answer="$m|$1|$2|$3|$m")
        for program in ("nginx", "tidegate")
    ]
    assert dict(zip(keys, found[1], strict=True)) == dict(zip(keys, found[0], strict=True))
    assert len(set(found[0])) > 1


def addresses():
    """Texts of all kinds: most are addresses, many at the edge of the networks below."""
    chance = random.Random(6)
    made = [
        "",
        "-",
        "x",
        "unix:",
        "10.0.0",
        "10.0.0.0.0",
        "10.0.0.256",
        "::",
        "::1",
        "::z",
        "[::1]",
    ]
    made += [
        "255.255.255.255",
        "255.255.255.254",
        "0.0.0.0",
        "10.0.0.1:80",
        " 10.0.0.1",
        "010.0.0.1",
    ]
    for edge in (
        "10.0.0.0",
        "10.1.0.0",
        "10.1.2.0",
        "10.1.2.128",
        "10.1.2.3",
        "11.0.0.0",
        "192.168.0.0",
    ):
        number = int(ipaddress.ip_address(edge))
        made += [str(ipaddress.ip_address(number + step)) for step in (-2, -1, 0, 1, 2, 255, 65535)]
    made += [f"::ffff:{one}" for one in made[-12:]]
    made += [f"2001:db8:{one}::{two}" for one in ("", "0", "1", "ff", "8000") for two in ("", "1")]
    made += ["2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "fe80::1"]
    made += [
        f"10.{chance.randrange(3)}.{chance.randrange(4)}.{chance.randrange(256)}"
        for _ in range(150)
    ]
    made += [str(ipaddress.ip_address(chance.getrandbits(32))) for _ in range(60)]
    return list(dict.fromkeys(made))


GEOS = {
    "networks": """
        geo $key $m {
            default none; 10.0.0.0/8 ten; 10.1.0.0/16 sixteen; 10.1.2.0/24 office; 10.1.2.3 one;
            10.1.2.128/25 half; 0.0.0.0/1 low; 255.255.255.255 nobody; 2001:db8::/32 six;
            2001:db8:1::/48 site; 2001:db8:1:2::/64 net; ::1 own; 10.0.0.77/31 pair;
        }
    """,
    "without a default": "geo $key $m { 10.0.0.0/8 ten; 2001:db8::/32 six; }",
    "networks taken out": """
        geo $key $m {
            10.0.0.0/8 ten; 10.1.0.0/16 sixteen; 10.1.2.0/24 office; default some; 10.0.0.0/8 twice;
            delete 10.1.0.0/16; delete 10.7.0.0/16; delete 2001:db8::/32; 2001:db8::/32 six;
        }
    """,
    "nothing": "geo $key $m { }",
    "ranges": """
        geo $key $m {
            ranges; default none; 10.0.0.0-10.255.255.255 ten; 10.1.2.0-10.1.2.127 low;
            10.1.2.3-10.1.2.3 one; 10.1.2.128-10.1.2.255 high; 11.0.0.0-11.0.0.0 eleven;
            192.168.0.0-192.168.255.255 lan; 10.1.2.100-10.1.2.127 end; 0.0.0.0-0.255.255.255 zero;
            10.1.2.0-10.1.2.2 begin; 192.168.0.0-192.169.255.255 more; 10.1.2.50-10.1.2.60 inner;
        }
    """,
    "ranges taken out": """
        geo $key $m {
            ranges; 10.0.0.0-10.2.255.255 ten; delete 10.1.0.0-10.1.255.255; 10.1.2.0-10.1.2.9 new;
            delete 10.0.0.0-10.0.0.9; 10.2.0.0-10.2.0.255 part; delete 10.2.0.0-10.2.0.255;
        }
    """,
    "ranges without a line": "geo $key $m { ranges; default none; }",
}


@pytest.mark.parametrize("case", GEOS)
def test_a_geo(lab, case):
    keys = addresses()
    found = [
        said.to_keys(lab, program, GEOS[case], keys, answer="<$m>")
        for program in ("nginx", "tidegate")
    ]
    assert dict(zip(keys, found[1], strict=True)) == dict(zip(keys, found[0], strict=True))


def test_a_geo_of_the_clients_own_address(lab):
    chance = random.Random(7)
    clients = ["127.0.0.1", "127.1.0.0", "127.1.255.255", "127.2.0.1", "127.255.255.254"]
    clients += [f"127.{chance.randrange(4)}.{chance.randrange(9)}.{n}" for n in range(1, 200)]
    blocks = """
        geo $m { 127.0.0.0/8 all; 127.1.0.0/16 one; 127.2.4.0/22 two; 127.3.0.0/18 three; }
        geo $remote_addr $range { ranges; 127.1.0.0-127.2.255.255 between; default beside; }
    """
    found = [
        said.to_clients(lab, program, blocks, clients, answer="$m $range")
        for program in ("nginx", "tidegate")
    ]
    assert dict(zip(clients, found[1], strict=True)) == dict(zip(clients, found[0], strict=True))
    assert len(set(found[0])) > 4


SPLITS = {
    "the page's": "20% 5; 20% 6; 20% 21; 20% 22; * 23;",
    "small shares": "0.5% a; 0.01% b; 10% c; 33.33% d;",
    "all": "100% a;",
    "thirds": "33.33% a; 33.33% b; 33.34% c;",
    "the rest first": "* a; * b;",
    "nothing": "",
}


@pytest.mark.parametrize("case", SPLITS)
def test_split_clients(lab, case):
    chance = random.Random(8)
    keys = ["", "a", "10.0.0.154321", "192.168.1.1050000", "2001:db8::155555", "é" * 40, "x" * 2000]
    keys += [f"{one}" for one in addresses()]
    keys += ["".join(chance.choices("abc-0123456789", k=length % 40 + 1)) for length in range(150)]
    keys = list(dict.fromkeys(keys))
    blocks = f"split_clients $key $m {{ {SPLITS[case]} }}"
    found = [
        said.to_keys(lab, program, blocks, keys, answer="<$m>") for program in ("nginx", "tidegate")
    ]
    assert dict(zip(keys, found[1], strict=True)) == dict(zip(keys, found[0], strict=True))

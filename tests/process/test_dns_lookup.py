"""One question to a name server: what is taken of its answers, for how long, and what is not."""

import asyncio
import ipaddress
import os
import random
import subprocess
import sys
import time

import dns.rcode
import dns.rdatatype
import pytest

from lab.dns import FORGED
from tidegate.process import dns_lookup
from tidegate.process.dns_lookup import MOST_ADDRESSES, MOST_WEIGHT, Lookup, service_name
from tidegate.process.dns_watch import pause_after

A, AAAA = dns.rdatatype.A, dns.rdatatype.AAAA
HOST = "emqx.test"
SERVICE = f"_mqtt._tcp.{HOST}"


@pytest.fixture
def names(lab):
    return lab.name_server()


def lookup(*servers, host=HOST, service="", kinds=(A,), valid=None, timeout=5.0):
    return Lookup(
        host,
        service,
        servers=[("127.0.0.1", server.port) for server in servers],
        kinds=kinds,
        valid=valid,
        timeout=timeout,
        turn=asyncio.Semaphore(8),
    )


def hosts(outcome):
    return [place.host for place in outcome.places]


async def test_addresses_come_in_an_order_that_stays(names):
    names.set(HOST, "A", "10.0.0.10", "10.0.0.9")
    names.set(HOST, "AAAA", "fd00::2", "fd00::1")
    asking = lookup(names, kinds=(A, AAAA))
    expected = ["10.0.0.9", "10.0.0.10", "fd00::1", "fd00::2"]
    assert hosts(await asking.ask()) == expected
    names.set(HOST, "A", "10.0.0.9", "10.0.0.10")
    assert hosts(await asking.ask()) == expected


async def test_only_the_wanted_family_is_asked_for(names):
    names.set(HOST, "A", "10.0.0.9")
    names.set(HOST, "AAAA", "fd00::1")
    assert hosts(await lookup(names, kinds=(AAAA,)).ask()) == ["fd00::1"]
    assert names.count(HOST, "A") == 0


@pytest.mark.parametrize(
    ("ttl", "valid", "seconds"),
    [(30, None, 30), (0, None, 1), (2**31 - 1, None, 86400), (30, 7, 7), (0, 7, 7)],
)
async def test_an_answer_holds_as_long_as_it_says_within_bounds(names, ttl, valid, seconds):
    names.ttl = ttl
    names.set(HOST, "A", "10.0.0.9")
    assert (await lookup(names, valid=valid).ask()).seconds == seconds


@pytest.mark.parametrize(("ttl", "seconds"), [(2, 2), (600, 10)])
async def test_no_such_name_is_an_answer_without_addresses(names, ttl, seconds):
    names.ttl = ttl
    outcome = await lookup(names).ask()
    assert (outcome.failure, outcome.places, outcome.seconds) == ("", (), seconds)


async def test_a_name_without_addresses_has_none(names):
    names.set(HOST, "TXT", '"x"')
    outcome = await lookup(names).ask()
    assert (outcome.failure, outcome.places) == ("", ())


@pytest.mark.parametrize(
    ("rcode", "words"),
    [
        (dns.rcode.SERVFAIL, "(2: Server failure)"),
        (dns.rcode.REFUSED, "(5: Operation refused)"),
        (dns.rcode.FORMERR, "(1: Format error)"),
        (dns.rcode.NOTIMP, "(4: Unimplemented)"),
    ],
)
async def test_what_a_name_server_refuses_has_nginx_s_words(names, rcode, words):
    names.rcodes[HOST] = rcode
    assert (await lookup(names).ask()).failure == words


async def test_resolver_timeout_ends_a_lookup(names):
    names.silent.add(HOST)
    began = time.monotonic()
    outcome = await lookup(names, timeout=0.2).ask()
    assert outcome.failure == "(110: Operation timed out)"
    assert 0.2 <= time.monotonic() - began < 3


async def test_the_next_name_server_is_asked_when_one_fails(lab, names):
    other = lab.name_server()
    names.rcodes[HOST] = dns.rcode.SERVFAIL
    other.set(HOST, "A", "10.0.0.9")
    assert hosts(await lookup(names, other).ask()) == ["10.0.0.9"]


async def test_a_truncated_answer_is_asked_for_over_tcp(names):
    names.set(HOST, "A", "10.0.0.9")
    names.truncated.add(HOST)
    assert hosts(await lookup(names).ask()) == ["10.0.0.9"]
    assert [how for _name, _kind, how in names.asked] == ["udp", "tcp"]


async def test_forged_answers_are_not_believed(names):
    names.set(HOST, "A", "10.0.0.9")
    names.forged.add(HOST)
    found = hosts(await lookup(names).ask())
    assert found == ["10.0.0.9"]
    assert FORGED not in found


async def test_aliases_are_followed(names):
    names.set(HOST, "CNAME", "alias.test.")
    names.set("alias.test", "A", "10.0.0.9")
    assert hosts(await lookup(names).ask()) == ["10.0.0.9"]


async def test_a_loop_of_aliases_is_a_failure_and_ends(names):
    names.set(HOST, "CNAME", "alias.test.")
    names.set("alias.test", "CNAME", f"{HOST}.")
    assert (await lookup(names).ask()).failure == "(2: Server failure)"
    assert len(names.asked) <= dns_lookup.MOST_ALIASES


async def test_a_host_that_can_be_none_is_a_failure(names):
    outcome = await lookup(names, host="a" * 64 + ".test").ask()
    assert outcome.failure == "(1: Format error)"
    assert names.asked == []


async def test_no_more_addresses_are_taken_than_the_bound(names):
    names.set(HOST, "A", *(f"10.0.{number // 250}.{number % 250}" for number in range(1000)))
    outcome = await lookup(names).ask()
    assert (len(outcome.places), outcome.left_out) == (MOST_ADDRESSES, 1000 - MOST_ADDRESSES)
    assert hosts(outcome)[:2] == ["10.0.0.0", "10.0.0.1"]


async def test_a_family_that_fails_keeps_what_it_had(names):
    names.set(HOST, "A", "10.0.0.9")
    names.set(HOST, "AAAA", "fd00::1")
    asking = lookup(names, kinds=(A, AAAA), timeout=0.3)
    await asking.ask()
    names.set(HOST, "A", "10.0.0.8")
    real = names.answer

    def without_ipv6(query):
        answer = real(query)
        if query.question[0].rdtype == AAAA:
            answer.answer.clear()
            answer.set_rcode(dns.rcode.SERVFAIL)
        return answer

    names.answer = without_ipv6
    assert hosts(await asking.ask()) == ["10.0.0.8", "fd00::1"]


@pytest.mark.parametrize("how", ["udp", "tcp"])
async def test_spoilt_answers_are_no_answers_or_have_places(names, how):
    names.set(HOST, "A", "10.0.0.9")
    serve(names, (1, 1, 1883, "a.test", "10.0.0.1"), (2, 1, 1883, "b.test", "10.0.0.2"))
    if how == "tcp":
        names.truncated.update({SERVICE, HOST})
    draw = random.Random(how)

    def spoil(data):
        data = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            # The id is left, or nothing more would be read.
            data[draw.randrange(2, len(data))] = draw.randrange(256)
        return bytes(data[: draw.choice([len(data), draw.randrange(len(data) + 1)])])

    names.spoil = spoil
    for _ in range(15):
        for service in ("", "mqtt"):
            outcome = await lookup(names, service=service, timeout=0.03).ask()
            assert not (outcome.failure and outcome.places)
            for place in outcome.places:
                ipaddress.ip_address(place.host)


# Services.


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("mqtt", "_mqtt._tcp.emqx.test"),
        ("_mqtt._tcp", "_mqtt._tcp.emqx.test"),
        ("one.two", "one.two.emqx.test"),
    ],
)
def test_a_service_is_a_name_by_nginx_s_rule(service, name):
    assert service_name(service, HOST) == name


def serve(names, *records):
    """Let the service have these (priority, weight, port, host, address)."""
    names.set(
        SERVICE, "SRV", *(f"{p} {w} {port} {host}." for p, w, port, host, _address in records)
    )
    for *_rest, host, address in records:
        names.set(host, "A", address)


async def test_the_best_priority_is_primary_and_the_others_are_backups(names):
    serve(
        names,
        (20, 5, 1884, "c.test", "10.0.0.3"),
        (10, 0, 1883, "b.test", "10.0.0.2"),
        (10, 2, 1883, "a.test", "10.0.0.1"),
    )
    outcome = await lookup(names, service="mqtt").ask()
    assert [tuple(place) for place in outcome.places] == [
        ("10.0.0.1", 1883, 2, "a.test", False),
        ("10.0.0.2", 1883, 1, "b.test", False),
        ("10.0.0.3", 1884, 5, "c.test", True),
    ]


async def test_the_next_priority_is_primary_where_the_best_has_no_address(names):
    serve(
        names,
        (10, 1, 1883, "a.test", "10.0.0.1"),
        (20, 1, 1883, "b.test", "10.0.0.2"),
    )
    names.drop("a.test")
    outcome = await lookup(names, service="mqtt").ask()
    assert [(place.name, place.backup) for place in outcome.places] == [("b.test", False)]


async def test_a_host_that_fails_keeps_what_it_had_and_is_told_of(names):
    serve(
        names,
        (10, 1, 1883, "a.test", "10.0.0.1"),
        (10, 1, 1883, "b.test", "10.0.0.2"),
    )
    asking = lookup(names, service="mqtt")
    await asking.ask()
    names.rcodes["b.test"] = dns.rcode.SERVFAIL
    known, new = await asking.ask(), await lookup(names, service="mqtt").ask()
    assert (known.failure, new.failure) == ("", "")
    told = ("b.test could not be resolved (2: Server failure)",)
    assert (known.missing, new.missing) == (told, told)
    assert [place.name for place in known.places] == ["a.test", "b.test"]
    assert [place.name for place in new.places] == ["a.test"]


async def test_a_service_none_of_whose_hosts_can_be_resolved_is_a_failure(names):
    serve(names, (10, 1, 1883, "a.test", "10.0.0.1"))
    names.rcodes["a.test"] = dns.rcode.SERVFAIL
    assert (await lookup(names, service="mqtt").ask()).failure == "(2: Server failure)"


async def test_a_zone_may_say_that_there_is_no_service(names):
    names.set(SERVICE, "SRV", "0 0 0 .")
    outcome = await lookup(names, service="mqtt").ask()
    assert (outcome.failure, outcome.places) == ("", ())


async def test_a_service_with_a_host_that_fails_is_asked_for_again_soon(names):
    names.ttl = 600
    serve(names, (1, 1, 1883, "a.test", "10.0.0.1"), (1, 1, 1883, "b.test", "10.0.0.2"))
    names.rcodes["b.test"] = dns.rcode.SERVFAIL
    outcome = await lookup(names, service="mqtt").ask()
    assert outcome.seconds == dns_lookup.MISSING_SECONDS


async def test_what_is_no_host_or_no_port_is_left_out(names):
    names.set(
        SERVICE, "SRV", "1 1 1883 a.test.", "1 1 0 a.test.", "1 1 1883 a\\010b.test.", '1 1 1 \\".'
    )
    names.set("a.test", "A", "10.0.0.1")
    outcome = await lookup(names, service="mqtt").ask()
    assert [(place.name, place.port) for place in outcome.places] == [("a.test", 1883)]


async def test_weights_are_made_small_in_proportion(names):
    serve(
        names,
        (1, 60000, 1883, "a.test", "10.0.0.1"),
        (1, 20000, 1883, "b.test", "10.0.0.2"),
        (1, 1, 1883, "c.test", "10.0.0.3"),
    )
    outcome = await lookup(names, service="mqtt").ask()
    first, second, third = (place.weight for place in outcome.places)
    assert (first, second, third) == (768, 256, 1)
    assert first + second + third <= MOST_WEIGHT + 2


async def test_weights_with_a_common_part_keep_their_proportion_exactly(names):
    serve(
        names,
        (1, 30000, 1883, "a.test", "10.0.0.1"),
        (1, 20000, 1883, "b.test", "10.0.0.2"),
    )
    outcome = await lookup(names, service="mqtt").ask()
    first, second = (place.weight for place in outcome.places)
    assert first * 2 == second * 3


async def test_a_service_of_a_thousand_hosts_is_bounded(names):
    serve(names, *((1, 1, 1883, f"n{number}.test", "10.0.0.1") for number in range(1000)))
    outcome = await lookup(names, service="mqtt").ask()
    assert len(outcome.places) == dns_lookup.MOST_HOSTS
    assert len(names.asked) <= 2 + dns_lookup.MOST_HOSTS


WITHOUT_IMPORTS = """
import asyncio, sys
import dns.rdatatype
from tidegate.process.dns_watch import DnsWatch
from tidegate.process.dns_lookup import Lookup

class Refuse:
    def find_spec(self, name, *where):
        if any(finder.find_spec(name, *where) for finder in sys.meta_path[1:]):
            raise SystemExit(f"{name} is imported late")

async def main():
    sys.meta_path.insert(0, Refuse())
    kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
    for host, service in (("emqx.test", ""), ("alias.test", ""), ("none.test", ""),
                          ("emqx.test", "mqtt"), ("long.test", "")):
        lookup = Lookup(host, service, servers=[("127.0.0.1", int(sys.argv[1]))], kinds=kinds,
                        valid=None, timeout=5.0, turn=asyncio.Semaphore(8))
        outcome = await lookup.ask()
        print(host, service, len(outcome.places), outcome.failure)

asyncio.run(main())
"""


def test_nothing_is_imported_once_the_rights_are_gone(names):
    names.set(HOST, "A", "10.0.0.1")
    names.set("alias.test", "CNAME", f"{HOST}.")
    names.set("long.test", "A", "10.0.0.1")
    names.truncated.add("long.test")
    serve(names, (1, 1, 1883, "a.test", "10.0.0.1"))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMPORTS, str(names.port)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "emqx.test  1 ",
        "alias.test  1 ",
        "none.test  0 ",
        "emqx.test mqtt 1 ",
        "long.test  1 ",
    ]


def test_failures_are_tried_again_after_longer_and_longer_pauses():
    assert [pause_after(count) for count in (1, 2, 3, 6, 1000)] == [1.0, 2.0, 4.0, 30.0, 30.0]

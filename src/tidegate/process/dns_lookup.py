"""One name, asked for again and again: from a question to addresses, by dnspython.

Answers may be anybody's: what they can cost is bounded here. What was known of a part of an answer
(IPv6 addresses, one host of a service) stays known while that part alone cannot be asked for.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dns.rdata import Rdata
    from dns.rdatatype import RdataType

# Dnspython imports this, and types of records, when it meets them: too late for a process that has
# given up its rights to read them.
BACKEND = dns.asyncbackend.get_backend("asyncio")

# An answer that holds for no time at all would be asked for without end; one that holds for 68
# years, as the format allows, would never be asked for again.
SOONEST_SECONDS = 1.0
LATEST_SECONDS = 86_400.0

# nginx's, for an answer without addresses; sooner where the zone says so.
EMPTY_SECONDS = 10.0

# How soon a service is asked for again some of whose hosts could not be resolved.
MISSING_SECONDS = 5.0

# How long one name server may take before the next one is asked, or the same once more.
TRY_SECONDS = 2.0

# Addresses of one name that are used: each is a row of the scoreboard and a place in every worker.
# A Kubernetes service of 5,000 pods is not a broker's; clusters of EMQX have some tens of nodes.
MOST_ADDRESSES = 256
# Hosts of one service that are asked for.
MOST_HOSTS = 64
# Aliases followed by questions of our own, beside those that are in one answer.
MOST_ALIASES = 8

# The weights of a service's records, each up to 65,535, are made smaller until their sum is this:
# `hash ... consistent` has 160 points for each unit of weight, made while sessions run.
MOST_WEIGHT = 1024

HOST = re.compile(r"[A-Za-z0-9._-]{1,255}")

# nginx's words (ngx_resolver_strerror).
WORDS = {
    1: "Format error",
    2: "Server failure",
    3: "Host not found",
    4: "Unimplemented",
    5: "Operation refused",
    errno.ETIMEDOUT: "Operation timed out",
}


class Place(NamedTuple):
    """An address of an answer; what its SRV record says is 0, 0, "" and False without one."""

    host: str
    port: int = 0
    weight: int = 0
    name: str = ""
    backup: bool = False


class Outcome(NamedTuple):
    """What came of a question.

    `failure` is why nothing is known, in nginx's words, else "". The answer holds for `seconds`.
    `left_out` counts addresses beyond the bound; `missing` says which hosts of a service are.
    """

    places: tuple[Place, ...] = ()
    seconds: float = 0.0
    failure: str = ""
    left_out: int = 0
    missing: tuple[str, ...] = ()


class Records(NamedTuple):
    """What a name server said of one name; with a `failure`, what was known before."""

    values: tuple[Rdata, ...] = ()
    seconds: float = LATEST_SECONDS
    failure: str = ""


class Lookup:
    """A name with those who are asked for it, and what it last was."""

    def __init__(
        self,
        host: str,
        service: str,
        *,
        servers: Sequence[tuple[str, int]],
        kinds: Sequence[RdataType],
        valid: float | None,
        timeout: float,
        turn: asyncio.Semaphore,
    ) -> None:
        """`valid` seconds, if not None, stand for what answers say; `turn` bounds all lookups."""
        self._host = host
        self._service = service
        self._kinds = tuple(kinds)
        self._valid = valid
        self._turn = turn
        self._known: dict[tuple[dns.name.Name, RdataType], tuple[Rdata, ...]] = {}
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address, port) for address, port in servers
        ]
        self._resolver.timeout = min(TRY_SECONDS, timeout)
        self._resolver.lifetime = timeout

    async def ask(self) -> Outcome:
        """Ask once; raises nothing for what name servers say."""
        try:
            if self._service:
                return await self._ask_service()
            records = await self._addresses(dns.name.from_text(self._host))
        except (dns.exception.DNSException, UnicodeError):  # a name that cannot be one
            return Outcome(failure=_words(dns.rcode.FORMERR))
        if records.failure:
            return Outcome(failure=records.failure)
        places = sorted({Place(_address(one)) for one in records.values}, key=_order)
        return self._outcome(places, records.seconds)

    async def _ask_service(self) -> Outcome:
        asked = dns.name.from_text(service_name(self._service, self._host))
        records = await self._records(asked, dns.rdatatype.SRV)
        if records.failure:
            return Outcome(failure=records.failure)
        services = sorted(
            (one for one in records.values if isinstance(one, SRV) and _is_host(one.target)),
            key=lambda one: (one.priority, one.target, one.port),
        )
        hosts = list(dict.fromkeys(one.target for one in services))[:MOST_HOSTS]
        found = await asyncio.gather(*map(self._addresses, hosts))
        by_host = dict(zip(hosts, found, strict=True))
        self._known = {key: known for key, known in self._known.items() if key[0] in by_host}
        missing = tuple(
            f"{host.to_text(omit_final_dot=True)} could not be resolved {one.failure}"
            for host, one in by_host.items()
            if one.failure
        )
        if missing and len(missing) == len(hosts):
            return Outcome(failure=found[0].failure, missing=missing)
        bound = MISSING_SECONDS if missing else LATEST_SECONDS
        seconds = min([bound, records.seconds, *(one.seconds for one in found)])
        return self._outcome(_places_of(services, by_host), seconds, missing)

    def _outcome(
        self, places: Sequence[Place], seconds: float, missing: tuple[str, ...] = ()
    ) -> Outcome:
        if self._valid is not None:
            seconds = self._valid
        elif not places:
            seconds = min(seconds, EMPTY_SECONDS)
        return Outcome(
            places=tuple(_lighter(places[:MOST_ADDRESSES])),
            seconds=min(max(seconds, SOONEST_SECONDS), LATEST_SECONDS),
            left_out=max(0, len(places) - MOST_ADDRESSES),
            missing=missing,
        )

    async def _addresses(self, name: dns.name.Name) -> Records:
        """All addresses of a host; a failure where no name server says any of them."""
        found = await asyncio.gather(*(self._records(name, kind) for kind in self._kinds))
        values: list[Rdata] = []
        for kind, one in zip(self._kinds, found, strict=True):
            if not one.failure:
                self._known[name, kind] = one.values
            values += self._known.get((name, kind), ())
        failures = [one.failure for one in found if one.failure]
        failed = failures and (len(failures) == len(found) or not values)
        seconds = min(one.seconds for one in found)
        return Records(tuple(values), seconds, failure=failures[0] if failed else "")

    async def _records(self, name: dns.name.Name, kind: RdataType) -> Records:
        """The records of a name, through its aliases."""
        seconds = LATEST_SECONDS
        for _ in range(MOST_ALIASES):
            try:
                async with self._turn:
                    answer = await self._resolver.resolve(
                        name, kind, raise_on_no_answer=False, search=False, backend=BACKEND
                    )
            except dns.resolver.NXDOMAIN as error:
                return Records(seconds=min(seconds, _negative_seconds(error)))
            except (dns.exception.DNSException, OSError) as error:
                return Records(failure=_words(_code(error)))
            seconds = min(seconds, float(answer.chaining_result.minimum_ttl))
            if answer.rrset is not None:
                return Records(tuple(answer.rrset), seconds)
            if answer.canonical_name == name:
                return Records(seconds=seconds)
            name = answer.canonical_name
        return Records(failure=_words(dns.rcode.SERVFAIL))


def service_name(service: str, host: str) -> str:
    """The name whose SRV records tell of a service, by nginx's rule."""
    return f"{service}.{host}" if "." in service else f"_{service}._tcp.{host}"


def _is_host(name: dns.name.Name) -> bool:
    """Whether a record names a host at all; `.` is how a zone says that there is no service."""
    return HOST.fullmatch(name.to_text(omit_final_dot=True)) is not None and len(name) > 1


def _address(record: Rdata) -> str:
    assert isinstance(record, (A, AAAA))
    return str(record.address)


def _order(place: Place) -> tuple[bool, str, bool, bytes, int]:
    """An order that does not change as name servers turn their records about."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    packed = socket.inet_pton(family, place.host)
    return place.backup, place.name, family == socket.AF_INET6, packed, place.port


def _places_of(services: Iterable[SRV], by_host: dict[dns.name.Name, Records]) -> list[Place]:
    """The places of a service: backups are all but those of the best priority that is there."""
    there = [one for one in services if one.target in by_host and by_host[one.target].values]
    best = min((one.priority for one in there), default=0)
    places = {
        Place(
            _address(record),
            port=one.port,
            weight=max(1, one.weight),
            name=one.target.to_text(omit_final_dot=True),
            backup=one.priority != best,
        )
        for one in there
        if one.port
        for record in by_host[one.target].values
    }
    return sorted(places, key=_order)


def _lighter(places: Sequence[Place]) -> list[Place]:
    """The same with smaller weights, in the same proportion as far as that goes."""
    total = sum(place.weight for place in places)
    if total <= max(MOST_WEIGHT, len(places)):
        return list(places)
    common = reduce(gcd, (place.weight for place in places))
    scale = max(total / MOST_WEIGHT, common)
    return [place._replace(weight=max(1, round(place.weight / scale))) for place in places]


def _negative_seconds(error: dns.resolver.NXDOMAIN) -> float:
    """How long a name is not to be, as its zone says; LATEST_SECONDS where it says nothing."""
    responses = error.kwargs.get("responses") or {}
    found = [one.resolve_chaining().minimum_ttl for one in responses.values()]
    return min([LATEST_SECONDS, *map(float, found)])


def _code(error: Exception) -> int:
    """Why there is no answer: the last code of a name server, or that of a failure."""
    if isinstance(error, dns.resolver.LifetimeTimeout):
        return errno.ETIMEDOUT
    errors = error.kwargs.get("errors") if isinstance(error, dns.resolver.NoNameservers) else None
    for *_server, response in reversed(errors or []):
        if isinstance(response, dns.message.Message) and response.rcode():
            return int(response.rcode())
    return int(dns.rcode.SERVFAIL)


def _words(code: int) -> str:
    return f"({code}: {WORDS.get(code, 'Unknown error')})"

"""The addresses of one `proxy_bind`: their turns, and what is remembered of those without ports."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace

import pytest

from tidegate.config.model import Bind, Peer
from tidegate.engine.address import unpack_address
from tidegate.stream import source
from tidegate.stream.source import InvalidAddressError, NoSourceError, Sources
from tidegate.variables.template import compile_template, parse
from tidegate.wire.address import Address

A, B, C = "127.0.0.2", "127.0.0.3", "127.0.0.4"
V6 = "fd00::2"
PORTLESS = errno.EADDRNOTAVAIL
NOT_OURS = -errno.EADDRNOTAVAIL


def family_of(host):
    if host.startswith("unix:"):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def peers(*hosts):
    addresses = [Address(family=family_of(host), host=host, port=1) for host in hosts]
    numbers = {"weight": 1, "max_conns": 0, "max_fails": 1, "fail_timeout": 10}
    return [Peer(address=a, name="", down=False, backup=False, **numbers) for a in addresses]


class Sessions:
    """Sessions that take addresses and miss them; the clock is the test's."""

    def __init__(self, monkeypatch, *addresses, hosts=("10.0.0.1", "10.0.0.2")):
        self.now = 1000.0
        monkeypatch.setattr(source, "time", SimpleNamespace(monotonic=lambda: self.now))
        bind = Bind(addresses=tuple(parse(one) for one in addresses), transparent=False)
        getters = {"own": lambda session: session.own}
        self.sources = Sources(bind, peers(*hosts), lambda text: compile_template(text, getters))

    def take(self, peer=0, *, own="", session=None):
        session = session or SimpleNamespace(source="", misses=0, own=own, peer=peer)
        packed = self.sources.take(session, peer)
        if packed:
            host = unpack_address(packed)[1]
            assert session.source in {host, f"[{host}]:{unpack_address(packed)[2]}"}
        return session

    def texts(self, count, peer=0):
        return [self.take(peer).source for _ in range(count)]

    def miss(self, peer=0, error=PORTLESS, **options):
        session = self.take(peer, **options)
        assert self.sources.missed(session, error)
        return session.source


@pytest.fixture
def sessions(monkeypatch):
    return lambda *addresses, **options: Sessions(monkeypatch, *addresses, **options)


def test_addresses_take_turns_for_each_node(sessions):
    use = sessions(A, B, C)
    assert use.texts(4) == [A, B, C, A]
    assert use.texts(2, peer=1) == [A, B]
    assert use.texts(2) == [B, C]


def test_one_address_is_taken_always(sessions):
    assert sessions(A).texts(3) == [A] * 3


def test_an_address_without_ports_is_left_out_for_a_while_for_that_node_alone(sessions):
    use = sessions(A, B, C)
    assert use.miss() == A
    assert use.texts(4) == [B, C, B, C]
    assert use.texts(3, peer=1) == [A, B, C]
    use.now += source.FULL_SECONDS
    assert A in use.texts(3)


@pytest.mark.parametrize("addresses", [[A], [A, B, C]])
def test_when_all_are_left_out_they_are_named_in_their_order(sessions, addresses):
    use = sessions(*addresses)
    use.take()
    for _ in addresses:
        use.miss()
    with pytest.raises(NoSourceError) as caught:
        use.take()
    assert caught.value.addresses == ", ".join(addresses)
    assert caught.value.reason == "(99: Cannot assign requested address)"
    assert not caught.value.bound
    use.now += source.FULL_SECONDS
    assert use.take().source in addresses


def test_each_is_told_once_a_minute(sessions):
    use = sessions(A, B)
    use.miss()
    assert use.sources.has_news(0)
    assert not use.sources.has_news(1)
    assert use.sources.news(0) == {A: PORTLESS}
    for _ in range(3):
        use.now += source.FULL_SECONDS
        use.miss()
        use.miss()
        use.sources.news(0)
    use.now += source.FULL_SECONDS
    use.miss()
    assert not use.sources.has_news(0)
    use.now += source.QUIET_SECONDS
    assert use.sources.news(0) == {}
    missed = {use.miss(), use.miss()}
    assert use.sources.news(0).keys() == missed


def test_who_is_refused_tells_all_at_once(sessions):
    use = sessions(A, B)
    use.miss()
    use.miss()
    with pytest.raises(NoSourceError):
        use.take()
    assert not use.sources.has_news(0)


@pytest.mark.parametrize("error", [NOT_OURS, -errno.EADDRINUSE])
def test_what_cannot_be_bound_is_left_out_of_a_list(sessions, error):
    use = sessions(A, B)
    assert use.miss(error=error) == A
    assert use.texts(2) == [B, B]
    assert use.miss(error=PORTLESS) == B
    with pytest.raises(NoSourceError) as caught:
        use.take()
    assert not caught.value.bound


def test_a_list_of_which_nothing_can_be_bound_says_so(sessions):
    use = sessions(A, B)
    use.miss(error=NOT_OURS)
    use.miss(error=NOT_OURS)
    with pytest.raises(NoSourceError) as caught:
        use.take()
    assert caught.value.bound


def test_a_single_address_that_cannot_be_bound_is_the_session_s_own_error(sessions):
    use = sessions(A)
    assert not use.sources.missed(use.take(), NOT_OURS)
    assert use.take().source == A


@pytest.mark.parametrize("error", [errno.ECONNREFUSED, errno.ETIMEDOUT, -errno.EACCES])
def test_other_errors_are_not_the_address_s_fault(sessions, error):
    use = sessions(A, B)
    assert not use.sources.missed(use.take(), error)
    assert use.texts(2) == [B, A]


def test_nodes_get_addresses_of_their_family(sessions):
    use = sessions(A, V6, B, hosts=("10.0.0.1", "fd00::1"))
    assert use.texts(3) == [A, B, A]
    assert use.texts(2, peer=1) == [V6, V6]


def test_a_lone_address_of_the_other_family_is_left_to_the_kernel(sessions):
    assert sessions(V6, hosts=("10.0.0.1",)).texts(1) == [V6]


def test_a_variable_is_read_for_each_session(sessions):
    use = sessions("$own")
    assert use.take(own=A).source == A
    assert use.miss(own=B) == B
    assert use.take(own=A).source == A
    with pytest.raises(NoSourceError, match=B):
        use.take(own=B)


def test_an_empty_variable_binds_to_nothing(sessions):
    assert sessions("$own").take().source == ""


@pytest.mark.parametrize("value", ["eth0", "127.0.0.1:x", "[::1]"])
def test_a_value_that_is_no_address_is_told(sessions, value):
    with pytest.raises(InvalidAddressError):
        sessions("$own").take(own=value)


def test_a_variable_that_gives_ever_new_addresses_ends(sessions):
    use = sessions("$own")
    session = use.take(own="10.1.0.0")
    rounds = 0
    while use.sources.missed(session, PORTLESS):
        rounds += 1
        assert rounds < 10
        session.own = f"10.1.0.{rounds}"
        use.take(session=session)


def test_few_of_many_addresses_are_remembered(sessions):
    use = sessions("$own")
    for number in range(3 * source.MOST_REMEMBERED):
        use.miss(own=f"10.1.{number >> 8}.{number & 255}")
    assert use.take(own="10.1.0.0").source == "10.1.0.0"
    assert not use.sources.has_news(0)


def test_a_node_on_a_unix_socket_needs_no_address(sessions):
    assert sessions(A, B, hosts=("unix:/a",)).texts(2) == ["", ""]

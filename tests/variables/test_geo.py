"""`geo` finds the smallest network; tests/nginx compares with nginx itself."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.variables.geo import Geo, family_of, finder
from tidegate.variables.intervals import Intervals, from_networks, from_ranges
from tidegate.wire.network import Network

NETWORKS = st.dictionaries(
    st.integers(0, 8).flatmap(
        lambda length: st.integers(0, (1 << length) - 1).map(
            lambda base, length=length: (base << 8 - length, length)
        )
    ),
    st.sampled_from("abc"),
)


@given(NETWORKS)
def test_the_smallest_network_that_holds_a_number_counts(networks):
    found = from_networks(networks, bits=8, rest="-")
    for number in range(256):
        held = [
            (length, value)
            for (base, length), value in networks.items()
            if number >> 8 - length == base >> 8 - length
        ]
        assert found.find(number) == max(held, default=(0, "-"))[1]


@given(NETWORKS)
def test_intervals_rise_and_each_differs_from_the_one_before(networks):
    found = from_networks(networks, bits=8, rest="-")
    assert found.starts[0] == 0
    assert list(found.starts) == sorted(set(found.starts))
    assert all(one != two for one, two in zip(found.values, found.values[1:], strict=False))


def test_ranges_are_found_by_their_ends():
    found = from_ranges([(2, 4, "a"), (5, 5, "b"), (9, 9, "a")], rest="")
    assert [found.find(number) for number in range(11)] == [
        "", "", "a", "a", "a", "b", "", "", "", "a", "",
    ]  # fmt: skip


NOBODY = (1 << 32) - 1
GEO = Geo(
    address="remote_addr",
    inet=Intervals(starts=(0, 10 << 24, 11 << 24, NOBODY), values=("", "ten", "", "none")),
    inet6=Intervals(starts=(0, 1, 2), values=("six", "own", "six")),
    proxies=(Network(family=2, base=127 << 24, mask=255 << 24),),
)


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("10.0.0.0", "ten"), ("10.255.255.255", "ten"), ("11.0.0.0", ""), ("010.000.0.1", "ten"),
        ("::ffff:10.1.1.1", "ten"), ("::1", "own"), ("2001:db8::1", "six"),
        ("", "none"), (None, "none"), ("unix:", "none"), ("10.0.0", "none"), ("x", "none"),
        ("10.0.0.1:80", "none"), ("[::1]", "none"), ("10.0.0.٣", "none"), ("10.0.0.1\0", "none"),
    ],
)  # fmt: skip
def test_an_address_has_the_value_of_its_interval(address, value):
    assert GEO.find(address) == value


@given(st.ip_addresses())
def test_every_address_is_read(address):
    family, text = family_of(str(address))
    assert family
    assert ipaddress.ip_address(text) == address


@pytest.mark.parametrize(
    ("own", "told", "value"),
    [
        ("127.0.0.1", "10.0.0.1", "ten"),
        ("127.0.0.1", None, ""),
        ("127.0.0.1", "", ""),
        ("9.0.0.1", "10.0.0.1", ""),
        ("unix:", "10.0.0.1", "none"),
    ],
)
def test_a_proxy_tells_the_address_to_look_up(own, told, value):
    getters = {"remote_addr": lambda _session: own, "proxy_protocol_addr": lambda _session: told}
    assert finder(GEO, getters)(None) == value

"""A rewritten CONNECT says what it was told to say, and is else the same to the byte."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mqtt.samples import LIMIT, VALID, WILL, connect, framed
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.rewrite import KEEP, rewrite

valid = pytest.mark.parametrize("packet", VALID.values(), ids=VALID.keys())
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=300)
packets = st.sampled_from(sorted(VALID.values()))


def parse(packet):
    return parse_connect(packet, limit=LIMIT)


def changed(packet, **fields):
    return rewrite(parse(packet), **fields)


def refused(packet, **fields):
    with pytest.raises(MqttError) as caught:
        changed(packet, **fields)
    assert caught.value.fault is Fault.VALUE
    return caught.value.message


@valid
def test_with_nothing_to_change_every_byte_stays(packet):
    assert changed(packet) == packet
    assert changed(packet, client_id=parse(packet).client_id) == packet


@given(packets, texts)
def test_a_new_identifier_changes_itself_and_the_length_alone(packet, client_id):
    before = parse(packet)
    after = parse(rewrite(before, client_id=client_id))
    assert after.client_id == client_id
    assert body_around(after, after.client_id_at, after.will_at) == body_around(
        before, before.client_id_at, before.will_at
    )


@given(packets, texts)
def test_a_new_user_name_changes_itself_its_flag_and_the_length_alone(packet, username):
    before = parse(packet)
    after = parse(rewrite(before, username=username))
    assert after.username == username
    assert after.flags == before.flags | 0x80
    assert body_around(after, after.username_at, after.password_at) == body_around(
        before, before.username_at, before.password_at
    )


@given(packets, st.one_of(texts, st.binary(max_size=300)))
def test_a_new_password_changes_itself_its_flag_and_the_length_alone(packet, password):
    before = parse(packet)
    assume(before.version == 5 or before.username is not None)
    after = parse(rewrite(before, password=password))
    expected = password.encode() if isinstance(password, str) else password
    assert after.password == expected
    assert after.flags == before.flags | 0x40
    end = len(after.packet)
    assert body_around(after, after.password_at, end) == body_around(
        before, before.password_at, len(before.packet)
    )


@given(packets, texts, texts, st.one_of(texts, st.binary(max_size=300)))
def test_there_and_back_gives_the_original(packet, client_id, username, password):
    before = parse(packet)
    # A flag whose field is missing (3.1) is cleared for good when the field is taken out again.
    assume((before.username is not None) == bool(before.flags & 0x80))
    assume(before.has_password == bool(before.flags & 0x40))
    there = parse(rewrite(before, client_id=client_id, username=username, password=password))
    back = rewrite(
        there, client_id=before.client_id, username=before.username, password=before.password
    )
    # The identifier may hold control characters in none of the samples, so all can be put back.
    assert shortest_length(back) == shortest_length(packet)


def body_around(found, start, end):
    """The packet's body without the flags and without `start` to `end`."""
    body = found.packet[: found.flags_at] + found.packet[found.flags_at + 1 : start]
    return body[found.body_at :], found.packet[end:]


def shortest_length(packet):
    return framed(packet[parse(packet).body_at :])


@pytest.mark.parametrize(
    "name",
    ["3.1", "3.1 with flags of missing user name and password", "3.1.1", "5", "5 with a long will"],
)
def test_removing_what_was_not_sent_changes_no_byte_but_a_flag_without_a_field(name):
    packet = VALID[name]
    before = parse(packet)
    after = parse(changed(packet, username=None, password=None))
    assert after.flags == before.flags & 0x3F
    assert after.client_id == before.client_id
    assert len(after.packet) == len(packet)


def test_a_user_name_is_inserted_between_will_and_password():
    packet = connect(5, will=WILL, password=b"pass")
    expected = connect(5, will=WILL, username=b"new", password=b"pass")
    assert changed(packet, username="new") == expected


def test_a_user_name_is_inserted_behind_the_identifier():
    assert changed(connect(4), username="new") == connect(4, username=b"new")


def test_user_name_and_password_are_inserted_together():
    expected = connect(3, username="ü".encode(), password=b"\0\xff")
    assert changed(connect(3), username="ü", password=b"\0\xff") == expected


def test_removing_a_user_name_keeps_the_password_in_5():
    packet = connect(5, username=b"u", password=b"p")
    assert changed(packet, username=None) == connect(5, password=b"p")


@pytest.mark.parametrize("version", [3, 4])
def test_removing_a_user_name_removes_the_password_before_5(version):
    packet = connect(version, username=b"u", password=b"p")
    assert changed(packet, username=None) == connect(version)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_removing_a_password_keeps_the_user_name(version):
    packet = connect(version, username=b"u", password=b"p")
    assert changed(packet, password=None) == connect(version, username=b"u")


@pytest.mark.parametrize("version", [3, 4])
def test_a_password_needs_a_user_name_before_5(version):
    words = "no password without a user name"
    assert words in refused(connect(version), password="p")
    assert words in refused(connect(version, username=b"u"), username=None, password="p")
    assert changed(connect(5), password="p") == connect(5, password=b"p")


def test_a_flag_without_its_field_does_not_make_a_password_the_user_name():
    packet = VALID["3.1 with flags of missing user name and password"]
    assert "no password without a user name" in refused(packet, password="p")
    found = parse(changed(packet, username="u"))
    assert (found.username, found.password) == ("u", None)


def test_empty_values_are_values():
    found = parse(changed(connect(4), client_id="", username="", password=""))
    assert (found.client_id, found.username, found.password) == ("", "", b"")


@pytest.mark.parametrize(
    ("version", "length", "size"),
    [(3, 127, 1), (4, 127, 1), (5, 127, 1), (4, 16_383, 2), (5, 16_383, 2), (5, 2_097_151, 3)],
)
def test_the_length_grows_and_shrinks_across_its_bytes(version, length, size):
    properties = user_property() * 30 if length > 1_000_000 else b""

    def packet_with(will: int, client_id: int) -> bytes:
        fields = {"will": (b"t", b"x" * will), "properties": properties}
        return connect(version, b"i" * client_id, **fields)

    spare = length - len(packet_with(0, 0)) + 2
    will = min(spare - 5, 65_535)
    client_id = length - behind_length(packet_with(will, 0))
    packet = packet_with(will, client_id)
    assert behind_length(packet) == length
    assert parse(packet).body_at == 1 + size
    longer = changed(packet, client_id="i" * (client_id + 1))
    assert longer == packet_with(will, client_id + 1)
    assert parse(longer).body_at == 2 + size
    assert changed(longer, client_id="i" * client_id) == packet


def user_property() -> bytes:
    """The longest value that there can be."""
    return b"\x26\0\1k\xff\xff" + b"v" * 65_535


def behind_length(packet) -> int:
    return len(packet) - parse(packet).body_at


def test_a_length_written_longer_than_needed_stays_while_it_is_right():
    packet = VALID["3.1.1 with a length longer than needed"]
    assert changed(packet, client_id="device-2") == packet.replace(b"device-1", b"device-2")
    assert changed(packet, client_id="d") == connect(4, b"d")


def test_the_longest_values_fit_and_longer_ones_are_refused():
    longest = "x" * 65_535
    found = parse(changed(connect(4), client_id=longest, username=longest, password=longest))
    assert len(found.client_id) == len(found.username) == len(found.password) == 65_535
    assert "65536 bytes" in refused(connect(4), client_id=longest + "x")
    assert "65536 bytes" in refused(connect(4), username="ü" * 32_768)
    assert "65536 bytes" in refused(connect(5), password=b"\0" * 65_536)


@pytest.mark.parametrize("field", ["client_id", "username", "password"])
@pytest.mark.parametrize("character", ["\0", "\x1f", "\n", "\x7f", "\x80", "\x9f"])
def test_control_characters_are_refused_by_number_and_not_shown(field, character):
    packet = connect(4, username=b"u")
    message = refused(packet, **{field: f"secret{character}"})
    assert f"U+{ord(character):04X}" in message
    assert "secret" not in message


@pytest.mark.parametrize("value", ["\ud800", "a\udcff"])
def test_what_is_no_utf_8_is_refused(value):
    assert "no valid UTF-8" in refused(connect(4), client_id=value)


def test_user_properties_stay_in_their_order():
    packet = VALID["5 with all"]
    after = parse(changed(packet, client_id="other", username=None))
    assert after.properties == parse(packet).properties
    assert after.will.properties == parse(packet).will.properties
    assert after.will_payload == parse(packet).will_payload


def test_keep_is_what_a_field_does_by_default():
    packet = VALID["5 with all"]
    assert changed(packet, client_id=KEEP, username=KEEP, password=KEEP) == packet

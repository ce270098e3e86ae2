"""Packets are what the standards say, byte for byte."""

from __future__ import annotations

import pytest

from tidegate.bench import packets


def test_a_connect_of_each_version():
    assert packets.connect("id", version="5", keepalive=60) == bytes.fromhex(
        "100f 0004 4d515454 05 02 003c 00 0002 6964"
    )
    assert packets.connect("id", version="3.1.1", username="u", password="pw") == bytes.fromhex(
        "1015 0004 4d515454 04 c2 0000 0002 6964 0001 75 0002 7077"
    )
    assert packets.connect("id", version="3.1") == bytes.fromhex(
        "1010 0006 4d5149736470 03 02 0000 0002 6964"
    )


def test_a_subscribe_of_each_version():
    assert packets.subscribe("a/#", version="5", qos=2) == bytes.fromhex(
        "8209 0001 00 0003 612f23 02"
    )
    assert packets.subscribe("a/#", version="3.1.1", qos=0) == bytes.fromhex(
        "8208 0001 0003 612f23 00"
    )


@pytest.mark.parametrize(
    ("version", "qos", "head"),
    [
        ("3.1.1", 0, "308403 0001 74"),
        ("3.1.1", 1, "328603 0001 74 0001"),
        ("5", 0, "308503 0001 74 00"),
        ("5", 2, "348703 0001 74 0001 00"),
    ],
)
def test_the_head_of_a_publish_counts_its_payload(version, qos, head):
    made = packets.publish_head("t", version=version, qos=qos, size=385)
    assert made == bytes.fromhex(head)
    tail = packets.id_tail(version=version, qos=qos)
    assert made[len(made) - tail :][:2] == b"\x00\x01" if qos else tail == 0


def test_what_is_too_long_for_mqtt_is_refused():
    with pytest.raises(ValueError, match="65536 bytes is too long"):
        packets.connect("x" * 65_536, version="5")
    with pytest.raises(ValueError, match="too long"):
        packets.publish_head("t", version="5", qos=0, size=2**28)

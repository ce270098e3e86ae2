"""Codes have one number, one spelling, and one meaning in each version."""

from __future__ import annotations

import pytest

from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.reason_codes import (
    CLIENT_FAULTS,
    REFUSALS,
    Reason,
    ReturnCode,
    code_for,
    name_of,
    parse_code,
    spelled,
)


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0x84, 1), (0x85, 2), (0x86, 4), (0x87, 5), (0x88, 3), (0x97, 3), (0x9C, 3), (0x8A, 5)],
)
def test_mqtt_3_hears_the_nearest_code(reason, code):
    assert code_for(3, Reason(reason)) == code
    assert code_for(4, Reason(reason)) == code
    assert code_for(5, Reason(reason)) == reason


@pytest.mark.parametrize("reason", [0x81, 0x82, 0x95])
def test_mqtt_3_hears_nothing_about_its_own_mistakes(reason):
    assert code_for(4, Reason(reason)) is None
    assert code_for(5, Reason(reason)) == reason


def test_every_refusal_is_read_as_it_is_spelled():
    assert {parse_code(spelled(code)) for code in REFUSALS} == REFUSALS
    assert parse_code("0x9c") == parse_code("0X9C") == 0x9C
    assert parse_code("3") == ReturnCode.SERVER_UNAVAILABLE


@pytest.mark.parametrize(
    "text", ["", "0", "6", "156", "9C", "0x9", "0x09C", "0x00", "0x8B", "0xFF", "+3", "٣", " 3"]
)
def test_what_is_no_refusal_is_refused_with_how_to_write_one(text):
    with pytest.raises(MqttError) as caught:
        parse_code(text)
    assert caught.value.fault is Fault.VALUE
    assert f'"{text}"' in caught.value.message
    assert "0x9C" in caught.value.message


def test_the_clients_own_faults_are_no_reason_to_ask_another_node():
    assert {*range(0x84, 0x88), 0x8A, 0x8C, 1, 2, 4, 5} == CLIENT_FAULTS
    assert CLIENT_FAULTS < REFUSALS


def test_codes_have_names_for_people():
    assert name_of(0x89) == "server busy (0x89)"
    assert name_of(3) == "server unavailable (3)"
    assert name_of(4) == "bad user name or password (4)"
    assert name_of(0) == "accepted (0)"
    assert name_of(0xC0) == "unknown (0xC0)"
    assert name_of(17) == "unknown (17)"

"""The codes with which a broker refuses, by their names in the standards."""

from __future__ import annotations

from http import HTTPStatus

from tidegate.bench.secure import reason_of
from tidegate.bench.tls import reason_words
from tidegate.mqtt.reason_codes import Reason, ReturnCode

# Those that neither a CONNACK nor a DISCONNECT bears (MQTT 5, 2.4).
OTHERS = {0x91: "packet identifier in use", 0x92: "packet identifier not found"}
# MQTT 3.1.1, 3.9.3: the one code of a SUBACK that refuses.
SUBACK_FAILURE = 0x80


def code_name(packet: str, code: int, *, version: str) -> str:
    """A code of a `packet` of FAULTS with its name, such as "0x87 not authorized".

    `version` is that of the plan; a code that no standard knows stands alone.
    """
    number = f"0x{code:02x}"
    if version != "5" and packet == "SUBACK" and code == SUBACK_FAILURE:
        return f"{number} failure"
    if code in OTHERS:
        return f"{number} {OTHERS[code]}"
    try:
        name = Reason(code).name if version == "5" else ReturnCode(code).name
    except ValueError:
        return number
    if packet == "DISCONNECT" and code == Reason.SUCCESS:
        name = "normal disconnection"
    return f"{number} {name.replace('_', ' ').lower()}"


# Of a Close (RFC 6455, 7.4.1), as far as a server says them.
CLOSE_CODES = {
    1000: "normal closure",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no reason given",
    1007: "invalid data",
    1008: "policy violation",
    1009: "message too big",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
}


def reason_text(name: str, code: int, verdict: int) -> str:
    """A reason of the generator, for a person; see `Generator.reasons`."""
    if name == "TLS failed":
        return reason_of(*reason_words(code, verdict))
    if name == "closed by WebSocket":
        return f"{code} {CLOSE_CODES[code]}" if code in CLOSE_CODES else str(code)
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


# What went wrong, where a packet's code says more about it; see generator.FAULT_NAMES.
FAULTS = {
    "rejected by CONNACK": "CONNACK",
    "subscription refused": "SUBACK",
    "message refused": "PUBACK",
    "disconnected by the target": "DISCONNECT",
}

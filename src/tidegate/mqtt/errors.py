"""What can be wrong with a packet: one error class with a stable word for the kind of fault."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """The kind of a fault; the word is at once what logs print and the label of a metric."""

    NOT_CONNECT = "not_connect"  # the client speaks something else
    UNSUPPORTED_VERSION = "unsupported_version"
    MALFORMED = "malformed"
    OVERSIZE = "oversize"  # longer than the caller's limit
    TRUNCATED = "truncated"  # the sender ended in the middle
    UNEXPECTED = "unexpected"  # a well-formed answer of another type than the one awaited
    VALUE = "value"  # ours: this cannot be put into a packet


class MqttError(Exception):
    """A packet that cannot be used, or a value that cannot be put into one.

    `message` is for a log: it holds no byte of the packet unescaped and no password. `version` is
    3, 4 or 5 where the sender's protocol is known well enough to be answered in, else None, and
    `maximum_packet_size` the bytes that such an answer may have, where the sender could say so.
    """

    def __init__(self, fault: Fault, message: str, *, version: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.version = version
        self.maximum_packet_size: int | None = None


def malformed(message: str) -> MqttError:
    """The error for bytes that no specification allows."""
    return MqttError(Fault.MALFORMED, message)

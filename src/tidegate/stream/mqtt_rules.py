"""What a server does with the MQTT of its sessions: its `mqtt_…` directives, ready to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tidegate.mqtt.errors import MqttError
from tidegate.mqtt.fields import encode_text
from tidegate.mqtt.reason_codes import Reason
from tidegate.mqtt.rewrite import KEEP, rewrite
from tidegate.mqtt.version import MQTT_5

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config import model
    from tidegate.mqtt.connect import Connect
    from tidegate.stream.mqtt_session import MqttPhases
    from tidegate.stream.session import Session

# A CONNACK has a few dozen bytes; its properties may hold as much as this before we stop looking.
ANSWER_SIZE = 65536

# Where its silence is no reason to leave it, a node gets so long for its CONNACK at least: a client
# with a keep alive of some seconds may ask for a CONNACK that takes as long to make.
LEAST_ANSWER_MS = 10_000

# How a client is told that what the configuration made of its CONNECT cannot be.
REFUSALS = {
    "clientid": Reason.CLIENT_IDENTIFIER_NOT_VALID,
    "username": Reason.BAD_USER_NAME_OR_PASSWORD,
    "password": Reason.BAD_USER_NAME_OR_PASSWORD,
}


class NotSettableError(Exception):
    """`mqtt_set_connect` made something that no CONNECT may hold; `reason` is for the client."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class Setting(NamedTuple):
    """One `mqtt_set_connect`, its value compiled."""

    field: str
    value: Callable[[Session], str]
    keep_if_empty: bool


class MqttRules:
    """The `mqtt_…` directives of one server.

    `settings` are its compiled `mqtt_set_connect`. `kept` are the `$mqtt_…` that its logs name,
    `kept_without` those for a session without a relay, whose `set` may not have been done.
    `reads_connack` tells that one of them is only known from the CONNACK; `limited` that
    connections are counted by what a CONNECT says.
    """

    __slots__ = (
        "_connack_ms",
        "_factor",
        "_inspects",
        "_inspects_5",
        "_retried",
        "_settings",
        "buffer_size",
        "judges",
        "kept",
        "kept_without",
        "strict",
        "tries_after_error",
        "tries_after_silence",
    )

    def __init__(
        self,
        mqtt: model.Mqtt,
        *,
        settings: tuple[Setting, ...],
        kept: tuple[str, ...],
        kept_without: tuple[str, ...],
        reads_connack: bool,
        limited: bool = False,
    ) -> None:
        tries = mqtt.next_upstream
        # The client identifier first: the other values may name what it was set to.
        first = sorted(settings, key=lambda setting: setting.field != "clientid")
        self._settings = tuple(first) if mqtt.rewrite else ()
        self._factor = mqtt.keepalive_factor
        self._retried = frozenset() if tries is None else tries.codes
        self._inspects = tries is not None or reads_connack
        self.judges = tries is not None  # a node is well once its CONNACK is
        # Only MQTT 5 has a Server Keep Alive.
        self._inspects_5 = self._inspects or mqtt.keepalive_factor is not None
        self.buffer_size = mqtt.buffer_size  # bytes that a CONNECT may have
        self.kept = kept
        self.kept_without = kept_without
        # Where a CONNECT is to be rewritten, one that cannot be read is refused: else a client
        # could keep an identity by sending what the node reads and we do not. Where connections are
        # counted by it, a client could pass uncounted likewise.
        self.strict = mqtt.require or bool(self._settings) or limited
        # What sends a client to the next node: one that closes, one that says nothing.
        self.tries_after_error = tries is not None and tries.error
        self.tries_after_silence = tries is not None and tries.timeout
        self._connack_ms = mqtt.connack_timeout_ms if self.tries_after_silence else 0

    def rewritten(self, session: MqttPhases, connect: Connect) -> bytes:
        """The packet for the node; the session is given the client identifier that was set.

        Raises NotSettableError.
        """
        if not self._settings:
            return connect.packet
        changes: dict[str, str | None] = {}
        for setting in self._settings:
            value = setting.value(session)
            if not value and setting.keep_if_empty:
                continue
            if not value and setting.field == "clientid":
                message = "the client identifier to set is empty"
                raise NotSettableError(message, REFUSALS["clientid"])
            try:
                encode_text(value, setting.field)
            except MqttError as error:
                raise NotSettableError(error.message, REFUSALS[setting.field]) from None
            if setting.field == "clientid":
                session.set_client_id = value
            changes[setting.field] = value or None
        try:
            return rewrite(
                connect,
                client_id=changes.get("clientid") or KEEP,
                username=changes.get("username", KEEP),
                password=changes.get("password", KEEP),
            )
        except MqttError as error:
            raise NotSettableError(error.message, REFUSALS["password"]) from None

    def idle_ms(self, keepalive: int) -> int:
        """How long a client with this keep alive (seconds) may be silent; 0 is no own limit."""
        return 0 if self._factor is None else int(keepalive * self._factor * 1000)

    def answer_ms(self, keepalive: int) -> int:
        """How long a CONNACK may take for a client with this keep alive; 0 is `proxy_timeout`.

        A client that waits is silent: what bounds that bounds a CONNACK that is only to be seen.
        """
        if self._connack_ms:
            return self._connack_ms
        idle_ms = self.idle_ms(keepalive)
        return max(idle_ms, LEAST_ANSWER_MS) if idle_ms else 0

    def inspects(self, version: int) -> bool:
        """Whether the CONNACK matters: for the next node, for logs, for its Server Keep Alive."""
        return self._inspects_5 if version == MQTT_5 else self._inspects

    def tries_after(self, code: int) -> bool:
        """Whether a CONNACK with this code sends the client to the next node."""
        return code in self._retried

"""What a server does with the MQTT of its sessions: its `mqtt_…` directives, ready to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tidegate.mqtt.errors import MqttError
from tidegate.mqtt.reason_codes import Reason
from tidegate.mqtt.rewrite import KEEP, rewrite
from tidegate.mqtt.version import MQTT_5

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config import model
    from tidegate.mqtt.connect import Connect
    from tidegate.stream.session import Session

# A CONNACK has a few dozen bytes; its properties may hold as much as this before we stop looking.
ANSWER_SIZE = 65536

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

    `settings` are its compiled `mqtt_set_connect`. `kept` are the `$mqtt_…` that its logs name, and
    `reads_connack` tells that one of them is only known from the CONNACK.
    """

    __slots__ = ("_model", "_settings", "kept", "reads_connack")

    def __init__(
        self,
        mqtt: model.Mqtt,
        *,
        settings: tuple[Setting, ...],
        kept: tuple[str, ...],
        reads_connack: bool,
    ) -> None:
        self._model = mqtt
        self._settings = settings if mqtt.rewrite else ()
        self.kept = kept
        self.reads_connack = reads_connack

    @property
    def buffer_size(self) -> int:
        """Bytes that a CONNECT may have."""
        return self._model.buffer_size

    @property
    def strict(self) -> bool:
        """Whether what is no valid CONNECT is refused.

        So it is where a CONNECT is to be rewritten: else a client could keep the identity that it
        is not to have by sending one that we cannot read and the node can.
        """
        return self._model.require or bool(self._settings)

    def rewritten(self, session: Session, connect: Connect) -> tuple[bytes, str | None]:
        """The packet for the node, and the client identifier that was set.

        Raises NotSettableError.
        """
        if not self._settings:
            return connect.packet, None
        changes: dict[str, str | None] = {}
        for setting in self._settings:
            value = setting.value(session)
            if value or setting.field != "clientid":
                changes[setting.field] = value or None
            elif not setting.keep_if_empty:
                message = "the client identifier to set is empty"
                raise NotSettableError(message, REFUSALS["clientid"])
        try:
            packet = rewrite(
                connect,
                client_id=changes.get("clientid") or KEEP,
                username=changes.get("username", KEEP),
                password=changes.get("password", KEEP),
            )
        except MqttError as error:
            field = "username" if "clientid" not in changes else "clientid"
            raise NotSettableError(error.message, REFUSALS[field]) from None
        return packet, changes.get("clientid")

    def idle_ms(self, keepalive: int) -> int:
        """How long a client with this keep alive (seconds) may be silent; 0 is no own limit."""
        factor = self._model.keepalive_factor
        return 0 if factor is None else int(keepalive * factor * 1000)

    def inspects(self, version: int) -> bool:
        """Whether the CONNACK matters: for the next node, for logs, for its Server Keep Alive."""
        return (
            self._model.next_upstream is not None
            or self.reads_connack
            or (version == MQTT_5 and self._model.keepalive_factor is not None)
        )

    @property
    def answer_ms(self) -> int:
        """How long a CONNACK may take; 0 is the proxy's time-out."""
        return self._model.connack_timeout_ms if self.tries_after_silence else 0

    def tries_after(self, code: int) -> bool:
        """Whether a CONNACK with this code sends the client to the next node."""
        tries = self._model.next_upstream
        return tries is not None and code in tries.codes

    @property
    def tries_after_error(self) -> bool:
        """Whether a node that closes before its CONNACK does."""
        tries = self._model.next_upstream
        return tries is not None and tries.error

    @property
    def tries_after_silence(self) -> bool:
        """Whether a node that says nothing does."""
        tries = self._model.next_upstream
        return tries is not None and tries.timeout

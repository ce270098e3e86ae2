"""A session whose MQTT is read: its CONNECT before the choice, its CONNACK before the relay.

The phases are those of `session.py`. What is added: `preread` reads and may rewrite the CONNECT,
`inspect` reads the CONNACK and may ask the next node instead, and whoever is refused is told so in
MQTT. Once the relay begins, only what the logs will need is kept.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.engine.outcome import Accept, Need, Refuse
from tidegate.health import failure
from tidegate.mqtt import fixed_header
from tidegate.mqtt.connack import encode_connack, parse_connack
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.reason_codes import Reason, code_for, name_of
from tidegate.mqtt.version import MQTT_5
from tidegate.stream import timing
from tidegate.stream.judged_session import JudgedSession
from tidegate.stream.mqtt_rules import ANSWER_SIZE, NotSettableError
from tidegate.stream.mqtt_variables import read
from tidegate.stream.refusals import PASSED
from tidegate.stream.session import (
    BAD_GATEWAY,
    BAD_REQUEST,
    INTERNAL_ERROR,
    OK,
    Opening,
)
from tidegate.variables.values import cut
from tidegate.wire.quoted import SHOWN

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.mqtt.connack import Connack
    from tidegate.mqtt.connect import Connect
    from tidegate.stream.mqtt_rules import MqttRules
    from tidegate.stream.proxy import Proxy
    from tidegate.stream.server import Port

# What a client is told where the reason is not in its own CONNECT.
REASONS = {
    403: Reason.NOT_AUTHORIZED,
    500: Reason.SERVER_UNAVAILABLE,
    502: Reason.SERVER_UNAVAILABLE,
    503: Reason.QUOTA_EXCEEDED,
}
WORDS = {
    403: "access denied",
    500: "internal error",
    502: "no node can be reached",
    503: "too many connections",
}
# The same where a client is refused for what is in its CONNECT.
WORDS_OF_CONNECT = {
    Reason.MALFORMED_PACKET: "malformed CONNECT",
    Reason.UNSUPPORTED_PROTOCOL_VERSION: "unknown protocol version",
    Reason.CLIENT_IDENTIFIER_NOT_VALID: "client identifier not allowed",
    Reason.BAD_USER_NAME_OR_PASSWORD: "user name or password not allowed",
}

# Refusals that tell of a limit, not of a node that is ill.
NO_FAILURE = frozenset({Reason.QUOTA_EXCEEDED, Reason.CONNECTION_RATE_EXCEEDED})


if TYPE_CHECKING:

    class _Declared(JudgedSession):
        """What those who have these phases have to declare: two bases with slots cannot be one."""

        __slots__ = ("connack", "hello", "mqtt_kept", "name", "set_client_id")

        connack: Connack | None
        hello: Connect | None  # None for a client of another kind
        mqtt_kept: dict[str, str | None] | None
        name: str | None  # the client identifier, for the error log
        set_client_id: str | None

else:
    _Declared = JudgedSession


class MqttPhases(_Declared):
    """What sessions of MQTT do, however it comes to them."""

    __slots__ = ()

    def read_connect(self, data: bytes, *, ended: bool) -> Outcome:
        """Read the CONNECT; what is none passes unread, unless that is not allowed."""
        rules = self.mqtt_rules
        try:
            hello = parse_connect(data, limit=rules.buffer_size, ended=ended)
        except MqttError as error:
            return self.no_connect(error)
        if isinstance(hello, fixed_header.Need):
            return self.need(hello.size)
        self.hello = hello
        # No more of it than the error log shows: a client may send 65,535 bytes.
        self.name = hello.client_id[:SHOWN]
        try:
            packet = rules.rewritten(self, hello)
        except NotSettableError as error:
            self.tell_refusal(Fault.VALUE, str(error))
            return self.refuse(BAD_REQUEST, error.reason)
        self.opening = self.open_with(hello, packet)
        return self.choose()

    def open_with(self, hello: Connect, packet: bytes) -> Opening:
        """How to begin with a node that is to get `packet` for the client's CONNECT."""
        rules = self.mqtt_rules
        return Opening(
            packet,
            len(hello.packet),
            ANSWER_SIZE if rules.inspects(hello.version) else 0,
            rules.answer_ms(hello.keepalive),
            rules.idle_ms(hello.keepalive),
        )

    def need(self, size: int) -> Outcome:
        """Wait until the client's first packets, or the node's, have this size."""
        return Need(size)

    def close_with(self, status: int, packet: bytes) -> Outcome:
        """Refuse the client; `packet` tells it why, empty where nothing can."""
        return Refuse(status, packet)

    def begin_relay(self, idle_ms: int) -> Outcome:
        """The client gets the node's answer, and may be silent for so long; -1 is as it was."""
        return Accept(idle_ms=idle_ms)

    def no_connect(self, error: MqttError) -> Outcome:
        """The client's first bytes are no CONNECT that we can read."""
        if error.fault == Fault.TRUNCATED:
            return self.close_with(OK, b"")
        if error.fault == Fault.OVERSIZE:
            # nginx's words, and nginx closes here whatever it was.
            full = f"preread buffer full ({error.message}) while prereading client data"
            self.say_of_client(Level.ERROR, full)
            self.count(Fault.OVERSIZE)
            return self.close_with(BAD_REQUEST, b"")
        if not self.mqtt_rules.strict:
            self.tell_passed(error)
            return self.choose()
        self.tell_refusal(error.fault, error.message)
        reason = Reason.MALFORMED_PACKET
        if error.fault == Fault.UNSUPPORTED_VERSION:
            reason = Reason.UNSUPPORTED_PROTOCOL_VERSION
        code = None if error.version is None else code_for(error.version, reason)
        if error.version is None or code is None:
            return self.close_with(BAD_REQUEST, b"")
        words = WORDS_OF_CONNECT[reason]
        room = error.maximum_packet_size
        answer = encode_connack(error.version, code, reason_string=words, max_packet=room)
        return self.close_with(BAD_REQUEST, answer)

    def connected(self) -> None:
        """The node took the connection; without an answer to wait for, the relay begins.

        Where its CONNACK decides whether it is well, taking a connection proves nothing yet; but a
        client that was not understood gets no CONNACK that we would see.
        """
        awaits = self.opening is not None and self.opening.answer_size > 0
        timing.connected(self, refusable=awaits)
        self.tell_connected()
        if self.opening is None or not self.mqtt_rules.judges:
            self.forgive()
        if self.opening is None:
            self.learn()
            self.forget()
        elif not self.opening.answer_size:
            self.settle()

    def answer(self, error: int, connect_ms: int, /) -> Outcome:
        """A node that could not be reached, or was silent where that is no reason to leave it."""
        if error == errno.ETIME and not self.mqtt_rules.tries_after_silence:
            self.blame(error, self.address)
            return self.refuse(BAD_GATEWAY)
        return super().answer(error, connect_ms)

    def inspect(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 as preread
        """Read the CONNACK: accept it for the client, or ask the next node."""
        assert self.hello is not None
        try:
            connack = parse_connack(data, version=self.hello.version, limit=ANSWER_SIZE)
        except MqttError:
            # AUTH, or nothing that we know: the client shall see it.
            return self.pass_on(None, heard=bool(data))
        if isinstance(connack, fixed_header.Need):
            return self.no_connack(data) if ended else self.need(connack.size)
        if connack.code and self.mqtt_rules.tries_after(connack.code):
            told = f"upstream refused the CONNECT: {name_of(connack.code)}"
            why = failure.REFUSED | connack.code
            other = self.next_node(told, why, failed=connack.code not in NO_FAILURE)
            if other is not None:
                return other
        return self.pass_on(connack)

    def no_connack(self, data: bytes) -> Outcome:
        """The node closed before its CONNACK was complete."""
        if self.mqtt_rules.tries_after_error:
            told = f"upstream closed the connection after {len(data)} bytes, before its CONNACK"
            other = self.next_node(told, failure.CLOSED, failed=True)
            if other is not None:
                return other
            if not data:
                return self.refuse(BAD_GATEWAY)
        return self.pass_on(None, heard=bool(data))

    def pass_on(self, connack: Connack | None, *, heard: bool = True) -> Outcome:
        """The client gets the node's answer, and the relay begins; `heard`: there is an answer."""
        idle_ms = -1
        well = heard and not self.node_failed
        if well:
            self.forgive()
        if well and (connack is None or not connack.code):
            self.time_answer()
        else:
            timing.not_served(self)
        if connack is not None:
            self.connack = connack
            if not connack.code:
                self.learn()
            if connack.server_keepalive is not None:
                idle_ms = self.mqtt_rules.idle_ms(connack.server_keepalive)
        elif self.hello is not None and self.hello.version == MQTT_5:
            # The keep alive will be agreed on unseen, after AUTH: no limit of ours is right.
            idle_ms = 0
        outcome = self.begin_relay(idle_ms)
        self.settle()
        return outcome

    def time_answer(self) -> None:
        """The node let the client in: how long that took counts."""
        timing.answered(self)

    def give_back(self, proxy: Proxy) -> None:
        """The node has one session less; one that did not serve it has a failure more.

        One that owes its answer still, as the client left or we ended, has proved nothing: its
        failures stay.
        """
        owes = self.opening is not None or not self.progress.upstream_bytes_received
        if self.mqtt_rules.judges and owes and not self.node_failed:
            proxy.upstream.cancel(self.peer)
            return
        if not self.node_failed:
            timing.over(self)
        if proxy.upstream.release(self.peer, failed=self.node_failed):
            self.say(Level.WARN, "upstream server temporarily disabled", self.address)

    def log(self) -> None:
        """One line in each access log, the same whether there was a relay or not."""
        self.keep(self.mqtt_rules.kept_without)
        super().log()

    def keep(self, kept: tuple[str, ...]) -> None:
        """Note what the logs will name."""
        if kept and self.hello is not None:
            self.mqtt_kept = {name: cut(self.mqtt(name)) for name in kept}

    def settle(self) -> None:
        """Keep what the logs will name and let the packets go; they hold passwords, too."""
        self.keep(self.mqtt_rules.kept)
        self.forget()
        self.hello = None
        self.connack = None
        self.opening = None
        timing.settle(self)
        self.set_client_id = None

    def refuse(self, status: int, reason: Reason | None = None) -> Outcome:
        """Close the client with a CONNACK that says why."""
        reason = reason or REASONS.get(status)
        if reason is None:
            return self.close_with(status, b"")
        words = WORDS.get(status) or WORDS_OF_CONNECT.get(reason)
        return self.close_with(status, self.refusal(reason, words))

    def farewell(self, status: int, /) -> bytes:
        """A client that waits for its CONNACK is told that there will be none here."""
        words = WORDS[status] if status == INTERNAL_ERROR else "shutting down"
        return self.refusal(Reason.SERVER_UNAVAILABLE, words)

    def refusal(self, reason: Reason, words: str | None) -> bytes:
        """The CONNACK that says no; empty for a client that cannot be told."""
        hello = self.hello
        code = None if hello is None else code_for(hello.version, reason)
        if hello is None or code is None:
            return b""
        return encode_connack(
            hello.version, code, reason_string=words, max_packet=hello.maximum_packet_size
        )

    # --- what is known ---

    @property
    def mqtt_rules(self) -> MqttRules:
        """The server's MQTT directives."""
        rules = self.server.mqtt
        assert rules is not None
        return rules

    @property
    def client_id(self) -> str | None:
        """The client identifier as the client sent it, cut to what a log shows."""
        return self.name

    def mqtt(self, name: str) -> str | None:
        """The value of `$mqtt_…`; None where no CONNECT was read."""
        if self.mqtt_kept is not None:
            return self.mqtt_kept.get(name)
        return None if self.hello is None else read(name, self.hello, self)

    # --- telling ---

    def tell_refusal(self, fault: Fault, message: str) -> None:
        """Log and count a client that is refused for what it sent."""
        self.count(fault)
        told = f"client sent no CONNECT that is allowed here ({fault}: {message})"
        self.say_of_client(Level.INFO, told)

    def tell_passed(self, error: MqttError) -> None:
        """Log and count a client that means to speak MQTT and is passed on unread."""
        if error.fault not in PASSED:
            return
        self.server.refusals.count_passed(error.fault)
        told = f"client sent no CONNECT that can be read ({error.fault}: {error.message})"
        self.say_of_client(Level.INFO, f"{told}, it is passed on unread")

    def count(self, fault: Fault) -> None:
        """One more refusal of this kind."""
        self.server.refusals.count(fault)


class MqttSession(MqttPhases):
    """One MQTT client's connection to a server of `stream {}`."""

    __slots__ = ("connack", "hello", "mqtt_kept", "name", "set_client_id")

    def __init__(self, port: Port, handle: int) -> None:
        super().__init__(port, handle)
        self.hello = None
        self.connack = None
        self.name = None
        self.set_client_id = None
        self.mqtt_kept = None

    def preread(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 the engine calls by position
        """Read the CONNECT, or the TLS that may stand in its place."""
        outcome = self.enter()
        if outcome is not None:
            return outcome
        if self.server.ssl_preread:
            outcome = self.look(data, ended=ended)
            return self.by_name(data, ended=ended) if outcome is None else outcome
        return self.read_connect(data, ended=ended)

    def go_on(self, data: bytes, *, ended: bool) -> Outcome:
        """TLS passes unopened, the rest has to be MQTT."""
        if self.client_hello is not None and not self.mqtt_rules.strict:
            return self.choose()
        return self.read_connect(data, ended=ended)

"""MQTT in WebSocket that is read here: its handshake answered, its CONNECT seen before the choice.

`begin` answers a client's handshake; from there on the connection's Python half is a
`WebSocketSession`. It does what sessions of stream do with MQTT (`stream/mqtt_session.py`), in
frames: the CONNECT comes out of the client's first frames, its node gets it by a WebSocket of our
own, or in plain MQTT with `mqtt_websocket_to tcp`, and refusals go out as MQTT, then a close. What
comes behind the first frames passes unchanged, or is taken apart by the engine.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from tidegate.config.model import Level
from tidegate.config.urls import split_uri
from tidegate.engine.outcome import Accept, Framing, Need, Refuse, Say, Tell
from tidegate.health import failure
from tidegate.http import replies
from tidegate.http.answers import status_line
from tidegate.http.keepalive import WITHOUT_MS
from tidegate.http.response import Response
from tidegate.http.session import HttpSession
from tidegate.stream import timing
from tidegate.stream.mqtt_rules import ANSWER_SIZE
from tidegate.stream.mqtt_session import MqttPhases
from tidegate.stream.session import Opening
from tidegate.wire import websocket as wire
from tidegate.wire.fields import words
from tidegate.wire.response_head import ResponseError, read_response_head
from tidegate.wire.websocket import WebSocketError

if TYPE_CHECKING:
    from tidegate.engine.outcome import Connect as Plan
    from tidegate.engine.outcome import Outcome
    from tidegate.mqtt.connect import Connect
    from tidegate.wire.head import RequestHead, ResponseHead

OK: Final = 200
SWITCHING: Final = 101
BAD_REQUEST: Final = 400
BAD_GATEWAY: Final = 502
GOING_AWAY: Final = 1001  # of a close

# Sub-protocols that are MQTT; the second is that of MQTT 3.1.
PROTOCOLS: Final = (b"mqtt", b"mqttv3.1")

# What a client's bytes may have for one byte of its CONNECT, and beside it: frames may be short.
FRAMING: Final = 2
BESIDE: Final = 1024
TOO_MANY: Final = "too many frames before a CONNECT"

# Fields of a handshake, which is ours on the way to a node.
OURS: Final = frozenset(
    {
        b"connection",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"upgrade",
    }
)

CARRIED: Final = tuple(
    name for base in HttpSession.__mro__ for name in vars(base).get("__slots__", ())
)


def begin(session: HttpSession) -> Outcome | None:
    """Answer the handshake of a client of MQTT; None where the request is one to be passed on.

    A client that does not ask for MQTT gets what the node says to that, where the node speaks HTTP.
    """
    request = session.request
    assert request is not None
    assert request.head is not None
    head = request.head
    protocol = protocol_of(head)
    if protocol is None:
        return replies.error(session, BAD_REQUEST) if session.location.unwraps else None
    key = head.fields.get(b"sec-websocket-key", b"")
    version = head.fields.get(b"sec-websocket-version")
    if version != wire.VERSION or not wire.is_key(key) or request.owed or request.body:
        session.say_of_client(Level.INFO, "client sent an invalid WebSocket handshake")
        return replies.error(session, BAD_REQUEST)
    response = Response(status=SWITCHING, line=status_line(SWITCHING), connection="upgrade")
    response.fields += [
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", wire.accept_of(key)),
        (b"Sec-WebSocket-Protocol", protocol),
    ]
    replies.add_headers(session, response)
    location = session.location
    made = WebSocketSession(session, protocol)
    return Say(
        replies.head_of(made, response),
        take=request.size - request.taken,
        size=made.room,
        timeout_ms=location.preread_timeout_ms,
        send_ms=location.model.send_timeout_ms,
        session=made,
    )


def protocol_of(head: RequestHead) -> bytes | None:
    """The sub-protocol to agree on; None where this is no request for MQTT in WebSocket."""
    fields = head.fields
    if (
        head.method != b"GET"
        or head.minor < 1
        or b"upgrade" not in words(fields.get(b"connection"))
    ):
        return None
    if b"websocket" not in words(fields.get(b"upgrade")):
        return None
    offered = words(fields.get(b"sec-websocket-protocol"))
    return next((one for one in PROTOCOLS if one in offered), None)


class WebSocketSession(MqttPhases, HttpSession):  # type: ignore[misc]  # one `forget`, of stream
    """A client of MQTT in WebSocket.

    `payload` is what it said so far in frames that the engine has let go of, `continues` that their
    last message goes on. `whole` and `last` are all that it said when its CONNECT was there, and
    the frame in which that ended; `end` where that ends in what was preread. `pongs` are our
    answers that it did not get yet. A node that was tried gets `first` once it has agreed
    (`agreed`) to what we asked with `key`. `have` are the bytes that were looked at last, `framed`
    counts those of the client's frames with MQTT that the engine has let go of.
    """

    __slots__ = (
        "agreed",
        "connack",
        "continues",
        "end_at",
        "first",
        "framed",
        "framing",
        "have",
        "hello",
        "key",
        "last",
        "mqtt_kept",
        "name",
        "payload",
        "pongs",
        "protocol",
        "room",
        "set_client_id",
        "until",
        "whole",
    )

    def __init__(self, before: HttpSession, protocol: bytes) -> None:
        """Go on for a session whose handshake is answered with this sub-protocol."""
        super().__init__(before.port, before.handle)
        for name in CARRIED:
            setattr(self, name, getattr(before, name))
        rules = self.mqtt_rules
        self.hello = None
        self.connack = None
        self.name = None
        self.set_client_id = None
        self.mqtt_kept = None
        self.protocol = protocol
        self.room = FRAMING * rules.buffer_size + BESIDE
        self.until = time.monotonic() + self.location.preread_timeout_ms / 1000
        self.payload = self.whole = self.pongs = self.first = self.key = self.have = b""
        self.continues = self.agreed = False
        self.last: wire.Frame | None = None
        self.end_at = self.framed = 0
        self.framing: Framing | None = None

    # --- the client's first frames ---

    def preread(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 the engine calls by position
        """Read the CONNECT out of frames; those that are for us are answered."""
        self.have = data
        # Who pings without end is not given a little more time for each.
        late = time.monotonic() >= self.until
        try:
            return self.read_frames(data, ended=ended or late)
        except WebSocketError as error:
            told = f"client sent a WebSocket frame that is not allowed ({error})"
            self.say_of_client(Level.INFO, told)
            self.status = BAD_REQUEST
            return Refuse(BAD_REQUEST, wire.encode_close(error.code))

    def read_frames(self, data: bytes, *, ended: bool) -> Outcome:
        """As preread; raises WebSocketError.

        Frames that are whole are let go of, so that none is read again for each byte that comes.
        """
        at, framed, payload, continues, pongs = 0, self.framed, self.payload, self.continues, b""
        while (frame := wire.read_frame(data, at, from_client=True)) is not None:
            if frame.is_control:
                if frame.remaining:
                    break
                pongs += answer_to(frame)
                if frame.opcode == wire.CLOSE:
                    return Refuse(OK, pongs)
                at += frame.size
                continue
            if (frame.opcode == wire.CONTINUATION) != continues:
                raise WebSocketError(wire.PROTOCOL_ERROR, "a message continues that did not begin")
            self.pongs, self.last, self.end_at = pongs, frame, at + frame.size
            self.whole = payload + frame.payload
            outcome = self.read_connect(self.whole, ended=False)
            if not isinstance(outcome, Need):
                return outcome
            if frame.remaining:
                break
            at += frame.size
            framed += frame.size
            payload, continues = self.whole, not frame.final
        if ended:
            return self.read_connect(payload, ended=True)
        if not at:
            return self.need(len(data))
        self.payload, self.continues, self.framed = payload, continues, framed
        return self.let_go(at, pongs, left=len(data) - at)

    def let_go(self, size: int, pongs: bytes, *, left: int) -> Outcome:
        """Answer frames of this size, and wait for more than what is `left` behind them."""
        if self.framed + left >= self.room:
            raise WebSocketError(wire.TOO_BIG, TOO_MANY)
        timeout_ms = max(int((self.until - time.monotonic()) * 1000), 1)
        return Say(pongs, take=size, need=left + 1, timeout_ms=timeout_ms)

    def need(self, size: int) -> Outcome:
        """Wait for more: what has that size is in frames."""
        del size
        if self.hello is None and self.framed + len(self.have) >= self.room:
            raise WebSocketError(wire.TOO_BIG, TOO_MANY)
        return Need(len(self.have) + 1)

    # --- nodes ---

    def open_with(self, hello: Connect, packet: bytes) -> Opening:
        """Begin with a node in its protocol; what came behind the CONNECT goes along."""
        frame = self.last
        assert frame is not None
        self.find_target()
        packets = packet + self.whole[len(hello.packet) :]
        whole = frame.final and not frame.remaining
        if self.location.unwraps:
            self.framing = Framing(
                remaining=frame.remaining,
                mask=frame.mask if frame.remaining else b"",
                final=frame.final,
                continues=not frame.final and not frame.remaining,
            )
            return self.opening_of(hello, packets)
        self.first = wire.encode_frame(wire.BINARY, packets, final=whole, mask=os.urandom(4))
        if frame.remaining:
            self.first += wire.encode_head(
                wire.CONTINUATION, frame.remaining, final=frame.final, mask=frame.mask
            )
        self.key = wire.new_key()
        return self.opening_of(hello, self.handshake())

    def find_target(self) -> None:
        """What variables of `proxy_pass` say is known before the request is written."""
        request, target = self.request, self.location.target
        assert request is not None
        if target is not None:
            request.proxy_host, request.target_uri = split_uri(target(self))

    def opening_of(self, hello: Connect, first: bytes) -> Opening:
        """What a node gets first, and how long it and the client may be silent."""
        rules = self.mqtt_rules
        return Opening(
            first,
            self.end_at,
            ANSWER_SIZE,
            rules.answer_ms(hello.keepalive),
            self.silence(rules.idle_ms(hello.keepalive)),
        )

    def silence(self, idle_ms: int) -> int:
        """The client's limit; without one of MQTT, and none written, it is as long as in stream."""
        if idle_ms or not self.location.proxy_limits.follows_keepalive:
            return idle_ms
        return WITHOUT_MS

    def handshake(self) -> bytes:
        """The request of our own WebSocket to the node: the client's, with what is ours in it."""
        request, writer = self.request, self.location.request
        assert request is not None
        assert writer is not None
        line, *fields = writer.head(self, request).removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = [one for one in fields if one.partition(b":")[0].lower() not in OURS]
        return b"\r\n".join(
            [
                line.removesuffix(b"1.0").removesuffix(b"1.1") + b"1.1",
                *kept,
                b"Upgrade: websocket",
                b"Connection: Upgrade",
                b"Sec-WebSocket-Version: " + wire.VERSION,
                b"Sec-WebSocket-Key: " + self.key,
                b"Sec-WebSocket-Protocol: " + self.protocol,
                b"",
                b"",
            ]
        )

    def on_its_way(self, plan: Plan) -> Plan:
        """A node that is asked now has agreed to nothing yet."""
        self.agreed = False
        return plan

    def inspect(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 as preread
        """Read the node's handshake, then its CONNACK."""
        self.have = data
        if self.location.unwraps:
            return super().inspect(data, ended)
        try:
            if not self.agreed:
                return self.agree(data, ended=ended)
            packets, closed = node_packets(data)
        except (ResponseError, WebSocketError) as error:
            return self.leave_for(f"{error} while opening a WebSocket to upstream")
        return super().inspect(packets, ended or closed or len(data) >= ANSWER_SIZE)

    def agree(self, data: bytes, *, ended: bool) -> Outcome:
        """The node's answer to our handshake."""
        head = read_response_head(data)
        if head is None:
            if ended or len(data) >= ANSWER_SIZE:
                return self.leave_for("upstream answered no WebSocket handshake")
            return Need(len(data) + 1)
        if head.interim:
            return Tell(b"", take=head.size)
        assert self.request is not None
        self.request.upstream_statuses += (str(head.status),)
        self.upstream_head = head.size
        fault = self.fault_of(head)
        if fault:
            return self.leave_for(f"{fault} while opening a WebSocket to upstream")
        self.agreed = True
        return Tell(self.first, take=head.size)

    def fault_of(self, head: ResponseHead) -> str:
        """What is wrong with a node's answer to our handshake; empty for nothing."""
        if head.status != SWITCHING:
            return f"upstream answered {head.status}"
        if head.fields.get(b"sec-websocket-accept", b"") != wire.accept_of(self.key):
            return "upstream sent a wrong Sec-WebSocket-Accept"
        if head.fields.get(b"sec-websocket-protocol", b"").lower() != self.protocol:
            return "upstream did not agree to the sub-protocol"
        return "upstream agreed to extensions" if b"sec-websocket-extensions" in head.fields else ""

    def leave_for(self, told: str) -> Outcome:
        """Ask another node than one that spoke no WebSocket, or tell the client."""
        other = self.next_node(told, failure.MALFORMED, failed=True)
        return self.refuse(BAD_GATEWAY) if other is None else other

    def begin_relay(self, idle_ms: int) -> Outcome:
        """The client gets the CONNACK in the frames that it came in, or in one of ours."""
        if idle_ms >= 0:
            idle_ms = self.silence(idle_ms)
        if self.framing is None:
            return Accept(data=self.pongs, idle_ms=idle_ms)
        words = wire.encode_frame(wire.BINARY, self.have) if self.have else b""
        return Accept(
            data=self.pongs + words,
            take=len(self.have),
            idle_ms=idle_ms,
            framing=self.framing,
        )

    def time_answer(self) -> None:
        """The node let the client in; its first byte was of a handshake."""
        timing.read(self)

    def settle(self) -> None:
        """The relay begins: only what the logs will name is kept."""
        HttpSession.settle(self)
        self.hello = self.connack = self.set_client_id = self.last = self.framing = None
        self.payload = self.whole = self.pongs = self.first = self.have = b""

    # --- refusing ---

    def close_with(self, status: int, packet: bytes) -> Outcome:
        """Refuse the client in a frame, and close."""
        if status != OK:
            self.status = status
        return Refuse(status, self.last_frames(packet, wire.NORMAL if packet else wire.POLICY))

    def farewell(self, status: int, /) -> bytes:
        """As a refusal, where the session ends for another reason."""
        packet = MqttPhases.farewell(self, status)
        return self.last_frames(packet, wire.NORMAL if packet else GOING_AWAY)

    def last_frames(self, packet: bytes, code: int) -> bytes:
        """A packet, where there is one, and a close."""
        words = wire.encode_frame(wire.BINARY, packet) if packet else b""
        return self.pongs + words + wire.encode_close(code)

    def status_of(self, error: int) -> int:
        """All the same to a client of MQTT."""
        del error
        return BAD_GATEWAY


def node_packets(data: bytes) -> tuple[bytes, bool]:
    """What the frames of a node hold, as far as they came; whether one is its close.

    Raises WebSocketError.
    """
    at, packets = 0, b""
    while (frame := wire.read_frame(data, at, from_client=False)) is not None:
        if not frame.is_control:
            packets += frame.payload
        elif frame.opcode == wire.CLOSE:
            return packets, True
        if frame.remaining:
            break
        at += frame.size
    return packets, False


def answer_to(frame: wire.Frame) -> bytes:
    """Our frame for a client's ping or close; a pong has none. Raises WebSocketError."""
    if frame.opcode == wire.CLOSE:
        return wire.answer_close(frame.payload)
    return wire.encode_frame(wire.PONG, frame.payload) if frame.opcode == wire.PING else b""

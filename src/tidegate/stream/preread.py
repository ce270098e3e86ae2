"""A session whose first bytes are read before the choice: here those of TLS that passes unopened.

Sessions whose MQTT is read are made of it too (`mqtt_session.py`), so one port may serve both: what
begins as TLS goes its way by name, the rest is MQTT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.model import Level
from tidegate.engine.outcome import Need, Refuse
from tidegate.stream import choice
from tidegate.stream.session import BAD_REQUEST, OK, Session
from tidegate.variables.values import encode
from tidegate.wire import client_hello

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.stream.server import Port
    from tidegate.wire.client_hello import ClientHello


class PrereadSession(Session):
    """One client's connection; `client_hello` is what its TLS said, None for no TLS."""

    __slots__ = ("accepted", "client_hello")

    def __init__(self, port: Port, handle: int) -> None:
        super().__init__(port, handle)
        self.accepted = False
        self.client_hello: ClientHello | None = None

    def preread(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 the engine calls by position
        """Read the ClientHello; what is none passes."""
        outcome = self.enter()
        if outcome is None:
            outcome = self.look(data, ended=ended)
        return self.by_name(data, ended=ended) if outcome is None else outcome

    def enter(self) -> Outcome | None:
        """Begin, at the first look at the client's bytes; the refusal of one that is kept out."""
        if self.accepted:
            return None
        self.accepted = True
        if not self.port.asks_accept:
            self.begin()
        return self.accept_phase() if self.port.judges else None

    def by_name(self, data: bytes, *, ended: bool) -> Outcome:
        """Go on at the server of the address that the ClientHello names."""
        hello = self.client_hello
        other: Session = self
        # Inside of TLS that ended here the server was chosen by the name that was asked for there.
        if hello is not None and hello.server_name and not self.secure:
            other = choice.by_name(self, encode(hello.server_name))
        if other is self or not isinstance(other, PrereadSession):
            return self.go_on(data, ended=ended)
        other.client_hello, other.accepted = hello, True
        refused = other.accept_phase() if other.port.judges else None
        return other.go_on(data, ended=ended) if refused is None else refused

    @property
    def secure(self) -> bool:
        """Whether the client's TLS ended here."""
        return self.server.engine.secure(self.handle)

    def go_on(self, data: bytes, *, ended: bool) -> Outcome:
        """What follows when the ClientHello was read, or there is none."""
        del data, ended
        return self.choose()

    def look(self, data: bytes, *, ended: bool) -> Outcome | None:
        """Read the ClientHello; None when that is done, whether there is one or not."""
        hello = client_hello.parse_client_hello(data)
        if not isinstance(hello, client_hello.Need):
            self.client_hello = hello
            return None
        if ended:
            return Refuse(OK)
        if hello.size > self.server.preread_size:
            self.say_of_client(Level.ERROR, "preread buffer full while prereading client data")
            return Refuse(BAD_REQUEST)
        return Need(hello.size)

    def forget(self) -> None:
        """What the client's TLS said is kept for the logs alone: it may be long."""
        super().forget()
        if not self.server.keeps_hello:
            self.client_hello = None

    @property
    def passing(self) -> ClientHello | None:
        """What the client's TLS said."""
        return self.client_hello

"""`pass`: a connection goes on at another `listen` of the same configuration, inside the worker.

Nothing goes through the network. The client keeps its address, its TLS that ended here, and what
was read of it comes first at the other server; where that has TLS of its own, it begins with it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from tidegate.config.model import Level
from tidegate.config.urls import UrlError, parse_url
from tidegate.engine.outcome import Pass
from tidegate.wire.address import Address, listening_for
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypedDict

    from tidegate.engine.outcome import Outcome
    from tidegate.engine.tls_context import Context
    from tidegate.stream.limit_conn import Limits
    from tidegate.stream.session import Session

    class Terms(TypedDict, total=False):
        """What connections of a `listen` begin with, as in `Engine.listen`."""

        asks_accept: bool
        idle_counts: bool
        header_timeout_ms: int
        preread_size: int
        preread_timeout_ms: int
        tls: Context | None


MOST_PASSES: Final = 10  # nginx's (NGX_STREAM_PASS_MAX_PASSES)
OK: Final = 200
INTERNAL_ERROR: Final = 500


class Door(NamedTuple):
    """Where connections of one address begin; `session` makes their Python halves."""

    session: Callable[[int], Session]
    terms: Terms


class Listening:
    """The addresses that a worker listens on now, of stream and of http, by their text."""

    __slots__ = ("_doors", "_of")

    def __init__(self) -> None:
        self._of: dict[str, Mapping[str, Door]] = {}
        self._doors: dict[str, Door] = {}

    def put(self, block: str, doors: Mapping[str, Door]) -> None:
        """Let these be all doors of stream, or of http."""
        self._of[block] = doors
        self._doors = {text: door for some in self._of.values() for text, door in some.items()}

    def find(self, address: Address) -> Door | None:
        """The door that a connection to an address would come to."""
        return listening_for(address, self._doors)


class PassError(ValueError):
    """A connection that cannot be passed on, in nginx's words; `status` is what its end has."""

    def __init__(self, message: str, status: int = INTERNAL_ERROR) -> None:
        super().__init__(message)
        self.status = status


class Passing:
    """The `pass` of a server: to an address, or to what a text with variables says."""

    __slots__ = ("_listening", "_to")

    def __init__(self, to: Address | Callable[[Session], str], listening: Listening) -> None:
        self._to = to
        self._listening = listening

    def pass_on(self, session: Session) -> Outcome:
        """Let the connection begin again elsewhere; a refusal where it cannot."""
        try:
            address = self._address(session)
            door = self._door(session, address)
        except PassError as error:
            session.say_of_client(Level.ERROR, f"{error} while passing connection to port")
            return session.refuse(error.status)
        other = door.session(session.handle)
        other.passes = session.passes + 1
        other.origin = session.origin
        other.server_endpoint = address.family, address.host, address.port
        limits = session.server.limits
        release = None if limits is None else partial(_release, limits, session)
        return Pass(other, release=release, **door.terms)

    def _address(self, session: Session) -> Address:
        if isinstance(self._to, Address):
            return self._to
        text = self._to(session)
        try:
            url = parse_url(text)
        except UrlError as error:
            raise PassError(f"{error} in pass {quoted(text)}") from None
        if url.literal is None:
            raise PassError(f"no addresses in pass {quoted(text)}")
        if not url.unix and not url.ports:
            raise PassError(f"no port in pass {quoted(text)}")
        return Address(family=url.literal.family, host=url.literal.host, port=url.port)

    def _door(self, session: Session, address: Address) -> Door:
        if session.passes >= MOST_PASSES:
            raise PassError("stream pass cycle")
        door = self._listening.find(address)
        if door is None:
            raise PassError(f"port not found for {quoted(address.text)}", OK)
        secure = session.server.engine.secure(session.handle)
        if door.terms.get("header_timeout_ms") and (secure or session.server.preread_size):
            raise PassError("cannot pass connection with preread data")
        if secure and door.terms.get("tls") is not None:
            raise PassError(f"cannot pass connection with TLS to {quoted(address.text)}")
        return door


def _release(limits: Limits, session: Session) -> None:
    """A connection that was passed on counts until it ends."""
    limits.give_back(session)
    limits.forget(session)

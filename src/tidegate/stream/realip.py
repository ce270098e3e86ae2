"""The PROXY protocol header of a client, and whether the address in it is believed.

nginx's order: the header is read, then `set_real_ip_from` says whether it comes from somebody whose
word counts. From then on the address that it names is the client's for every purpose.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from tidegate.config.model import Level
from tidegate.engine.address import pack_address, unpack_address
from tidegate.engine.outcome import Refuse
from tidegate.wire.network import holds
from tidegate.wire.proxy_protocol import HeaderError, broken, parse, worth_keeping

if TYPE_CHECKING:
    from tidegate.engine.outcome import Outcome
    from tidegate.stream.session import Session
    from tidegate.wire.proxy_protocol import Endpoint, Header, Proxied

OK = 200
BAD_REQUEST = 400


class Origin(NamedTuple):
    """What a session keeps of a header that told of a client.

    `peer` is the packed address of who brought it; empty where that still is the client's.
    """

    header: bytes
    peer: bytes


def read_header(session: Session, data: bytes, error: int) -> Outcome | None:
    """Take in the header; a refusal where none came, with nginx's words in the log."""
    if error == errno.ETIMEDOUT:
        return _lost(session, error, "client timed out")
    if error:
        return _lost(session, error, "recv() failed")
    try:
        header = _whole(data)
    except HeaderError as fault:
        _say(session, Level.ERROR, str(fault))
        return Refuse(BAD_REQUEST)
    if header.proxied is not None:
        kept = worth_keeping(data, session.server.tlvs)
        session.origin = Origin(kept, _believe(session, header.proxied))
    return None


def proxied(session: Session) -> Proxied | None:
    """What the header of a session told; None where there was none, or of an unknown client."""
    if session.origin is None:
        return None
    header = parse(session.origin.header)
    return None if header is None else header.proxied


def peer_endpoint(session: Session) -> Endpoint:
    """Who the connection came from, believed or not."""
    if session.origin is None or not session.origin.peer:
        return session.client_endpoint
    return unpack_address(session.origin.peer)


def _whole(data: bytes) -> Header:
    header = parse(data)
    if header is None:
        raise broken(data)
    return header


def _believe(session: Session, told: Proxied) -> bytes:
    """Take the address told for the client's, if its bringer may say so; then gives the old one."""
    server = session.server
    peer = server.engine.client_address(session.handle)
    family, host, _port = unpack_address(peer)
    client = told.client
    if client is None or not holds(server.real_ip_from, family, host):
        return b""
    server.engine.set_client_address(session.handle, pack_address(*client))
    return peer


def _lost(session: Session, error: int, what: str) -> Outcome:
    _say(session, Level.INFO, f"{what} ({error}: {os.strerror(error)})")
    return Refuse(OK)


def _say(session: Session, level: Level, message: str) -> None:
    session.say_of_client(level, f"{message} while reading PROXY protocol")

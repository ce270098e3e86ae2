"""Addresses that several servers listen on: their options, and which server is the default one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_listen import Options, make_listen
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import AddressDraft
from tidegate.config.draft_http import HttpDraft
from tidegate.dataclasses import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidegate.config.draft import Reading, Sharer, StreamDraft
    from tidegate.config.lexer import Token
    from tidegate.wire.address import Address

# What is said of the connections of an address by every `listen` of it together.
PROTOCOLS = ("ssl", "proxy_protocol")


class Parameters:
    """The parameters of one `listen`; `written` tells of those that belong to the socket."""

    def __init__(self) -> None:
        self.options = Options()
        self.default = False
        self.written = False

    @property
    def protocols(self) -> set[str]:
        """What is said of the connections."""
        return {name for name in PROTOCOLS if getattr(self.options, name)}


def share(
    reading: Reading, draft: Sharer, address: Address, parameters: Parameters, word: Token
) -> None:
    """Let a server listen on an address; raises ConfigError where it disagrees with others."""
    taken = _addresses(reading)
    known = taken.get(address)
    if known is None:
        known = AddressDraft(
            address=address,
            options=parameters.options,
            span=word.span,
            placed=word.span if parameters.written else None,
            protocols=parameters.protocols,
        )
        taken[address] = known
    elif any(one is draft for one in known.servers):
        raise ConfigError(f"a duplicate listen {address.text}", word.span)
    else:
        _join(reading, known, parameters, word)
    known.servers.append(draft)
    draft.addresses.append(known)
    if not parameters.default:
        return
    if known.default is not None:
        place = known.default.directive.name.span
        hint = f"the other is in {place.file}:{place.line}"
        message = f"a duplicate default server for {address.text}"
        raise ConfigError(message, word.span, hint=hint)
    known.default = draft


def _addresses(reading: Reading) -> dict[Address, AddressDraft]:
    protocol = reading.draft.protocol
    if isinstance(protocol, HttpDraft):
        return protocol.addresses
    assert reading.draft.stream is not None
    return reading.draft.stream.addresses


def _join(reading: Reading, known: AddressDraft, parameters: Parameters, word: Token) -> None:
    if parameters.written:
        if known.placed is not None:
            hint = f"one of them is enough; the other is in {known.placed.file}:{known.placed.line}"
            message = f"duplicate listen options for {known.address.text}"
            raise ConfigError(message, word.span, hint=hint)
        known.options, known.placed = parameters.options, word.span
    if parameters.protocols and parameters.protocols != known.protocols:
        message = f"protocol options redefined for {known.address.text}"
        hint = "servers of one address share its connections, so these hold for all of them"
        reading.report.warn(message, word.span, hint=hint)
    known.protocols |= parameters.protocols
    known.options = replace(
        known.options,
        ssl="ssl" in known.protocols,
        proxy_protocol="proxy_protocol" in known.protocols,
    )


def give_listens(of: HttpDraft | StreamDraft) -> None:
    """Let servers and their locations know what came of the addresses that they share."""
    made = {
        known.address: make_listen(known.address, known.options, known.span)
        for known in of.addresses.values()
    }
    servers: Iterable[Sharer] = of.servers
    for draft in servers:
        for one in draft.outside.tree():
            one.listens = [made[known.address] for known in draft.addresses]

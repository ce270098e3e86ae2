"""Servers whose name may come to mean other addresses while the program runs: `server … resolve`.

A model that was just read has none of their peers; `with_answers` gives them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tidegate.dataclasses import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tidegate.config.model import Model, Peer, Upstream
    from tidegate.wire.address import Address

    Answers = Callable[["Question"], Sequence["Found"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """`resolver` and `resolver_timeout`; `valid` is in seconds, None where the answers say."""

    servers: tuple[Address, ...]
    valid: int | None
    ipv4: bool
    ipv6: bool
    timeout_ms: int


class Question(NamedTuple):
    """What is asked, and whom; `service` is "" where addresses of the host itself are wanted."""

    host: str
    service: str
    resolver: Resolver

    @property
    def text(self) -> str:
        """As nginx calls it in its log."""
        return f"service {self.service} of {self.host}" if self.service else self.host


class Found(NamedTuple):
    """One address of an answer.

    `port`, `weight`, `name` (the host that the service runs on) and `backup` are of its SRV
    record: 0, 0, "" and False where there is none.
    """

    address: Address
    port: int = 0
    weight: int = 0
    name: str = ""
    backup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingServer:
    """One `server NAME resolve`: `peer` is what each of its peers will be but for the address."""

    host: str
    service: str
    resolver: Resolver
    peer: Peer

    @property
    def question(self) -> Question:
        """What its peers are found by."""
        return Question(self.host, self.service, self.resolver)

    def peers(self, found: Sequence[Found]) -> Iterator[Peer]:
        """The peers of an answer, by nginx's rules (ngx_stream_upstream_zone_resolve_handler)."""
        peer = self.peer
        for one in found:
            if not self.service:
                address = replace_port(one.address, peer.address.port)
                yield replace(peer, address=address)
            elif not (peer.backup and one.backup):
                yield replace(
                    peer,
                    address=replace_port(one.address, one.port),
                    name=one.name,
                    weight=one.weight if peer.weight == 1 else peer.weight,
                    backup=peer.backup or one.backup,
                )


def replace_port(address: Address, port: int) -> Address:
    """The same host with another port."""
    return type(address)(family=address.family, host=address.host, port=port)


def questions(model: Model) -> list[Question]:
    """What has to be asked to find the peers of a model, each once."""
    groups = [
        *(() if model.stream is None else model.stream.upstreams),
        *(() if model.http is None else model.http.upstreams),
    ]
    return list(dict.fromkeys(one.question for group in groups for one in group.moving))


def with_answers(model: Model, answers: Answers) -> Model:
    """The model with the peers that its names have by now; upstreams without change stay."""
    if model.stream is not None:
        upstreams = _all_with_answers(model.stream.upstreams, answers)
        if upstreams is not model.stream.upstreams:
            model = replace(model, stream=replace(model.stream, upstreams=upstreams))
    if model.http is not None:
        upstreams = _all_with_answers(model.http.upstreams, answers)
        if upstreams is not model.http.upstreams:
            model = replace(model, http=replace(model.http, upstreams=upstreams))
    return model


def _all_with_answers(groups: tuple[Upstream, ...], answers: Answers) -> tuple[Upstream, ...]:
    new = tuple(_with_answers(group, answers) if group.moving else group for group in groups)
    return new if any(one is not group for one, group in zip(new, groups, strict=True)) else groups


def _with_answers(group: Upstream, answers: Answers) -> Upstream:
    peers = [peer for peer in group.peers if not peer.resolved]
    for one in group.moving:
        peers += one.peers(answers(one.question))
    return group if tuple(peers) == group.peers else replace(group, peers=tuple(peers))

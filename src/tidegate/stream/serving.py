"""What a worker serves of stream or http, over reloads: listeners, upstreams of generations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from tidegate.balance.upstream import place, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tidegate.balance.placement import Placement
    from tidegate.balance.upstream import Upstream
    from tidegate.config import model
    from tidegate.engine.loop import Engine
    from tidegate.scoreboard.board import Board

    Upstreams = Mapping[str, tuple[model.Upstream, Upstream]]


class Serving:
    """What `stream {}` and `http {}` have in common in a worker.

    `left` is told the last generation that no session uses any more.
    """

    def __init__(
        self, *, engine: Engine, board: Board, worker: int, left: Callable[[int], None]
    ) -> None:
        self._engine = engine
        self._board = board
        self._worker = worker
        self._left = left
        self._listeners: list[tuple[int, str]] = []
        self._former: dict[int, list[ref[Upstream]]] = {}

    def _placed(
        self, upstreams: Iterable[model.Upstream], placement: Placement, now: Upstreams
    ) -> dict[str, tuple[model.Upstream, Upstream]]:
        """Upstreams by name; those that are as they are `now` stay the same objects."""
        return {one.name: (one, self._upstream(one, placement, now)) for one in upstreams}

    def _upstream(self, one: model.Upstream, placement: Placement, now: Upstreams) -> Upstream:
        known = now.get(one.name)
        if known is None or known[0] != one or known[1].places != places(one, placement):
            return place(
                one, placement=placement, board=self._board, worker=self._worker, begins=False
            )
        return known[1]

    def _accept(
        self,
        listeners: Iterable[tuple[str, Callable[[int], int]]],
        sockets: Mapping[str, Sequence[int]],
    ) -> None:
        """Accept at these addresses, by what begins to listen on a socket; at no others."""
        former = self._listeners
        self._listeners = [
            (listen(fd), address) for address, listen in listeners for fd in sockets[address]
        ]
        for listener, address in former:
            self._engine.unlisten(listener, take=address not in sockets)

    def _replace(self, generation: int, before: Upstreams, after: Upstreams) -> None:
        """Note what only sessions of a former generation have now."""
        kept = {id(upstream) for _model, upstream in after.values()}
        self._former[generation] = [
            ref(upstream, self._look)
            for _model, upstream in before.values()
            if id(upstream) not in kept
        ]

    def _look(self, _gone: object = None) -> None:
        """Tell which generations nobody uses any more."""
        told = 0
        for generation, upstreams in list(self._former.items()):
            if any(one() is not None for one in upstreams):
                break
            told = generation
            del self._former[generation]
        if told:
            self._left(told)

    def stop_listening(self) -> None:
        """Accept no more; sessions go on."""
        for listener, _address in self._listeners:
            self._engine.unlisten(listener, take=True)
        self._listeners = []

"""Which slot of the board each upstream has, and which row each of its peers.

The master allots before a configuration goes to the workers, and the placement travels with it.
What stays from one configuration to the next keeps its place and so its connections and failures;
what goes keeps it too until no worker is left that knows of it, or until many have gone.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

    from tidegate.config.model import Model, Upstream
    from tidegate.scoreboard.board import Board

K = TypeVar("K", bound="Hashable")

# Peers of an upstream that left it and keep their places, for should they come back. Sessions may
# last for months, and names may mean other addresses every second meanwhile.
MOST_LEAVING = 256


class BoardFullError(ValueError):
    """A configuration with more upstreams or peers than the board has room for."""


class PeerKey(NamedTuple):
    """What makes a peer the same in two configurations.

    `nth` counts from 0 the peers of an upstream that are equal in all else: nginx takes a `server`
    that is written twice for two.
    """

    upstream: str
    name: str
    address: str
    backup: bool
    nth: int


class Leaving(NamedTuple):
    """A place that the configuration no longer names; workers up to `generation` may use it."""

    place: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places(Generic[K]):
    """Places on the board by key; `used` counts those ever given, `free` are to be given again."""

    taken: Mapping[K, int] = field(default_factory=dict)
    leaving: Mapping[K, Leaving] = field(default_factory=dict)
    free: tuple[int, ...] = ()
    used: int = 0

    def allot(
        self,
        keys: Iterable[K],
        *,
        former: int,
        room: int,
        reset: Callable[[int], None],
        heir: Callable[[K, int], K | None] = lambda _key, _keep: None,
    ) -> Places[K]:
        """Places for exactly `keys`; `reset` is called for new ones.

        What goes was last used in the generation `former`. `heir(key, keep)` may name one of
        `leaving` whose place is ready for `key`, if more than `keep` are there.
        Raises BoardFullError when more than `room` places would be in use.
        """
        taken: dict[K, int] = {}
        gone: set[K] = set()
        free = deque(self.free)
        used = self.used
        for key in keys:
            if key in self.taken:
                taken[key] = self.taken[key]
                continue
            if key in self.leaving:
                taken[key] = self.leaving[key].place
                continue
            full = not free and used >= room
            former_key = heir(key, 0 if full else MOST_LEAVING)
            if former_key is not None:
                gone.add(former_key)
                taken[key] = self.leaving[former_key].place
                continue
            if full:
                raise BoardFullError(room)
            if free:
                place = free.popleft()
            else:
                place, used = used, used + 1
            reset(place)
            taken[key] = place
        left = {key: Leaving(place, former) for key, place in self.taken.items()}
        leaving = {
            key: at
            for key, at in {**self.leaving, **left}.items()
            if key not in taken and key not in gone
        }
        return Places(taken=taken, leaving=leaving, free=tuple(free), used=used)

    @property
    def in_use(self) -> Places[K]:
        """Those of the configuration alone, which are all that a worker needs."""
        return Places(taken=self.taken, used=self.used)

    def retire(self, generation: int) -> Places[K]:
        """Free what no generation after `generation` has used."""
        gone = {key: at for key, at in self.leaving.items() if at.generation <= generation}
        return Places(
            taken=self.taken,
            leaving={key: at for key, at in self.leaving.items() if key not in gone},
            free=(*self.free, *sorted(at.place for at in gone.values())),
            used=self.used,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The places of one generation of the configuration; generations count from 1."""

    generation: int
    upstreams: Places[str]
    peers: Places[PeerKey]

    def retire(self, generation: int) -> Placement:
        """Free the places that were last used in `generation` or before.

        For the master, once no worker is left that runs a generation up to that one.
        """
        return Placement(
            generation=self.generation,
            upstreams=self.upstreams.retire(generation),
            peers=self.peers.retire(generation),
        )

    @property
    def in_use(self) -> Placement:
        """What a worker needs of it: without places that other generations had."""
        return Placement(
            generation=self.generation, upstreams=self.upstreams.in_use, peers=self.peers.in_use
        )


class Heirs:
    """Places of peers that left, for others of the same upstream: the oldest without sessions.

    A session that was there before may still go to such a peer. It then counts as one of the heir,
    for so long as it lives, which spoils nothing: both go by the mutex of the upstream.
    """

    def __init__(
        self, places: Places[PeerKey], keys: Collection[PeerKey], renew: Callable[[int], bool]
    ) -> None:
        """`keys` are all that are wanted; `renew` makes a place ready, if no session has it."""
        self._leaving = places.leaving
        self._renew = renew
        self._left: dict[str, deque[PeerKey]] = {}
        wanted = frozenset(keys) if places.leaving else frozenset()
        for key in places.leaving:
            if key not in wanted:
                self._left.setdefault(key.upstream, deque()).append(key)

    def former(self, key: PeerKey, keep: int) -> PeerKey | None:
        """Whose place `key` may have; None unless more than `keep` have left its upstream."""
        left = self._left.get(key.upstream)
        while left is not None and len(left) > keep:
            one = left.popleft()
            if self._renew(self._leaving[one].place):
                return one
        return None


def peer_keys(upstream: Upstream) -> list[PeerKey]:
    """Keys of an upstream's peers, in their order."""
    seen: Counter[tuple[str, str, bool]] = Counter()
    keys = []
    for peer in upstream.peers:
        alike = (peer.name, peer.address.text, peer.backup)
        keys.append(PeerKey(upstream.key, *alike, nth=seen[alike]))
        seen[alike] += 1
    return keys


def allot(
    model: Model, board: Board, previous: Placement | None, *, generation: int | None = None
) -> Placement:
    """Give all upstreams and peers of `model` their places on `board`, and make new ones ready.

    `generation` is the number to give it, the one after `previous` where none is said.
    `previous` stays as it is, and stays the one in force should `model` not come into force.
    Raises BoardFullError where the board is too small.
    """
    upstreams = (
        *(() if model.stream is None else model.stream.upstreams),
        *(() if model.http is None else model.http.upstreams),
    )
    former = 0 if previous is None else previous.generation
    slots: Places[str] = Places() if previous is None else previous.upstreams
    rows: Places[PeerKey] = Places() if previous is None else previous.peers
    keys = [key for upstream in upstreams for key in peer_keys(upstream)]
    try:
        return Placement(
            generation=former + 1 if generation is None else generation,
            upstreams=slots.allot(
                (upstream.key for upstream in upstreams),
                former=former,
                room=board.upstreams,
                reset=board.reset_upstream,
            ),
            peers=rows.allot(
                keys,
                former=former,
                room=board.peers,
                reset=board.reset_peer,
                heir=Heirs(rows, keys, board.renew_peer).former,
            ),
        )
    except BoardFullError:
        raise BoardFullError(
            f"{len(upstreams)} upstreams with {len(keys)} addresses do not fit into the shared "
            f"memory made at start for {board.upstreams} and {board.peers}, beside those that "
            "older workers still serve; a restart makes more room"
        ) from None

"""How large the scoreboard of an instance is: it is mapped once, and never grown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.parts import upstreams
from tidegate.process.rollout import seats_of
from tidegate.scoreboard.board import Board

if TYPE_CHECKING:
    from tidegate.config.model import Model, Upstream

# Least numbers of slots: room for the configurations to come. Unused ones cost no memory.
SPARE_WORKERS = 64
UPSTREAMS = 1024
PEERS = 8192
PEERS_OF_A_NAME = 64


def board_for(model: Model) -> Board:
    """A board for an instance that begins with this configuration."""
    groups = upstreams(model)
    return Board.create(
        workers=seats_of(model) + SPARE_WORKERS,
        upstreams=max(UPSTREAMS, 2 * len(groups)),
        peers=max(PEERS, 2 * sum(map(_most_peers, groups))),
    )


def _most_peers(upstream: Upstream) -> int:
    """How many peers an upstream is thought to have one day."""
    return len(upstream.peers) + PEERS_OF_A_NAME * len(upstream.moving)

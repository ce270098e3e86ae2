from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tidegate.balance.placement import allot
from tidegate.balance.upstream import place
from tidegate.config.model import Model, Peer, RoundRobin, Stream, Upstream
from tidegate.config.span import Span
from tidegate.scoreboard.board import Board
from tidegate.wire.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Method

NOWHERE = Span("test.conf", 1, 1)
TURNS = RoundRobin()


def make_peer(number: int, **numbers: object) -> Peer:
    given = {
        "address": Address(family=socket.AF_INET, host=f"10.0.0.{number + 1}", port=1883),
        "name": f"broker{number}:1883",
        "weight": 1,
        "max_conns": 0,
        "max_fails": 1,
        "fail_timeout": 10,
        "down": False,
        "backup": False,
    }
    return Peer(**(given | numbers))  # type: ignore[arg-type]


def make_model(*, method: Method = TURNS, **upstreams: tuple[Peer, ...]) -> Model:
    return Model(
        files=(),
        user=None,
        group=None,
        worker_processes=1,
        worker_connections=512,
        worker_rlimit_nofile=None,
        worker_priority=0,
        worker_shutdown_timeout_ms=None,
        daemon=False,
        master_process=True,
        pid="/dev/null",
        error_logs=(),
        env=(),
        stream=Stream(
            upstreams=tuple(
                Upstream(
                    name=name,
                    peers=peers,
                    method=method,
                    zone=None,
                    implicit=False,
                    span=NOWHERE,
                )
                for name, peers in upstreams.items()
            ),
            limit_conn_zones=(),
            servers=(),
        ),
        http=None,
    )


def make_upstreams(*peers: Peer, workers: int = 1, method: Method = TURNS) -> tuple[Board, list]:
    """One upstream of these peers as each of so many workers sees it."""
    board = Board.create(workers=workers, upstreams=1, peers=max(1, len(peers)))
    model = make_model(method=method, emqx=peers)
    placement = allot(model, board, None)
    (upstream,) = model.stream.upstreams
    return board, [
        place(upstream, placement=placement, board=board, worker=worker)
        for worker in range(workers)
    ]


@pytest.fixture(scope="session")
def peer() -> Callable[..., Peer]:
    return make_peer


@pytest.fixture(scope="session")
def model() -> Callable[..., Model]:
    return make_model


@pytest.fixture(scope="session")
def upstreams() -> Callable[..., tuple[Board, list]]:
    return make_upstreams

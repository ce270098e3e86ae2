"""What runs, for people and programs that ask: workers, and the peers of each upstream.

Plain dicts and lists, ready for JSON. Times are seconds, memory is bytes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tidegate.config import parts
from tidegate.health.failure import words

if TYPE_CHECKING:
    from tidegate.balance.placement import Placement
    from tidegate.config.model import Model, Peer
    from tidegate.scoreboard.board import Board, PeerRow

ACTIVE = 0  # the worker's gauge of sessions (engine: COUNTERS)
COUNTED = ("active", "accepted", "handled", "requests", "reading", "writing", "waiting")


def sessions(board: Board, slot: int) -> int:
    """How many sessions the worker in that slot has."""
    return int(board.worker_counters(slot)[ACTIVE])


def connections(board: Board) -> dict[str, int]:
    """The connections and requests of all workers, as nginx counts them; the keys are COUNTED."""
    from tidegate.engine.loop import COUNTERS  # noqa: PLC0415 only for who asks

    places = {name: COUNTERS.index(name) for name in COUNTED if name in COUNTERS}
    rows = [board.worker_counters(slot) for slot in range(board.workers)]
    return {
        name: sum(row[places[name]] for row in rows) if name in places else 0 for name in COUNTED
    }


def stub_status(board: Board) -> bytes:
    """nginx's status page, byte for byte."""
    of = connections(board)
    return (
        f"Active connections: {of['active']} \n"
        "server accepts handled requests\n"
        f" {of['accepted']} {of['handled']} {of['requests']} \n"
        f"Reading: {of['reading']} Writing: {of['writing']} Waiting: {of['waiting']} \n"
    ).encode()


def private_memory(pid: int) -> int | None:
    """Bytes that a process shares with nobody; None where that is not to be known."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
    except (OSError, ValueError):
        return None


def upstreams(model: Model, placement: Placement, board: Board) -> list[dict[str, object]]:
    """Each upstream with its peers, in the order of the configuration: stream's, then http's."""
    from tidegate.balance.upstream import places  # noqa: PLC0415 only for who asks

    found: list[dict[str, object]] = []
    for upstream in parts.upstreams(model):
        rows = [board.peer_row(row) for row in places(upstream, placement)[1:]]
        single = len(upstream.peers) == 1
        found.append(
            {
                "name": upstream.name,
                "http": upstream.http,
                "method": type(upstream.method).__name__,
                "peers": [
                    _peer(peer, row, single=single)
                    for peer, row in zip(upstream.peers, rows, strict=True)
                ],
            }
        )
    return found


def _peer(peer: Peer, row: PeerRow, *, single: bool) -> dict[str, object]:
    return {
        "address": peer.address.text,
        "server": peer.name,
        "state": state_of(peer, row, single=single),
        "slow_start": slow_start(peer, row, single=single),
        "weight": peer.weight,
        "backup": peer.backup,
        "active": row.conns,
        "max_conns": peer.max_conns,
        "total": row.selected,
        "fails": row.total_fails,
        "average_ms": _averages(row),
        "last_failure": {"why": words(row.failed_why), "at": row.failed_at}
        if row.failed_at
        else None,
    }


def _averages(row: PeerRow) -> dict[str, int | None]:
    """What is known of a peer's speed; None is nothing yet, or that its method does not ask."""
    from tidegate.scoreboard.group import TIMES  # noqa: PLC0415 only for who asks

    averages = zip(TIMES, (row.connect_ms, row.first_byte_ms, row.last_byte_ms), strict=True)
    return {name: ms or None for name, ms in averages}


def state_of(peer: Peer, row: PeerRow, *, single: bool) -> str:
    """`up`, `down` (as configured), `unavailable` (by its failures), `full` or `slow start`."""
    if peer.down:
        return "down"
    out = 0 < peer.max_fails <= row.fails
    # nginx never takes the only peer of a group out of service.
    if out and not single and int(time.monotonic()) - row.checked <= peer.fail_timeout:
        return "unavailable"
    if peer.max_conns and row.conns >= peer.max_conns:
        return "full"
    return "up" if slow_start(peer, row, single=single) is None else "slow start"


def slow_start(peer: Peer, row: PeerRow, *, single: bool) -> int | None:
    """Per cent of its weight that a peer has while it comes back; None when it has all of it."""
    passed = time.monotonic() * 1000 - row.back
    if single or not row.back or passed >= peer.slow_start_ms:
        return None
    return int(max(passed, 0.0) * 100 / peer.slow_start_ms)

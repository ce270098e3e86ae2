"""Nodes that take connections and close them before they said a word.

Nothing in the traffic says why, and connects succeed, so no failure is counted; the usual cause is
a setting on one side only. The counts are common to all workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.model import Peer

# A broker that cannot read what it gets closes at once; one whose client stays silent does so
# after its own time-out, 10 s and more with the brokers we know.
EARLY_CLOSE_MS = 5_000
# Once may be a restart, twice chance; the message comes with the third and not again until the
# node has answered somebody.
EARLY_CLOSES = 3

CLOSED_BY_NODE = frozenset({"upstream_closed", "upstream_error"})


class Report(Protocol):
    """What is read of the engine's report of a session."""

    reason: str
    upstream_bytes_received: int
    upstream_ms: int  # since the last try began, -1 without one


class Upstream(Protocol):
    """What is used of an upstream."""

    name: str

    @property
    def peers(self) -> Sequence[Peer]:
        """Its peers."""

    def closed_early(self, index: int) -> int:
        """Count one more; returns how many in a row."""

    def answered(self, index: int) -> None:
        """End the row."""


def watch(upstream: Upstream, index: int, report: Report, *, proxy_protocol: bool) -> str | None:
    """Count a session that peer `index` had accepted; the line to log when it is telling.

    `proxy_protocol` says whether a PROXY header was sent to the peer.
    """
    if report.upstream_bytes_received > 0:
        upstream.answered(index)
        return None
    if report.reason not in CLOSED_BY_NODE or not 0 <= report.upstream_ms < EARLY_CLOSE_MS:
        return None
    if upstream.closed_early(index) != EARLY_CLOSES:
        return None
    return (
        f'{upstream.peers[index].address.text} of upstream "{upstream.name}" closed '
        f"{EARLY_CLOSES} connections in a row before it sent a byte: {likely_cause(proxy_protocol)}"
    )


def likely_cause(proxy_protocol: bool) -> str:  # noqa: FBT001
    """Say what most often makes a node close what it accepted."""
    if proxy_protocol:
        return (
            '"proxy_protocol on" is set here, but its listener may not have PROXY protocol enabled'
        )
    return "it may expect PROXY protocol or TLS"

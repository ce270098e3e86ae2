from __future__ import annotations

import socket
from dataclasses import dataclass, field

import pytest

from tidegate.config.model import Peer
from tidegate.health.passive import EARLY_CLOSE_MS, EARLY_CLOSES, watch
from tidegate.wire.address import Address


@dataclass
class Report:
    reason: str = "upstream_closed"
    upstream_bytes_received: int = 0
    upstream_ms: int = 3


@dataclass
class Upstream:
    """The counts as the board keeps them, for one peer."""

    name: str = "emqx"
    early: int = 0
    peers: tuple[Peer, ...] = field(
        default=(
            Peer(
                address=Address(family=socket.AF_INET, host="10.0.0.1", port=1883),
                name="broker:1883",
                weight=1,
                max_conns=0,
                max_fails=1,
                fail_timeout=10,
                down=False,
                backup=False,
            ),
        )
    )

    def closed_early(self, index):
        assert index == 0
        self.early += 1
        return self.early

    def answered(self, index):
        assert index == 0
        self.early = 0


def lines(upstream, *reports, proxy_protocol=False):
    return [watch(upstream, 0, report, proxy_protocol=proxy_protocol) for report in reports]


def test_the_third_early_close_in_a_row_and_no_other_names_a_cause():
    said = lines(Upstream(), *[Report()] * 10)
    assert [number for number, line in enumerate(said, 1) if line] == [EARLY_CLOSES] == [3]


def test_without_proxy_protocol_the_cause_may_be_proxy_protocol_or_tls():
    assert lines(Upstream(), *[Report()] * 3)[-1] == (
        '10.0.0.1:1883 of upstream "emqx" closed 3 connections in a row before it sent a byte: '
        "it may expect PROXY protocol or TLS"
    )


def test_with_proxy_protocol_the_cause_may_be_a_listener_without_it():
    line = lines(Upstream(), *[Report()] * 3, proxy_protocol=True)[-1]
    assert line.endswith("its listener may not have PROXY protocol enabled")
    assert "TLS" not in line


def test_a_reset_counts_like_a_close():
    assert lines(Upstream(), *[Report("upstream_error")] * 3)[-1]


@pytest.mark.parametrize(
    "report",
    [
        Report("client_closed"),
        Report("client_error"),
        Report("timed_out"),
        Report("refused", upstream_ms=-1),
        Report(upstream_ms=EARLY_CLOSE_MS),
    ],
)
def test_other_ends_say_nothing_of_the_node(report):
    upstream = Upstream()
    assert lines(upstream, *[report] * 5) == [None] * 5
    assert lines(upstream, Report(), report, Report(), report, Report())[-1]


def test_an_answer_ends_the_row_and_then_it_is_said_again():
    upstream = Upstream()
    answer = Report("client_closed", upstream_bytes_received=4, upstream_ms=90_000)
    row = [Report()] * 3
    said = lines(upstream, Report(), Report(), answer, *row, answer, *row)
    assert [number for number, line in enumerate(said) if line] == [5, 9]

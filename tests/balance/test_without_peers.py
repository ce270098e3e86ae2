"""An upstream whose names mean nothing at the moment: every method finds nobody, or the backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tidegate.balance.attempt import Attempt
from tidegate.config.model import Hash, IpHash, LeastConn, LeastTime, Random, RoundRobin
from tidegate.variables.template import Template, Variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model import Method, Peer

KEY = Template((Variable("remote_addr"),))
METHODS = [
    RoundRobin(),
    Hash(key=KEY, consistent=False),
    Hash(key=KEY, consistent=True),
    IpHash(),
    LeastConn(),
    LeastTime(by="first_byte", inflight=True),
    Random(two=False),
    Random(two=True),
    Random(two=True, by="connect"),
]


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("key", [b"", b"client"])
def test_nobody_is_found(upstreams: Callable[..., tuple], method: Method, key: bytes) -> None:
    _board, (upstream,) = upstreams(method=method)
    assert upstream.tries == 0
    assert [upstream.pick(Attempt(key)) for _ in range(3)] == [-1, -1, -1]


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_backup_that_is_alone_is_found(
    upstreams: Callable[..., tuple], peer: Callable[..., Peer], method: Method
) -> None:
    _board, (upstream,) = upstreams(peer(0, backup=True), method=method)
    assert upstream.pick(Attempt(b"client")) == 0

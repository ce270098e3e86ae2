"""The master keeps caches by name and size over configurations; workers keep what they know."""

import os

import pytest

from tidegate.config.load import load
from tidegate.process.caches import Caches, attach

SERVER = (
    "server { listen 127.0.0.1:%d ssl; return x; ssl_reject_handshake on;"
    " ssl_session_cache shared:%s; }"
)


@pytest.fixture
def stream(tmp_path):
    def make(*caches):
        conf = tmp_path / "tidegate.conf"
        servers = [SERVER % (port, cache) for port, cache in enumerate(caches, 1)]
        conf.write_text(f"events {{}} stream {{ {' '.join(servers)} }}")
        loaded = load(str(conf), prefix=str(tmp_path))
        assert loaded.model is not None, loaded.problems
        return loaded.model.stream

    return make


def taken(caches):
    """What a worker gets: descriptors of its own."""
    return {name: os.dup(fd) for name, fd in caches.fds.items()}


def test_servers_that_name_the_same_cache_share_it(stream):
    caches = Caches().followed_by(stream("a:32k", "b:32k", "a:32k"))
    ours, theirs = (attach(taken(caches), {}) for _ in range(2))
    assert set(ours) == {"a", "b"}
    ours["a"].keep(b"key", b"data", seconds=100)
    assert theirs["a"].find(b"key") == b"data"
    assert theirs["b"].find(b"key") is None


@pytest.mark.parametrize(("after", "stays"), [("a:32k", True), ("a:64k", False)])
def test_a_cache_stays_where_its_name_and_size_do(stream, after, stays):
    caches = Caches().followed_by(stream("a:32k", "b:32k"))
    known = attach(taken(caches), {})
    known["a"].keep(b"key", b"data", seconds=100)
    (cache,) = attach(taken(caches.followed_by(stream(after))), known).values()
    assert (cache is known["a"]) is stays
    assert (cache.find(b"key") == b"data") is stays


def test_a_configuration_without_caches_has_none(stream):
    assert Caches().followed_by(None, stream()).fds == {}


def test_attaching_closes_what_it_was_given(stream):
    fds = taken(Caches().followed_by(stream("a:32k")))
    attach(fds, {})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds["a"])

"""Targets of requests: what is decoded and shortened, and what leads nowhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.http.uri import UriError, escape, read_target


@pytest.mark.parametrize(
    ("target", "path", "args"),
    [
        (b"/", b"/", None),
        (b"/a/b?c=d&e", b"/a/b", b"c=d&e"),
        (b"/a?", b"/a", b""),
        (b"/%41%2fb%20", b"/A/b ", None),
        (b"/a//b///c", b"/a/b/c", None),
        (b"/a/./b/../c/.", b"/a/c/", None),
        (b"/a/..", b"/", None),
        (b"/a/%2e%2e/b", b"/b", None),
        (b"/a#b?c", b"/a", None),
        (b"/.a/..b/c..", b"/.a/..b/c..", None),
        (b"http://h:1/x?y", b"/x", b"y"),
        (b"http://h?y", b"/", b"y"),
    ],
)
def test_a_target_has_a_path_and_arguments(target, path, args):
    found = read_target(target, merge_slashes=True)
    assert (found.path, found.args) == (path, args)


def test_slashes_may_stay():
    assert read_target(b"/a//b", merge_slashes=False).path == b"/a//b"


def test_what_the_client_wrote_is_kept_for_the_broker():
    assert read_target(b"/%41/../b?c", merge_slashes=True).raw == b"/%41/../b?c"


@pytest.mark.parametrize(
    "target",
    [b"*", b"a", b"/..", b"/a/../..", b"/%2e%2e", b"/%", b"/%4", b"/%zz", b"/%00", b"//../.."],
)
def test_what_leads_nowhere_is_refused(target):
    with pytest.raises(UriError):
        read_target(target, merge_slashes=True)


@given(st.binary(max_size=60))
def test_no_path_leads_out_of_the_root(rest):
    try:
        path = read_target(b"/" + rest, merge_slashes=True).path
    except UriError:
        return
    assert path.startswith(b"/")
    assert b"/../" not in path + b"/"
    assert b"\0" not in path
    assert read_target(escape(path), merge_slashes=True).path == path

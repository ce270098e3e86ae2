import os
import pickle

import pytest

from tidegate.balance.placement import Placement, Places
from tidegate.config.load import load
from tidegate.process import handover
from tidegate.process.handover import Handover


@pytest.fixture
def given(tmp_path):
    path = tmp_path / "t.conf"
    path.write_text("events {} stream { server { listen 127.0.0.1:1; return '$pid'; } }")
    model = load(str(path), prefix=str(tmp_path)).model
    placement = Placement(generation=3, upstreams=Places(), peers=Places())
    return Handover(generation=3, model=model, placement=placement)


def test_what_goes_in_comes_out_for_every_child(given):
    fd = handover.seal(given)
    assert handover.unseal(os.dup(fd)) == given
    assert handover.unseal(os.dup(fd)) == given
    os.close(fd)


def test_nobody_changes_it_on_the_way(given):
    fd = handover.seal(given)
    with pytest.raises(PermissionError):
        os.write(fd, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_what_is_not_sealed_is_not_unpickled():
    fd = os.memfd_create("x", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, pickle.dumps("x"))
    with pytest.raises(ValueError, match="not sealed"):
        handover.unseal(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)

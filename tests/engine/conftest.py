"""Every engine test gets a rig; a decision that raised unasked fails the test."""

from __future__ import annotations

import pytest

from lab.engine import Rig


@pytest.fixture
def rig(request):
    made = Rig(getattr(request, "param", 10_000))
    yield made
    made.close()
    assert made.troubles == []

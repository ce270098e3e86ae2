"""When a change of names is tried, and tried again."""

import pytest

from tidegate.process.renames import Renames


class Loop:
    """A clock that the test moves, with one timer."""

    def __init__(self):
        self.now = 100.0
        self.timers = []

    def time(self):
        return self.now

    def call_later(self, seconds, call):
        self.timers.append(Timer(self.now + seconds, call))
        return self.timers[-1]

    def move(self, seconds):
        self.now += seconds
        for timer in [one for one in self.timers if one.at <= self.now]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.call()

    @property
    def waits(self):
        """Seconds until each timer that was not cancelled."""
        return [pytest.approx(one.at - self.now) for one in self.timers if not one.cancelled]


class Timer:
    def __init__(self, at, call):
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def loop():
    return Loop()


def test_answers_that_come_together_are_one_change(loop):
    begun = []
    renames = Renames(loop, lambda: begun.append(loop.now))
    for _ in range(3):
        renames.changed()
    assert not renames.may_begin
    loop.move(1)
    assert len(begun) == 1
    assert renames.may_begin


def test_what_fails_is_tried_again_later_and_later(loop):
    renames = Renames(loop, lambda: None)
    for seconds in (5, 10, 20, 40, 40):
        renames.failed()
        renames.changed()
        assert loop.waits == [seconds]
        loop.move(seconds - 1)
        assert not renames.may_begin
        loop.move(1)
        assert renames.may_begin


def test_a_reload_that_works_ends_the_wait(loop):
    renames = Renames(loop, lambda: None)
    renames.failed()
    renames.failed()
    renames.succeeded()
    assert renames.may_begin
    assert loop.waits == []
    renames.changed()
    assert loop.waits == [0.05]
    renames.failed()
    assert loop.waits == [5]

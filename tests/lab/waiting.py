"""Waiting for a condition, never for luck."""

import time

POLL = 0.01
PATIENCE = 15.0  # what takes milliseconds on an idle machine may take seconds on a busy one


def wait_until(condition, what, *, timeout=PATIENCE, context=lambda: ""):
    """Return the first true value of `condition()`; AssertionError naming `what` after `timeout`.

    `context()` is added to the message: the output of the program that was waited for.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what}\n{context()}".rstrip())
        time.sleep(POLL)


def stays(condition, what, *, seconds):
    """Fail unless `condition()` holds all the while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), what
        time.sleep(POLL)

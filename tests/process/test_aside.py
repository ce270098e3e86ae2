"""Work beside the loop: neither the loop nor the end of the program waits for it."""

import asyncio
import subprocess
import sys
import threading

import pytest

from lab.waiting import PATIENCE
from tidegate.process.aside import aside, within

HANGS = """
import asyncio, threading
from tidegate.process.aside import aside

async def main():
    task = asyncio.ensure_future(aside(threading.Event().wait))
    await asyncio.sleep(0)
    task.cancel()

asyncio.run(main())
"""


async def test_what_it_gives_comes_back_and_so_does_what_it_raises():
    assert await aside(lambda: 7) == 7
    with pytest.raises(KeyError):
        await aside({}.popitem)


async def test_the_loop_goes_on_meanwhile():
    goes_on = threading.Event()
    asyncio.get_running_loop().call_soon(goes_on.set)
    assert await aside(lambda: goes_on.wait(PATIENCE))


def test_a_program_ends_whatever_hangs():
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        env={"PYTHONPATH": ":".join(sys.path)},
        timeout=PATIENCE,
        check=True,
        stderr=subprocess.PIPE,
    )
    assert done.stderr == b""


def test_who_waits_is_told_whether_it_is_done():
    goes_on = threading.Event()
    assert within(PATIENCE, goes_on.set)
    goes_on.clear()
    assert not within(0.01, goes_on.wait)
    goes_on.set()

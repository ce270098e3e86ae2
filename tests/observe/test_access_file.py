"""When the lines of an access log reach its file: at the end of a turn, or as its buffer says."""

import asyncio
import contextlib
import os

import pytest

from lab.waiting import PATIENCE
from tidegate.config.model import LogBuffer
from tidegate.observe.access_file import AccessFile, BufferedFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


def run(path, main, *, buffer=None):
    """Run `main(file, text, told)` on a loop; `text()` is what the file holds."""

    async def on_loop():
        told = []
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        options = {"name": "access.log", "told": told.append}
        loop = asyncio.get_running_loop()
        if buffer is None:
            file = AccessFile(fd, loop, **options)
        else:
            file = BufferedFile(fd, loop, **options, buffer=buffer)
        await main(file, path.read_text)
        os.close(fd)
        assert told == []

    asyncio.run(on_loop())


def test_the_lines_of_a_turn_are_one_write(path):
    async def main(file, text):
        file.write("one")
        file.write("two")
        assert text() == ""
        await asyncio.sleep(0)
        assert text() == "one\ntwo\n"

    run(path, main)


def test_a_buffer_is_written_when_the_next_line_does_not_fit(path):
    async def main(file, text):
        file.write("123")
        file.write("äöü")  # 7 bytes with its end
        await asyncio.sleep(0.01)
        assert text() == ""
        file.write("1")
        assert text() == "123\näöü\n"
        file.write("x" * 12)  # more than the buffer: out at once, behind what waits
        assert text() == "123\näöü\n1\n" + "x" * 12 + "\n"
        file.write("2")
        file.finish()
        assert text().endswith("x\n2\n")

    run(path, main, buffer=LogBuffer(size=12, flush_ms=0))


def test_a_buffer_is_written_when_its_time_has_come(path):
    async def main(file, text):
        loop = asyncio.get_running_loop()
        for word in ("one\n", "one\ntwo\n"):
            file.write(word.split()[-1])
            began = loop.time()
            while text() != word:
                assert loop.time() < began + PATIENCE
                await asyncio.sleep(0.005)
            assert loop.time() - began > 0.04
        await asyncio.sleep(0.1)
        assert text() == "one\ntwo\n"

    run(path, main, buffer=LogBuffer(size=1000, flush_ms=50))


def test_a_pipe_gets_its_lines_when_it_is_read_again():
    async def main():
        told = []
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        loop = asyncio.get_running_loop()
        file = AccessFile(writing, loop, name="pipe", told=told.append)
        line = "x" * 999
        for _ in range(200):
            file.write(line)
        heard = b""
        deadline = loop.time() + PATIENCE
        while heard.count(b"\n") < 200:
            assert loop.time() < deadline
            await asyncio.sleep(0.01)
            with contextlib.suppress(BlockingIOError):
                heard += os.read(reading, 1 << 20)
        assert heard == f"{line}\n".encode() * 200
        assert told == []
        os.close(reading)
        os.close(writing)

    asyncio.run(main())

import asyncio
import json
import os
import socket

import pytest

from lab.descriptors import open_descriptors
from tidegate.process import channel as channels
from tidegate.process.channel import Channel, ChannelError


@pytest.fixture
def pair():
    """The master's end, the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends = Channel(ours, takes_descriptors=False), Channel(theirs, takes_descriptors=True)
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def raw():
    """A bare socket, and the end of one who reads from it with descriptors, and one without."""
    made = []

    def make(*, takes_descriptors):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        end = Channel(theirs, takes_descriptors=takes_descriptors)
        made.extend([ours, end])
        return ours, end

    yield make
    for one in made:
        one.close()


@pytest.fixture
def pipes():
    made = []

    def make(count):
        files = {f"log:/var/log/{number}": os.memfd_create(str(number)) for number in range(count)}
        for path, fd in files.items():
            os.write(fd, path.encode())
        made.extend(files.values())
        return files

    yield make
    for fd in made:
        os.close(fd)


def content(fd):
    return os.pread(fd, 100, 0).decode()


def close(fds):
    for fd in fds.values():
        os.close(fd)


def test_a_message_arrives_with_its_words_and_descriptors(pair, pipes):
    master, child = pair
    files = pipes(3)
    master.send("prepare", fds=files, generation=7)
    message = child.receive()
    assert (message.kind, message.body) == ("prepare", {"generation": 7})
    assert {key: content(fd) for key, fd in message.fds.items()} == {key: key for key in files}
    assert not any(os.get_inheritable(fd) for fd in message.fds.values())
    close(message.fds)


@pytest.mark.parametrize("count", [0, 1, 252, 253, 254, 700])
def test_more_descriptors_than_the_kernel_takes_at_once_arrive_whole(pair, pipes, count):
    master, child = pair
    files = pipes(count)
    master.send("prepare", fds=files)
    message = child.receive()
    assert {key: content(fd) for key, fd in message.fds.items()} == {key: key for key in files}
    close(message.fds)
    with pytest.raises(BlockingIOError):
        child.receive()


async def test_long_paths_are_no_obstacle(pair):
    master, child = pair
    loop = asyncio.get_running_loop()
    heard = loop.create_future()
    child.attach(loop, heard.set_result, on_end=heard.set_exception)
    master.attach(loop, print, on_end=print)
    null = os.open(os.devnull, os.O_RDONLY)
    files = {f"log:{number}{'x' * 4000}": null for number in range(300)}
    master.send("reopen", fds=files)
    os.close(null)
    message = await asyncio.wait_for(heard, 10)
    assert list(message.fds) == list(files)
    close(message.fds)


async def test_a_child_that_does_not_read_holds_nobody_up_and_gets_everything_later(pair, pipes):
    master, child = pair
    heard = []
    master.attach(asyncio.get_running_loop(), heard.append, on_end=heard.append)
    files = pipes(2)
    for number in range(2000):
        master.send("reopen", fds=files, number=number)
    close(dict(enumerate(os.dup(fd) for fd in files.values())))
    everything = asyncio.get_running_loop().create_future()
    numbers = []

    def read(message):
        numbers.append(message.body["number"])
        assert {key: content(fd) for key, fd in message.fds.items()} == {key: key for key in files}
        close(message.fds)
        if len(numbers) == 2000:
            everything.set_result(None)

    child.attach(asyncio.get_running_loop(), read, on_end=everything.set_exception)
    await asyncio.wait_for(everything, 20)
    assert numbers == list(range(2000))
    assert heard == []


async def test_the_end_of_the_other_side_is_told_once(pair):
    master, child = pair
    ended = asyncio.get_running_loop().create_future()
    child.attach(asyncio.get_running_loop(), lambda _message: None, on_end=ended.set_result)
    master.send("quit")
    master.close()
    assert isinstance(await asyncio.wait_for(ended, 10), EOFError)


def test_sending_to_one_who_is_gone_is_no_error(pair):
    master, child = pair
    child.close()
    master.send("quit")


def test_waiting_without_a_loop_ends_in_time(pair):
    master, child = pair
    with pytest.raises(TimeoutError):
        child.wait(0.01)
    master.send("welcome", connections=5)
    assert child.wait(10).body == {"connections": 5}


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"null",
        b'{"type": 1}',
        b'{"keys": []}',
        b'{"type": "x", "keys": 1}',
        b'{"type": "x", "keys": [1]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type": "more", "keys": ["a"]}',
    ],
)
def test_what_is_no_message_is_one_error(raw, data):
    sock, end = raw(takes_descriptors=True)
    sock.send(data)
    with pytest.raises(ChannelError):
        end.receive()


def test_a_worker_cannot_make_the_master_collect_descriptors(raw):
    sock, end = raw(takes_descriptors=False)
    before = open_descriptors()
    with open(os.devnull, "rb") as file:
        socket.send_fds(sock, [json.dumps({"type": "ready"}).encode()], [file.fileno()] * 50)
    assert end.receive().kind == "ready"
    assert open_descriptors() <= before


async def test_a_talkative_child_leaves_the_loop_to_others(raw):
    sock, end = raw(takes_descriptors=False)
    loop = asyncio.get_running_loop()
    turns = []
    done = loop.create_future()

    def heard(_message):
        turns.append("message")
        if turns.count("message") == 2 * channels.AT_ONCE:
            done.set_result(None)
        if turns.count("message") == 1:
            loop.call_soon(turns.append, "somebody else")

    for _ in range(2 * channels.AT_ONCE):
        sock.send(b'{"type": "x"}')
    end.attach(loop, heard, on_end=done.set_exception)
    await asyncio.wait_for(done, 10)
    assert turns.index("somebody else") <= channels.AT_ONCE

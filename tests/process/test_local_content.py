"""The control process as the master keeps it and as a worker finds it."""

import asyncio
import contextlib
import os
import pathlib
import pwd
import signal
import socket
import stat
import tempfile

import pytest

from lab import local, proc
from lab.process import read
from lab.waiting import PATIENCE
from tidegate.dataclasses import replace
from tidegate.http.local import STUB_STATUS, status_request, verdict
from tidegate.observe.error_log import ErrorLog
from tidegate.observe.opening import open_log
from tidegate.process.errors import StartError
from tidegate.process.local_content import LocalContent
from tidegate.process.names import Names
from tidegate.process.site import Site
from tidegate.scoreboard.board import Board

STATUS = (
    b"Active connections: 0 \nserver accepts handled requests\n 0 0 0 \n"
    b"Reading: 0 Writing: 0 Waiting: 0 \n"
)


def exists(path):
    return os.path.exists(path)


class Kept:
    """A `LocalContent` in this test's loop, with a log of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.model = local.of_model(folder)
        path = self.model.error_logs[0].path
        self.fds = {path: open_log(path)}
        log = ErrorLog(self.model.error_logs, self.fds)
        self.content = LocalContent(
            board=Board.create(workers=2, upstreams=1, peers=1),
            loop=asyncio.get_running_loop(),
            log=log,
            names=Names(log, lambda: None),
            logs=lambda: self.fds,
            stderr=dict,
        )

    @property
    def log(self):
        return read(self.model.error_logs[0].path)

    def pids(self):
        return [child.pid for child in self.content]

    async def until(self, condition, what):
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)
        assert condition(), what

    async def serving(self):
        await self.until(
            lambda: [child for child in self.content if child.serving], "a control process serves"
        )
        return self.pids()[0]

    async def ask(self, path, data):
        return await asyncio.to_thread(local.ask, path, data)


@pytest.fixture
async def kept(tmp_path):
    made = Kept(tmp_path)
    yield made
    pids = made.pids()
    gone = asyncio.get_running_loop().create_future()
    made.content.retire(lambda: gone.set_result(None))
    async with asyncio.timeout(PATIENCE):
        await gone
    made.content.close()
    for fd in made.fds.values():
        os.close(fd)
    assert not any(map(proc.alive, pids))


async def test_the_status_page_is_nginx_s_to_the_byte(kept):
    path = kept.content.path_for(kept.model)
    answer = await kept.ask(path, status_request("GET"))
    assert (answer.status, answer.body) == (200, STATUS)
    assert answer.headers == {
        "content-type": "text/plain",
        "content-length": str(len(STATUS)),
        "connection": "close",
    }
    assert answer.rest == b""


async def test_the_status_page_has_a_head_and_no_other_method(kept):
    path = kept.content.path_for(kept.model)
    answer = await kept.ask(path, status_request("HEAD"))
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(STATUS)))
    answer = await kept.ask(path, status_request("POST"))
    assert verdict(answer.status, answer.raw()).status == 405


async def test_workers_who_ask_before_it_runs_wait_for_it(kept):
    path = kept.content.path_for(kept.model)
    assert not any(child.serving for child in kept.content)
    assert (await kept.ask(path, status_request("GET"))).status == 200


async def test_one_that_is_killed_is_back_and_who_asked_meanwhile_waited(kept):
    path = kept.content.path_for(kept.model)
    for _ in range(3):
        pid = await kept.serving()
        os.kill(pid, signal.SIGKILL)
        answer = await kept.ask(path, status_request("GET"))
        assert answer.status == 200
        assert kept.pids() != [pid]
    assert f"control process {pid} exited on signal 9" in kept.log


async def test_the_folder_is_of_the_workers_alone_and_goes_at_the_end(kept):
    path = kept.content.path_for(kept.model)
    folder = os.path.dirname(path)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    await kept.serving()
    kept.content.settle(replace(kept.model, http=None), [])
    assert not exists(folder)
    await kept.until(lambda: not kept.pids(), "the control process leaves")


def test_what_a_killed_instance_left_is_removed_by_the_next(monkeypatch):
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv("TMPDIR", name)
        model = local.of_model(pathlib.Path(name))
        left, young, living = Site(model), Site(model), Site(model)
        for site in (left, young):
            site.socket.close()
        for site in (left, living):
            os.utime(site.path, (0, 0))
        other = Site(model)
        there = [exists(site.path) for site in (left, young, living, other)]
        assert there == [False, True, True, True]
        assert not exists(left.folder)
        for site in (young, living, other):
            site.remove()
        assert not os.listdir(name)


def test_a_folder_too_deep_for_a_socket_is_named(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with pytest.raises(StartError, match=r"path too long\); TMPDIR may name another folder"):
        Site(local.of_model(tmp_path))
    assert not os.listdir(deep)


async def test_one_without_content_in_any_location_starts_when_it_is_asked(kept):
    outside = local.location(local.files(kept.folder), match=None)
    elsewhere = local.location(None, text="/mqtt")
    model = replace(kept.model, http=local.of_http(elsewhere, outside=outside))
    path = kept.content.path_for(model)
    kept.content.settle(model, [])
    assert kept.pids() == []
    answer = await kept.ask(path, local.request(outside, "/no"))
    assert verdict(answer.status, answer.raw()).status == 404


async def test_no_content_needs_no_process(kept):
    assert kept.content.path_for(replace(kept.model, http=None)) == ""
    assert kept.pids() == []


async def test_a_reload_keeps_the_process_and_gives_it_the_new_settings(kept):
    path = kept.content.path_for(kept.model)
    pid = await kept.serving()
    other = str(kept.folder / "other.log")
    kept.fds[other] = open_log(other)
    log = replace(kept.model.error_logs[0], path=other)
    model = replace(kept.model, error_logs=(log,))
    assert kept.content.path_for(model) == path
    kept.content.settle(model, [])
    assert kept.pids() == [pid]
    await kept.ask(path, status_request("GET"))
    os.kill(pid, signal.SIGTERM)
    await kept.until(lambda: "exiting" in read(other), "the new log has the line")


async def test_workers_with_other_rights_get_another_process(kept):
    before = kept.content.path_for(kept.model)
    pid = await kept.serving()
    model = replace(kept.model, worker_priority=1)
    after = kept.content.path_for(model)

    class Leaving:
        leaving = True

    kept.content.settle(model, [Leaving()])
    assert after != before
    assert (await kept.ask(after, status_request("GET"))).status == 200
    # Workers that serve their last sessions still ask the old one.
    assert (await kept.ask(before, status_request("GET"))).status == 200
    kept.content.spare([])
    assert not exists(before)
    await kept.until(lambda: not proc.alive(pid), "the old one has left")
    assert (await kept.ask(after, status_request("GET"))).status == 200


async def test_a_reload_that_fails_leaves_no_second_process(kept):
    kept.content.path_for(kept.model)
    pid = await kept.serving()
    other = kept.content.path_for(replace(kept.model, worker_priority=1))
    kept.content.settle(kept.model, [])
    await kept.until(lambda: kept.pids() == [pid], "the second one has left")
    assert not exists(other)


async def test_a_graceful_stop_brings_an_answer_to_its_end(kept):
    big = kept.folder / "big"
    big.write_bytes(b"x" * 3_000_000)
    place = local.location(local.files(kept.folder))
    path = kept.content.path_for(kept.model)
    pid = await kept.serving()
    with local.connect(path) as sock:
        sock.sendall(local.request(place, "/big"))
        first = await asyncio.to_thread(sock.recv, 1000)
        for child in kept.content:
            child.channel.send("quit")
        await kept.until(lambda: "gracefully shutting down" in kept.log, "it is told")
        rest = await asyncio.to_thread(_read, sock)
    assert len(first + rest) > 3_000_000
    await kept.until(lambda: not proc.alive(pid), "it leaves then")


def _read(sock):
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


async def test_a_slow_client_of_a_large_file_costs_no_memory(kept):
    big = kept.folder / "big"
    big.touch()
    os.truncate(big, 2**30)
    place = local.location(local.files(kept.folder))
    path = kept.content.path_for(kept.model)
    await kept.ask(path, status_request("GET"))
    pid = await kept.serving()
    before = proc.own_kib(pid)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            sock = stack.enter_context(local.connect(path))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(local.request(place, "/big"))
            await asyncio.to_thread(sock.recv, 1000)
        # It still answers others meanwhile.
        assert (await kept.ask(path, status_request("GET"))).status == 200
        assert proc.own_kib(pid) - before < 20 * 512


async def test_more_than_its_descriptors_allow_are_told_to_come_again(kept):
    model = replace(kept.model, worker_rlimit_nofile=64 + 3 * 10)
    path = kept.content.path_for(model)
    await kept.serving()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(local.connect(path))
        answer = await kept.ask(path, status_request("GET"))
    assert verdict(answer.status, answer.raw()).status == 503

    async def served():
        return (await kept.ask(path, status_request("GET"))).status == 200

    async with asyncio.timeout(PATIENCE):
        while not await served():
            await asyncio.sleep(0.01)


async def test_it_goes_when_the_master_has_gone_and_nobody_asks(kept):
    path = kept.content.path_for(kept.model)
    pid = await kept.serving()
    with local.connect(path) as sock:
        sock.sendall(f"GET {STUB_STATUS} HTTP/1.1\r\n".encode())
        await asyncio.sleep(0)
        for child in kept.content:
            child.leaving = True  # or another would be started
            child.channel.close()
        await kept.until(lambda: "the master process is gone" in kept.log, "it notices")
        sock.sendall(status_request("GET").partition(b"\r\n")[2])
        assert (await asyncio.to_thread(local.Answer, sock)).status == 200
    await kept.until(lambda: not proc.alive(pid), "it ends")
    assert not exists(os.path.dirname(path))


async def test_reopened_logs_are_written_from_then_on(kept):
    kept.content.path_for(kept.model)
    await kept.serving()
    path = kept.model.error_logs[0].path
    os.rename(path, f"{path}.1")
    kept.fds[path] = open_log(path)
    kept.content.reopen({f"log:{path}": kept.fds[path]})
    os.kill(kept.pids()[0], signal.SIGTERM)
    await kept.until(lambda: "exiting" in kept.log, "the new file has the line")


@pytest.mark.needs("root")
async def test_as_another_user_it_reads_only_what_that_may(kept):
    model = replace(kept.model, user="nobody")
    path = kept.content.path_for(model)
    assert os.stat(path).st_uid == pwd.getpwnam("nobody").pw_uid
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        folder = pathlib.Path(name)
        (folder / "open.txt").write_text("open")
        (folder / "shut.txt").write_text("shut")
        (folder / "shut.txt").chmod(0o600)
        place = local.location(local.files(folder))
        answer = await kept.ask(path, local.request(place, "/open.txt"))
        assert (answer.status, answer.body) == (200, b"open")
        answer = await kept.ask(path, local.request(place, "/shut.txt"))
    told = verdict(answer.status, answer.raw())
    assert told.status == 403
    assert told.error == f'open() "{name}/shut.txt" failed (13: Permission denied)'
    assert _user(kept.pids()[0]) == pwd.getpwnam("nobody").pw_uid


def _user(pid):
    return os.stat(f"/proc/{pid}").st_uid

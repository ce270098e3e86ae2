from __future__ import annotations

import fcntl
import os
import tempfile

import pytest

from tidegate.scoreboard.board import WORKER_COUNTERS, WORKER_GAUGES, Board
from tidegate.scoreboard.group import Group

SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def sealed(content):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def used_bytes(board):
    return os.fstat(board.fd).st_blocks * 512


def test_an_attached_board_is_the_same_memory(board):
    other = Board.attach(board.fd)
    assert (other.workers, other.upstreams, other.peers) == (4, 2, 8)
    assert other.fd == -1
    board.worker_counters(3)[5] = 1 << 60
    board.serial()[0] = 7
    assert other.worker_counters(3)[5] == 1 << 60
    assert other.serial()[0] == 7
    assert other.worker_counters(2)[5] == 0


def test_attaching_leaves_the_descriptor_to_the_caller(board):
    fd = os.dup(board.fd)
    other = Board.attach(fd)
    os.close(fd)
    other.serial()[0] = 1
    assert board.serial()[0] == 1


def test_counters_are_64_bit_words(board):
    counters = board.worker_counters(0)
    assert (counters.format, len(counters), counters.readonly) == ("Q", WORKER_COUNTERS, False)
    assert (board.serial().format, len(board.serial())) == ("Q", 1)


def test_a_view_of_the_counters_outlives_its_board():
    board = Board.create(workers=1, upstreams=1, peers=1)
    counters = board.worker_counters(0)
    del board
    counters[WORKER_COUNTERS - 1] = 3
    assert counters.tolist()[-1] == 3


def test_the_memory_can_be_neither_cut_nor_grown(board):
    size = os.fstat(board.fd).st_size
    for wanted in (0, size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(board.fd, wanted)


def test_a_board_for_thousands_takes_memory_only_for_what_is_used(slot):
    board = Board.create(workers=256, upstreams=1024, peers=65536)
    assert os.fstat(board.fd).st_size > 64 << 20
    assert used_bytes(board) <= 4096
    board.reset_upstream(0)
    board.reset_peer(65535)
    group = Group(board, 0, 0, [slot(0), slot(1)])
    group.pick_round_robin()
    board.worker_counters(0)[0] = 1
    board.forget_worker(0)
    board.forget_worker(1)
    assert used_bytes(board) <= 8 * 4096


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1)])
def test_a_board_for_nobody_is_refused(numbers):
    workers, upstreams, peers = numbers
    with pytest.raises(ValueError, match="no board for"):
        Board.create(workers=workers, upstreams=upstreams, peers=peers)


def test_a_board_is_created_or_attached_and_nothing_else():
    with pytest.raises(TypeError, match=r"Board\.create"):
        Board()


def test_a_file_is_no_board():
    with tempfile.TemporaryFile() as file, pytest.raises(ValueError, match="is no board"):
        Board.attach(file.fileno())


def test_an_unsealed_memory_is_no_board():
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 1 << 16)
    with pytest.raises(ValueError, match="is no board: 65536 bytes, seals 0x0"):
        Board.attach(fd)
    os.close(fd)


@pytest.mark.parametrize("content", [b"", b"tdeboard", bytes(4096), b"\xff" * 65536])
def test_a_memory_of_something_else_is_no_board(content):
    fd = sealed(content)
    with pytest.raises(ValueError, match="is no board"):
        Board.attach(fd)
    os.close(fd)


def test_a_board_of_another_version_is_refused(board):
    content = bytearray(os.pread(board.fd, 1 << 20, 0))
    assert content[8] == 1
    content[8] = 2
    fd = sealed(content)
    with pytest.raises(ValueError, match="another version"):
        Board.attach(fd)
    os.close(fd)


def test_a_board_whose_size_is_not_what_it_says_is_refused(board):
    fd = sealed(os.pread(board.fd, 1 << 20, 0) + bytes(64))
    with pytest.raises(ValueError, match="bytes, expected"):
        Board.attach(fd)
    os.close(fd)


def test_a_place_that_the_board_has_not_is_an_error(board, slot):
    for method in (board.worker_counters, board.forget_worker):
        with pytest.raises(IndexError, match="worker 4 of 4"):
            method(4)
    for method in (board.reset_upstream, board.upstream_row):
        with pytest.raises(IndexError, match="upstream -1 of 2"):
            method(-1)
    for method in (board.reset_peer, board.peer_row):
        with pytest.raises(IndexError, match="peer 8 of 8"):
            method(8)
    with pytest.raises(IndexError, match="peer 8 of 8"):
        Group(board, 0, 0, [slot(8)])


def test_forgetting_a_worker_zeroes_its_gauges_and_keeps_its_totals(board):
    counters = board.worker_counters(1)
    for index in range(WORKER_COUNTERS):
        counters[index] = index + 1
    board.worker_counters(2)[0] = 9
    board.forget_worker(1)
    assert counters.tolist() == [0] * WORKER_GAUGES + list(
        range(WORKER_GAUGES + 1, WORKER_COUNTERS + 1)
    )
    assert board.worker_counters(2)[0] == 9


def test_forgetting_a_worker_takes_back_its_connections_alone(board, slot):
    board.reset_upstream(1)
    first = [Group(board, 0, worker, [slot(0), slot(1)]) for worker in range(2)]
    second = [Group(board, 1, worker, [slot(5)]) for worker in range(2)]
    for _ in range(3):
        first[0].pick_round_robin()
        first[1].pick_round_robin()
        second[1].pick_round_robin()
    board.forget_worker(1)
    assert sum(board.peer_row(row).conns for row in range(2)) == 3
    assert board.peer_row(5).conns == 0
    assert board.peer_row(5).selected == 3
    with pytest.raises(ValueError, match="more often than picked"):
        second[1].release(0, failed=False)
    assert board.upstream_row(0).unlocked == 0

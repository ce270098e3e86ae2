"""SIGKILL of a worker under load: the sessions of the others do not notice; it is replaced."""

import os
import signal
import threading

from lab import proc, sockets
from lab.waiting import wait_until

SESSIONS = 32


class Talker:
    """One session that echoes a number again and again, until told to stop or broken."""

    def __init__(self, port):
        self.sock = sockets.open_raw(port)
        self.client_port = self.sock.getsockname()[1]
        self.turns = 0
        self.broken = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self):
        try:
            while not self._stop.wait(0.002):
                word = b"%08d" % self.turns
                self.sock.sendall(word)
                assert sockets.receive(self.sock, 8) == word
                self.turns += 1
        except (OSError, AssertionError) as error:
            self.broken = error

    def close(self):
        self._stop.set()
        self._thread.join()
        self.sock.close()


def test_only_the_killed_workers_sessions_end(lab):
    nodes = [lab.node(keep=False) for _ in range(3)]
    balancer, port = lab.in_front(*nodes, workers=4)
    talkers = [Talker(port) for _ in range(SESSIONS)]
    try:
        wait_until(lambda: all(talker.turns for talker in talkers), "everybody talks")
        before = balancer.workers()
        owner = proc.served_by(before, port)
        victim = owner[talkers[0].client_port]
        os.kill(victim, signal.SIGKILL)
        hit = [talker for talker in talkers if owner[talker.client_port] == victim]
        spared = [talker for talker in talkers if owner[talker.client_port] != victim]
        wait_until(lambda: all(talker.broken for talker in hit), "its sessions end")
        turns = [talker.turns for talker in spared]
        wait_until(
            lambda: all(t.turns > then + 20 for t, then in zip(spared, turns, strict=True)),
            "the others talk on",
        )
        assert [talker.broken for talker in spared] == [None] * len(spared)
        wait_until(lambda: len(balancer.workers()) == 4, "the worker is replaced")
        assert victim not in balancer.workers()
        assert set(before) - {victim} <= set(balancer.workers())
        _every_worker_serves(balancer, port)
    finally:
        for talker in talkers:
            talker.close()
    assert f"worker process {victim} exited on signal 9" in balancer.errors()


def _every_worker_serves(balancer, port):
    """New sessions come until each worker has served one."""
    served = set()

    def another():
        with sockets.open_raw(port) as client:
            client.sendall(b"x")
            assert sockets.receive(client, 1) == b"x"
            served.update(proc.served_by(balancer.workers(), port).values())
        return served >= set(balancer.workers())

    wait_until(another, "each worker serves a session", timeout=30)

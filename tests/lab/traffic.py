"""Traffic that notices everything: numbered messages in many sessions, and a prober of connects."""

import selectors
import socket
import struct
import threading
import time

from lab.foreign import sockets_of

CONNECT_SECONDS = 30.0
NUMBER = struct.Struct(">Q")


class Traffic:
    """Sessions that send a number to an echo, check what comes back, and send the next.

    `pause` is how long a session waits between two numbers, in seconds.
    """

    def __init__(self, address, sessions, *, pause=0.05, network=None):
        """`network` is where the clients are, if not here: what runs programs in it."""
        self.broken = []  # (session, why)
        self.turns = [0] * sessions
        self.waits = []  # seconds of each turn since `fresh`
        self._pause = pause
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._sent = [0.0] * sessions
        self._due = []
        self.ports = {}  # the local port of each session
        if network is None:
            made = [socket.socket() for _ in range(sessions)]
        else:
            made = sockets_of(network, sessions)
        for index in range(sessions):
            sock = made[index]
            sock.settimeout(CONNECT_SECONDS)
            sock.connect(address)
            sock.setblocking(False)
            self.ports[index] = sock.getsockname()[1]
            self._selector.register(sock, selectors.EVENT_READ, index)
            self._due.append((0.0, index, sock))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def fresh(self):
        """Forget the times so far."""
        self.waits = []

    def percentile(self, share):
        """The wait that this share of the turns did not exceed."""
        waits = sorted(self.waits)
        return waits[min(int(len(waits) * share), len(waits) - 1)]

    def close(self):
        """End every session."""
        self._stop.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _run(self):
        while not self._stop.is_set():
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _at, index, sock = self._due.pop(0)
                self._sent[index] = now
                self._try(index, sock, lambda i=index, s=sock: s.send(NUMBER.pack(self.turns[i])))
            for key, _events in self._selector.select(0.005):
                self._try(key.data, key.fileobj, lambda k=key: self._take(k.data, k.fileobj))

    def _take(self, index, sock):
        data = sock.recv(4096)
        if not data:
            raise ConnectionError("closed")
        if data != NUMBER.pack(self.turns[index]):
            raise ConnectionError(f"{data!r} came instead of number {self.turns[index]}")
        now = time.monotonic()
        self.waits.append(now - self._sent[index])
        self.turns[index] += 1
        self._due.append((now + self._pause, index, sock))

    def _try(self, index, sock, step):
        if sock.fileno() < 0:
            return  # it broke while it paused
        try:
            step()
        except OSError as error:
            self.broken.append((index, error))
            self._selector.unregister(sock)
            sock.close()


class Prober:
    """Opens connections at a rate, each says one word to an echo; `faults` has what went wrong."""

    def __init__(self, address, *, rate, patience=1.0):
        self.faults = []
        self.done = 0
        self.slowest = 0.0
        self._address = address
        self._gap = 1 / rate
        self._patience = patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self):
        """Stop."""
        self._stop.set()
        self._thread.join()

    def _run(self):
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self._gap
            self._probe()

    def _probe(self):
        began = time.monotonic()
        try:
            with socket.create_connection(self._address, timeout=15) as sock:
                connected = time.monotonic() - began
                sock.sendall(b"probe")
                if sock.recv(5) != b"probe":
                    raise ConnectionError("no echo")
        except OSError as error:
            self.faults.append(error)
            return
        self.slowest = max(self.slowest, connected)
        if connected > self._patience:
            self.faults.append(TimeoutError(f"a connect took {connected:.2f} s"))
        self.done += 1

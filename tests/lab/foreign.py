"""Sockets of another network, used in this process: they are made there and handed over here."""

import socket
import subprocess
import sys

from lab.nodes import Node, echo

MAKE = """
import socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    with socket.socket(int(sys.argv[2])) as made:
        socket.send_fds(channel, [b"."], [made.fileno()])
"""


def sockets_of(network, count=1, *, family=socket.AF_INET) -> list[socket.socket]:
    """New TCP sockets of a network, given as the command that runs programs in it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, "-c", MAKE, theirs.fileno(), int(family), count]
    with ours, theirs:
        process = subprocess.Popen([*network, *map(str, words)], pass_fds=[theirs.fileno()])
        theirs.close()
        made = [socket.recv_fds(ours, 1, 1)[1] for _ in range(count)]
        assert process.wait() == 0
    return [socket.socket(fileno=fd) for [fd] in made]


class ForeignNode(Node):
    """A node in another network, on an address and port of that."""

    def __init__(self, network, host, port, serve=echo, **options):
        self._network = network
        self._own_port = port
        super().__init__(serve, host=host, **options)

    def _bind(self):
        [listener] = sockets_of(self._network, family=self._family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._bound[0], self._own_port))
        listener.listen(4096)
        listener.setblocking(False)
        return listener

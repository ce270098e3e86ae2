"""Which TCP sockets listen on a port: asked of the kernel by sock_diag(7).

It looks at those that listen alone. The tables in /proc/net are written with all other connections
of the machine, which after a benchmark are ten thousands that wait for the end of their time: to
read one costs as much as a program's start, and a test that waits reads it again and again.
"""

import contextlib
import os
import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
TCP_LISTEN = 10

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
SOURCE_PORT = struct.Struct(">H")  # the first of a struct inet_diag_sockid
ID_SIZE = 48
MESSAGE_PORT = HEADER.size + 4
MESSAGE_INODE = HEADER.size + 68


def inodes(port) -> set[str]:
    """Inodes of the sockets that listen on `port` in our network namespace.

    OSError where the kernel has no sock_diag for TCP.
    """
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            which = REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << TCP_LISTEN)
            which += SOURCE_PORT.pack(port).ljust(ID_SIZE, b"\0")
            size = HEADER.size + len(which)
            flags = NLM_F_REQUEST | NLM_F_DUMP
            netlink.send(HEADER.pack(size, SOCK_DIAG_BY_FAMILY, flags, 0, 0) + which)
            found.update(inode for bound, inode in _answers(netlink) if bound == port)
    return found


def same_network(pid) -> bool:
    """Whether the process is in our network namespace, or gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net")
    return True


def _answers(netlink):
    """The port and the inode of each socket in the kernel's answer."""
    while True:
        data = netlink.recv(65_536)
        while data:
            size, kind, *_ = HEADER.unpack_from(data)
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", data, HEADER.size)[0]
                raise OSError(number, os.strerror(number))
            (port,) = SOURCE_PORT.unpack_from(data, MESSAGE_PORT)
            (inode,) = struct.unpack_from("=I", data, MESSAGE_INODE)
            yield port, str(inode)
            data = data[(size + 3) & ~3 :]

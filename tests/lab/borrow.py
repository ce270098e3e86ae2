"""The sockets of another process, to read their options: `pidfd_getfd`."""

import ctypes
import os
import socket

from lab import proc

PIDFD_GETFD = 438  # the same number on every architecture
_syscall = ctypes.CDLL(None, use_errno=True).syscall


def borrow(pid, fd) -> socket.socket:
    """Our own descriptor of a socket of `pid`; PermissionError where the kernel does not let us."""
    pidfd = os.pidfd_open(pid)
    try:
        ours = _syscall(PIDFD_GETFD, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    if ours < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return socket.socket(fileno=ours)


def session_sockets(pid, port) -> list[socket.socket]:
    """Both sockets of the only session of worker `pid`: the client's (on `port`) first."""
    found = []
    for fd, target in proc.descriptors(pid).items():
        if target.startswith("socket:"):
            sock = borrow(pid, fd)
            if _is_session(sock):
                found.append(sock)
            else:
                sock.close()
    assert len(found) == 2, found
    return sorted(found, key=lambda sock: sock.getsockname()[1] != port)


def _is_session(sock) -> bool:
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    try:
        sock.getpeername()
    except OSError:
        return False
    return True

"""Raw client sockets: open, read exactly, see what the kernel still holds, end with a reset."""

import array
import fcntl
import socket
import struct
import termios

TIMEOUT = 15.0


def open_raw(target, *, host="127.0.0.1", source=None, rcvbuf=None) -> socket.socket:
    """A connection to a port, or to the path of a Unix socket; `source` is our own address."""
    if isinstance(target, str):
        sock = socket.socket(socket.AF_UNIX)
    else:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.settimeout(TIMEOUT)
    if source:
        sock.bind((source, 0))
    try:
        sock.connect(target if isinstance(target, str) else (host, target))
    except OSError:
        sock.close()
        raise
    return sock


def receive(sock, size) -> bytes:
    """Exactly `size` bytes, fewer only at the end."""
    data = bytearray()
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return bytes(data)


def receive_all(sock) -> bytes:
    """Everything until the end; ConnectionResetError at a reset."""
    data = bytearray()
    while piece := sock.recv(65_536):
        data += piece
    return bytes(data)


def unsent(sock) -> int:
    """Bytes written that the other kernel has not acknowledged."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def unread(sock) -> int:
    """Bytes that wait in our kernel."""
    count = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), termios.FIONREAD, count)
    return count[0]


def reset(sock):
    """Close a socket so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()

"""Addresses as the kernel takes them, and back."""

from libc.string cimport memcpy, memset, strlen

from tidegate.engine.linux cimport (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    htons,
    inet_ntop,
    inet_pton,
    ntohs,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_un,
)


def pack_address(int family, str host not None, int port):
    """A sockaddr as bytes; ValueError when `host` is no literal of that family, or too long."""
    cdef sockaddr_in v4
    cdef sockaddr_in6 v6
    cdef sockaddr_un unix
    cdef bytes text
    if family == AF_UNIX:
        text = host.encode("utf-8", "surrogateescape")
        if len(text) >= <int>sizeof(unix.sun_path) or b"\0" in text or not text:
            raise ValueError(f"no path of a unix socket: {host!r}")
        memset(&unix, 0, sizeof(unix))
        unix.sun_family = AF_UNIX
        memcpy(unix.sun_path, <char *>text, len(text))
        return (<char *>&unix)[: 2 + len(text) + 1]
    text = host.encode("ascii", "replace")
    if not 0 <= port <= 65535:
        raise ValueError(f"no port: {port}")
    if family == AF_INET:
        memset(&v4, 0, sizeof(v4))
        v4.sin_family = AF_INET
        v4.sin_port = htons(<unsigned short>port)
        if inet_pton(AF_INET, text, &v4.sin_addr) == 1:
            return (<char *>&v4)[: sizeof(v4)]
    elif family == AF_INET6:
        memset(&v6, 0, sizeof(v6))
        v6.sin6_family = AF_INET6
        v6.sin6_port = htons(<unsigned short>port)
        if inet_pton(AF_INET6, text, &v6.sin6_addr) == 1:
            return (<char *>&v6)[: sizeof(v6)]
    raise ValueError(f"no address of family {family}: {host!r}")


def unpack_address(bytes packed not None):
    """The family, host and port of a packed address; a Unix socket without a name has host ""."""
    cdef char text[64]
    cdef sockaddr *any = <sockaddr *><char *>packed
    cdef sockaddr_in *v4
    cdef sockaddr_in6 *v6
    if len(packed) < <int>sizeof(any.sa_family):
        raise ValueError("no packed address")
    if any.sa_family == AF_INET and len(packed) >= <int>sizeof(sockaddr_in):
        v4 = <sockaddr_in *>any
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text))
        return AF_INET, text[: strlen(text)].decode("ascii"), ntohs(v4.sin_port)
    if any.sa_family == AF_INET6 and len(packed) >= <int>sizeof(sockaddr_in6):
        v6 = <sockaddr_in6 *>any
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text))
        return AF_INET6, text[: strlen(text)].decode("ascii"), ntohs(v6.sin6_port)
    if any.sa_family == AF_UNIX:
        return AF_UNIX, packed[2:].split(b"\0", 1)[0].decode("utf-8", "surrogateescape"), 0
    raise ValueError("no packed address")

"""One right that outlives the change of user: CAP_NET_RAW, as nginx's workers keep it.

With it a socket may be bound to an address of another host (`proxy_bind ... transparent`).
"""

from __future__ import annotations

import ctypes

PR_SET_KEEPCAPS = 8
VERSION_3 = 0x20080522
CAP_NET_RAW = 13

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """Half of the capabilities; the kernel takes two of these."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_through_setuid() -> None:
    """Have the next change of user leave the permitted capabilities; raises OSError."""
    _check(_LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl(PR_SET_KEEPCAPS)")


def keep_net_raw() -> None:
    """Give up every capability but CAP_NET_RAW; raises OSError."""
    raw = 1 << CAP_NET_RAW
    data = (_Data * 2)(_Data(raw, raw, 0), _Data(0, 0, 0))
    _check(_LIBC.capset(ctypes.byref(_Header(VERSION_3, 0)), data), "capset()")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, what)

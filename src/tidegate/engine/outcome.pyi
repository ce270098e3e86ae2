"""What Python and the engine tell each other: outcomes of decisions one way, reports the other."""

from typing import Final, TypeAlias

from tidegate.engine.tls_context import ClientTls

class Relay:
    """What a relaying session may do; one object serves all sessions of a server.

    `buffer_size` is the most that one read takes (never above 64 KiB), rates are bytes per second,
    0 is no limit. `nodelay` is for the upstream's socket; the client's inherits the listener's.
    """

    def __init__(
        self,
        *,
        timeout_ms: int,
        buffer_size: int,
        upload_rate: int = 0,
        download_rate: int = 0,
        half_close: bool = False,
        nodelay: bool = True,
    ) -> None: ...

class Need:
    """Outcome of `preread`: call again when `size` bytes are there, or the client has ended."""

    def __init__(self, size: int) -> None: ...

class Connect:
    """Outcome: connect to `address`, send `first` and what was preread, then relay.

    `address` and `local` (where to bind; empty is anywhere) are what `pack_address` made; with
    `transparent` the local one need not be this host's. `first` stands for the first `take` of the
    preread bytes. With `notify` the session's `connected` is
    called once the upstream has taken the connection.

    With `answer_size` the upstream gets `first` alone, and its first bytes, that many at most, go
    to the session's `inspect` before the client sees them; they have `answer_ms` to come.
    `idle_ms` is how long the client may be silent, in place of the relay's limit for both sides;
    until the upstream's first byte that is `answer_ms`, where it is longer.

    With `tls` the upstream's handshake has to succeed too, or the try has failed (EPROTO); the
    first `plain` bytes of `first` go before it.
    """

    def __init__(
        self,
        address: bytes,
        *,
        relay: Relay,
        timeout_ms: int,
        local: bytes = b"",
        first: bytes = b"",
        keepalive: bool = False,
        notify: bool = False,
        transparent: bool = False,
        take: int = 0,
        answer_size: int = 0,
        answer_ms: int = 0,
        idle_ms: int = 0,
        tls: ClientTls | None = None,
        plain: int = 0,
    ) -> None: ...

class Accept:
    """Outcome of `inspect`: the client gets the answer, and the relay begins.

    `data` stands for the first `take` bytes of the answer. `idle_ms` replaces the plan's; -1
    leaves it.
    """

    def __init__(self, *, data: bytes = b"", take: int = 0, idle_ms: int = -1) -> None: ...

class Refuse:
    """Outcome: send `data` to the client, then close. `status` is what the log will say."""

    def __init__(self, status: int, data: bytes = b"") -> None: ...

class Later:
    """Outcome: `Engine.resume` will bring the real one."""

LATER: Final[Later]
Outcome: TypeAlias = Need | Connect | Accept | Refuse | Later

# Why a session ended, in the engine's order.
REASONS: Final[tuple[str, ...]]

class Report:
    """How a session went. Durations are milliseconds, -1 where it did not come to that."""

    reason: str  # one of REASONS: who ended first, or what else it was
    status: int
    error: int  # errno that broke the relay: of a read, or negative of a write; else 0
    bytes_received: int  # from the client
    bytes_sent: int  # to the client
    upstream_bytes_received: int
    upstream_bytes_sent: int
    session_ms: int
    connect_ms: int  # of the last try
    first_byte_ms: int  # from the last try's connect to the first byte of the upstream
    upstream_ms: int  # from the last try's connect to the end

"""The engine: epoll, sessions and their bytes, below asyncio. See `tidegate.engine`."""

from collections.abc import Buffer, Callable
from typing import Final, Protocol

COUNTERS: Final[tuple[str, ...]]  # names of the 64-bit counters that an engine writes, in order
SERVED_AT_ONCE: Final = 64

class Relay:
    """What a relaying session may do; one object serves all sessions of a server."""

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
    """Outcome: connect to `address`, send `first`, then relay.

    `address` and `local` are what `pack_address` made. `first` goes before anything the client
    sends (the PROXY header); prereads follow it unless `replace` stands for them. With `notify`
    the session's `connected` is called.
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
    ) -> None: ...

class Refuse:
    """Outcome: send `data` to the client, then close. `status` is what the log will say."""

    def __init__(self, status: int, data: bytes = b"") -> None: ...

class Later:
    """Outcome: `Engine.resume` will bring the real one."""

LATER: Final[Later]
Outcome = Need | Connect | Refuse | Later

class Report:
    """How a session went, given to its `end`. Durations in ms, -1 where it did not come to that."""

    reason: str  # one of REASONS
    status: int
    bytes_received: int  # from the client
    bytes_sent: int  # to the client
    upstream_bytes_sent: int
    upstream_bytes_received: int
    session_ms: int
    connect_ms: int  # of the last try
    first_byte_ms: int
    upstream_ms: int  # from the last try's connect until the end

REASONS: Final[tuple[str, ...]]

class Session(Protocol):
    """The Python half of a session, made by a listener's `session(handle)`."""

    def preread(self, data: bytes, ended: bool, /) -> Outcome: ...
    def pick(self, /) -> Outcome: ...
    def connected(self, /) -> None: ...
    def answer(self, error: int, connect_ms: int, /) -> Outcome:
        """A try failed: `error` is an errno (ETIMEDOUT for our own time-out)."""
    def end(self, report: Report, /) -> None: ...

class Engine:
    """One epoll descriptor, its native sessions, and the queue of those that wait for Python."""

    def __init__(
        self,
        *,
        connections: int,
        counters: Buffer,
        serial: Buffer,
        notice: Callable[[str, int], None],
    ) -> None: ...
    wake_fd: int
    calls: dict[str, int]
    def select(self, timeout: float) -> list[tuple[int, int]]: ...
    def serve(self) -> None: ...
    def watch(self, fd: int, events: int) -> None: ...
    def rewatch(self, fd: int, events: int) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def listen(
        self,
        fd: int,
        session: Callable[[int], Session],
        *,
        nodelay: bool = True,
        preread_size: int = 0,
        preread_timeout_ms: int = 0,
    ) -> int: ...
    def unlisten(self, listener: int) -> None: ...
    def resume(self, handle: int, outcome: Outcome) -> bool: ...
    def close_session(self, handle: int) -> bool: ...
    def client_address(self, handle: int) -> bytes: ...
    def server_address(self, handle: int) -> bytes: ...
    def upstream_local_address(self, handle: int) -> bytes: ...
    def number(self, handle: int) -> int: ...
    active: int
    def close(self) -> None: ...

def pack_address(family: int, host: str, port: int) -> bytes: ...
def unpack_address(sockaddr: bytes) -> tuple[int, str, int]: ...

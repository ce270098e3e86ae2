"""What Python and the engine tell each other: outcomes of decisions one way, reports the other."""

from collections.abc import Callable
from typing import Final, TypeAlias

from tidegate.engine.loop import Session
from tidegate.engine.tls_client import ClientTls
from tidegate.engine.tls_context import Context

class Relay:
    """What a relaying session may do; one object serves all sessions of a server.

    `buffer_size` is the most that one read takes (never above 64 KiB), rates are bytes per second,
    0 is no limit. `nodelay` is for the upstream's socket; the client's inherits the listener's.
    `send_timeout_ms` is how long a client may take nothing of what waits for it, in place of
    `timeout_ms`; 0 is that.
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
        send_timeout_ms: int = 0,
    ) -> None: ...

class Need:
    """Outcome of `preread`: call again when `size` bytes are there, or the client has ended.

    `timeout_ms` sets the time for that anew; with 0 the one that runs goes on.
    """

    def __init__(self, size: int, timeout_ms: int = 0) -> None: ...

class Say:
    """Outcome of any decision but `accept`: send `data` to the client, then hear it again.

    An upstream that there is is left. The first `take` preread bytes are done with; `preread` is
    called once `need` bytes are there, at once where they are, or when the client has ended, or
    `timeout_ms` have passed since it took our words (0 is as long as last time, and before that
    the listener's `preread_timeout_ms`). It may keep us waiting with our words for `send_ms` a
    time. `size` is the new limit of the preread bytes, 0 leaves it. With `idle` it may as well
    leave: `close_idle` does not wait for such a client, and it counts as `waiting`. From here on
    `session` is the Python half, where there is one.
    """

    def __init__(
        self,
        data: bytes,
        *,
        take: int = 0,
        need: int = 1,
        size: int = 0,
        timeout_ms: int = 0,
        send_ms: int = 5000,
        idle: bool = False,
        session: Session | None = None,
    ) -> None: ...

class Connect:
    """Outcome: connect to `address`, send `first` and what was preread, then relay.

    `address` and `local` (where to bind; empty is anywhere) are what `pack_address` made; with
    `transparent` the local one need not be this host's. `first` stands for the first `take` of the
    preread bytes. With `notify` the session's `connected` is
    called once the upstream has taken the connection, with `hears` its `answered` once its first
    byte has passed to the client.

    With `answer_size` the upstream gets `first` alone, and its first bytes, that many at most, go
    to the session's `inspect` before the client sees them; they have `answer_ms` to come.
    `idle_ms` is how long the client may be silent, in place of the relay's limit for both sides;
    until the upstream's first byte that is `answer_ms`, where it is longer.

    `upload` bounds the request: how many of the client's bytes behind the first `take` go to the
    upstream, preread ones and others; the rest is left for the next request, or for `Accept`. -1 is
    no bound. With a bound and `answer_size` those bytes go at once, while the answer is awaited;
    `body_ms` is how long the client may keep us waiting for each of them then, else the session
    ends ("timed_out"). Once bytes that were not preread went to an upstream (`Report.streamed`) no
    other gets any: `upload` of another `Connect` has to be 0.

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
        hears: bool = False,
        transparent: bool = False,
        take: int = 0,
        answer_size: int = 0,
        answer_ms: int = 0,
        idle_ms: int = 0,
        tls: ClientTls | None = None,
        plain: int = 0,
        upload: int = -1,
        body_ms: int = 0,
    ) -> None: ...
    def opened(
        self,
        first: bytes,
        take: int,
        answer_size: int,
        answer_ms: int,
        idle_ms: int,
        upload: int,
        body_ms: int,
        /,
    ) -> Connect:
        """The same for a session that was looked into: `first` comes behind what comes first here.

        An `answer_ms` of 0 is the relay's `timeout_ms`. `connected` is called also where no answer
        is inspected.
        """

class Pass:
    """Outcome of `preread` or `pick`: begin again, as if the client had connected elsewhere.

    `session` is the Python half from here on; the rest is as in `Engine.listen`. What was preread
    comes first: to the other's `preread`, or into its handshake where there is `tls`. A side that
    has TLS gets no other. `release` is called once, when the session has ended, after its `end`.
    """

    def __init__(
        self,
        session: Session,
        *,
        release: Callable[[], None] | None = None,
        asks_accept: bool = False,
        idle_counts: bool = False,
        header_timeout_ms: int = 0,
        preread_size: int = 0,
        preread_timeout_ms: int = 0,
        tls: Context | None = None,
    ) -> None: ...

class Tell:
    """Outcome of `inspect`: send `data` to the upstream, go on with its answer.

    The first `take` bytes of that are done with; `inspect` is called again when `need` bytes are
    there, which have `answer_ms` from now.
    """

    def __init__(self, data: bytes, *, take: int = 0, need: int = 1) -> None: ...

class Framing:
    """WebSocket on the client's side from here on, plain bytes on the upstream's.

    What the upstream sends goes out in binary frames, pings are answered, a fault is told with the
    code of a close (its words: `Engine.fault`). `remaining` is how much of the client's frame in
    hand is still to come, `mask` its key for that, and `final` its flag; `continues` that its
    message had frames before. `limit` is the most bytes of a message, 0 is any.
    """

    def __init__(
        self,
        *,
        remaining: int = 0,
        mask: bytes = b"",
        final: bool = True,
        continues: bool = False,
        limit: int = 0,
    ) -> None: ...

class Accept:
    """Outcome of `inspect`: the client gets the answer, and the relay begins.

    `data` stands for the first `take` bytes of the answer. `idle_ms` replaces the plan's, `relay`
    its terms; -1 and None leave them.

    `download` bounds the answer: how many bytes of the upstream behind the first `take` go to the
    client, -1 is any number. When they have, the upstream has ended. With `again` an answer that is
    complete so (without a bound: as the upstream ended it) is not the end of the client: the
    session's `done` says what comes next. `upload` is a new bound for what goes to the upstream,
    of what was preread and what comes; None leaves the plan's.

    Up to `tap` of the client's bytes from here on are also shown to the session's `overhear`.
    With `framing` the client speaks WebSocket, and what it says comes to the upstream unwrapped;
    `data`, in frames already, stands for all of the answer then.
    """

    def __init__(
        self,
        *,
        data: bytes = b"",
        take: int = 0,
        idle_ms: int = -1,
        download: int = -1,
        again: bool = False,
        upload: int | None = None,
        tap: int = 0,
        relay: Relay | None = None,
        framing: Framing | None = None,
    ) -> None: ...

class Heard:
    """What `overhear` answers when it has seen enough: limits from now on, as in Accept."""

    def __init__(self, *, idle_ms: int = -1, relay: Relay | None = None) -> None: ...

class Refuse:
    """Outcome: send `data` to the client, then close. `status` is what the log will say."""

    def __init__(self, status: int, data: bytes = b"") -> None: ...

class Later:
    """Outcome: `Engine.resume` will bring the real one."""

LATER: Final[Later]
Outcome: TypeAlias = Need | Say | Connect | Pass | Tell | Accept | Refuse | Later

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
    upload_left: int  # bytes of the last request that did not come, -1 is no bound
    download_left: int  # the same of the answer
    streamed: int  # bytes of the request that went to an upstream and were not preread

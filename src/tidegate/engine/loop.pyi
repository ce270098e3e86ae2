"""The engine as Python sees it: the turn of the loop, decisions, listeners, handles."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from tidegate.engine.outcome import Heard, Need, Outcome, Report
from tidegate.engine.tls_context import Context
from tidegate.engine.tls_pem import Certificate, Key

# The names of the 64-bit counters that an engine writes, in order; "" is a place not in use.
COUNTERS: Final[tuple[str, ...]]
# Decisions that one `serve` makes at most.
SERVED_AT_ONCE: Final[int]

class Session(Protocol):
    """The Python half of a session, made by its listener's `session(handle)`."""

    def accept(self, header: bytes, error: int, /) -> Outcome | None:
        """The accept phase, where the listener asks for it: None lets the session proceed.

        Nothing of the client was read but its PROXY protocol `header`, where the listener has one.
        What is no such header is not read at all; then `header` is its beginning. `error` is
        ETIMEDOUT where none came in time, or the errno of reading it.
        """
    def greeted(self, name: bytes, /) -> None:
        """At the beginning of a handshake whose `Context` asks for rules: `use_context`, or go on.

        `name` is the server's that the client asks for, as it wrote it; b"" is none.
        """
    def certificates(self, /) -> None:
        """In the midst of a handshake whose `Context` has none of its own: `give_certificates`.

        A client for which that is not done is refused.
        """
    def preread(self, data: bytes, ended: bool, /) -> Outcome:
        """The client's first bytes so far; `ended` when no more will come, or came in time."""
    def pick(self, /) -> Outcome:
        """Where to go, for a listener that does not preread."""
    def connected(self, /) -> None:
        """The upstream took the connection (asked for with `Connect(notify=True)`)."""
    def answered(self, /) -> None:
        """The upstream's first byte has passed (asked for with `Connect(hears=True)`).

        Nothing waits for this, and a session that has ended meanwhile is not told.
        """
    def answer(self, error: int, connect_ms: int, /) -> Outcome:
        """A try failed, `connect_ms` after it began or, for one that had connected, took for that.

        `error` is an errno: ETIMEDOUT for our own time-out of the connect, ETIME for an answer that
        did not come, EPROTO for a TLS handshake that failed. It is negative where not the upstream
        but our `bind` to `local` failed.
        """
    def inspect(self, data: bytes, ended: bool, /) -> Outcome:
        """The upstream's first bytes, where the plan asked; Connect leaves it for another."""
    def farewell(self, status: int, /) -> bytes:
        """What to tell a client without a relay yet whose session ends; b"" is nothing.

        `status` is 500 where a decision for it raised, 503 where all sessions end.
        """
    def end(self, report: Report, /) -> None:
        """The session is over, and the handle with it."""

class RequestSession(Session, Protocol):
    """One that tells requests apart, and may serve several."""

    def done(self, report: Report, /) -> Outcome:
        """The client has its whole answer (`Accept(again=True)`); what comes next.

        What the report says of bytes and time is of the whole session, of the upstream's of its
        last connection.
        """
    def overhear(self, data: bytes, ended: bool, /) -> Need | Heard:
        """The client's bytes since the `Accept` that asked for it; nothing waits for this.

        Need asks for another call when there are more, which is not to be had when `ended`.
        """

class Engine:
    """One epoll descriptor, its native sessions, and the queue of those that wait for Python.

    `connections` is the limit of sockets (worker_connections). `counters` is a writable buffer of
    format "Q" with at least as many places as COUNTERS; `serial` one "Q" that all engines of an
    instance share. `notice(errno)` is called when accepting pauses: 0 is at the limit. `trouble` is
    called with an exception that a decision raised (its session says its farewell and is closed
    with status 500).
    """

    def __init__(
        self,
        *,
        connections: int,
        counters: memoryview,
        serial: memoryview,
        notice: Callable[[int], None],
        trouble: Callable[[BaseException], None],
    ) -> None: ...
    @property
    def wake_fd(self) -> int:
        """The descriptor that `select` reports when decisions wait; its reader is `serve`."""
    connections: int  # the limit; accepting goes by it from the next connection on
    @property
    def accepting(self) -> bool:
        """Whether listeners are heard: not at the limit, nor right after a want of descriptors."""
    @property
    def active(self) -> int:
        """Sessions that exist, those that only linger for their last words included."""
    @property
    def calls(self) -> dict[str, int]:
        """How often Python was called, by kind."""
    def watch(self, fd: int, events: int) -> None: ...
    def rewatch(self, fd: int, events: int) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def select(self, timeout: float) -> list[tuple[int, int]]:
        """Serve native events until Python is needed; `timeout` is in seconds, negative is none."""
    def serve(self) -> None:
        """Serve the sessions that wait for Python, at most SERVED_AT_ONCE of them."""
    def listen(
        self,
        fd: int,
        session: Callable[[int], Session],
        *,
        shared: bool = True,
        nodelay: bool = True,
        asks_accept: bool = False,
        idle_counts: bool = False,
        header_timeout_ms: int = 0,
        preread_size: int = 0,
        preread_timeout_ms: int = 0,
        tls: Context | None = None,
    ) -> int:
        """Accept from a listening socket, which stays the caller's; gives the listener's number.

        With `header_timeout_ms` a PROXY protocol header has to come first, in that time.
        `asks_accept` is for sessions with an accept phase that need no header.
        With `idle_counts` a session that has not said a byte counts as `waiting`; and one that
        begins without TLS, where there is `tls`, is served all the same (`secure` tells).
        With `tls` a session comes to its decisions when its handshake is done. One whose handshake
        fails has an `end` alone, with the reason "no_handshake" and status 500.
        """
    def unlisten(self, number: int, *, take: bool = False) -> None:
        """Accept no more; the socket may be closed at once, sessions in the queue go on.

        With `take` those who wait in the socket's queue are accepted first, as far as there is
        room.
        """
    def resume(self, handle: int, outcome: Outcome | None) -> bool:
        """Bring the outcome that LATER promised; False when the session is gone meanwhile."""
    def close_session(self, handle: int) -> bool:
        """End a session now; False when it is gone already."""
    def owners(self, first: int, count: int) -> list[tuple[int, Session | None, bool]] | None:
        """The sessions in `count` places from `first` on; None when there are none beyond.

        Of each its handle, its Python half, and whether it relays. That half is None where it is
        not made yet; such sessions are told of only when nobody listens any more where they came.
        """
    def close_idle(self) -> int:
        """End the sessions that wait between two requests (`Say(idle=True)`); how many."""
    def close_sessions(self) -> None:
        """End every session now, each with its `end`."""
    def client_address(self, handle: int) -> bytes:
        """The packed address that the client connected from."""
    def set_client_address(self, handle: int, address: bytes) -> None:
        """Let another packed address stand for the one that the client connected from."""
    def server_address(self, handle: int) -> bytes:
        """The packed address that the client connected to."""
    def upstream_local_address(self, handle: int) -> bytes:
        """The packed address that the upstream sees us at."""
    def secure(self, handle: int) -> bool:
        """Whether the client's side has TLS."""
    def tls(self, handle: int, name: str) -> str | None:
        """The value of `$ssl_NAME`; None where it is empty, or without TLS.

        Two more are no variables: "client_signed_with" and "client_key" tell of the certificate
        what PROXY protocol headers tell, as RSA-SHA256 and EC256.
        """
    def give_certificates(
        self, handle: int, pairs: Sequence[tuple[Certificate, Key]] | None
    ) -> None:
        """Let a session that asks for its `certificates` use these; raises TlsError.

        None refuses the client, and so does what raises.
        """
    def use_context(self, handle: int, context: Context) -> None:
        """Let the handshake of a session that was `greeted` go by these rules."""
    def serve_as(
        self,
        handle: int,
        session: Session,
        *,
        preread_size: int = 0,
        preread_timeout_ms: int = 0,
    ) -> None:
        """Let `session`, of another server, be the Python half from here on.

        While the first one is `greeted`, or in its `preread`; sizes and times as in `listen`.
        """
    def fault(self, handle: int) -> tuple[int, str] | None:
        """What went wrong in TLS last, once: a level of the error log and nginx's words."""
    def number(self, handle: int) -> int:
        """The session's number, unique in the instance."""
    def progress(self, handle: int) -> Report:
        """A report of a session that still runs."""
    def close(self) -> None:
        """Close every session and descriptor of the engine, without another word to anybody."""

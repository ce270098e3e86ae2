"""A connection's life, as far as it needs decisions: accept, preread, pick, connect, relay, log.

The engine calls these methods in that order and moves the bytes itself; `relay` is its own
function (`engine/relay.pyx`). Between `connect` and `log` nothing here is called, so a session
holds only what its last log line needs.
"""

from __future__ import annotations

import errno
import os
from socket import AF_INET, AF_INET6, AF_UNIX
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tidegate.balance.upstream import Attempt
from tidegate.config.model import Level
from tidegate.engine.address import unpack_address
from tidegate.engine.outcome import Outcome, Refuse
from tidegate.engine.tls_pem import TlsError
from tidegate.health import failure
from tidegate.stream import choice, realip, timing
from tidegate.stream.endings import NO_MEMORY, lines_of
from tidegate.stream.route import RouteError
from tidegate.stream.source import InvalidAddressError, NoSourceError
from tidegate.variables.values import Values
from tidegate.wire.quoted import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidegate.engine.outcome import Connect, Report
    from tidegate.stream.proxy import Proxy
    from tidegate.stream.realip import Origin
    from tidegate.stream.server import Port, Server
    from tidegate.stream.tls_pairs import PairFiles
    from tidegate.wire.client_hello import ClientHello
    from tidegate.wire.proxy_protocol import Endpoint

# Errors of a connect that are our own want: no broker is to blame, and another would not help.
OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

OK = 200
BAD_REQUEST = 400
FORBIDDEN = 403
INTERNAL_ERROR = 500
BAD_GATEWAY = 502
SERVICE_UNAVAILABLE = 503


# Ends behind which there may be a fault of TLS; the first is that of a client's handshake.
NO_HANDSHAKE = "no_handshake"
FAULTS = frozenset({NO_HANDSHAKE, "client_error", "upstream_error"})


class Try(NamedTuple):
    """A node that was tried in vain; times in milliseconds, -1 where it did not come to that."""

    address: str
    session_ms: int
    connect_ms: int = -1
    first_byte_ms: int = -1
    received: int = 0
    sent: int = 0


class Opening(NamedTuple):
    """How a session that was looked into begins with its node.

    The node gets `packet` for the first `take` bytes of the client. Where its answer is inspected,
    that has at most `answer_size` bytes and `answer_ms`. `idle_ms`, `upload` and `body_ms` as in
    `engine.outcome.Connect`, whose `opened` takes all of this in this order.
    """

    packet: bytes
    take: int
    answer_size: int
    answer_ms: int
    idle_ms: int
    upload: int = -1
    body_ms: int = 0


class Session:
    """One client's connection to a server of `stream {}`."""

    __slots__ = (
        "attempt",
        "failed",
        "handle",
        "misses",
        "opening",
        "origin",
        "passes",
        "peer",
        "port",
        "report",
        "server_endpoint",
        "source",
        "values",
        "way",
    )

    block: ClassVar[str] = "stream"
    # Our own time-outs, and what we were doing.
    doing: ClassVar[Mapping[int, str]] = {
        errno.ETIMEDOUT: "while connecting to upstream",
        errno.ETIME: "while waiting for its CONNACK",
    }

    def __init__(self, port: Port, handle: int) -> None:
        """Nothing is known yet but where the client came in."""
        self.port = port
        self.handle = handle
        self.peer = -1  # index of the reserved peer in its upstream
        self.attempt: Attempt | None = None
        self.failed: tuple[Try, ...] = ()
        self.report: Report | None = None
        self.server_endpoint: Endpoint | None = None
        self.opening: Opening | None = None
        self.source = ""  # the address of proxy_bind that the node sees
        self.misses = 0  # tries in vain that were no node's fault
        self.values: Values | None = None  # of computed variables, once one was asked for
        self.origin: Origin | None = None
        self.passes = 0  # how often another server has passed it on
        self.way: Proxy | None = None  # where variables choose it

    # --- the phases ---

    def accept(self, header: bytes, error: int, /) -> Outcome | None:
        """What comes before anything of the client is read; None lets it go on.

        Called where its port asks for it: with the PROXY `header` of the connection, if it is to
        have one, or the errno with which it did not come.
        """
        self.begin()
        if self.port.proxy_protocol:
            refused = realip.read_header(self, header, error)
            if refused is not None:
                return refused
        return self.accept_phase()

    def begin(self) -> None:
        """Note what has to be known before anything else happens."""
        server = self.server
        if server.tells_all:
            client = client_text(self.client_endpoint, port=True)
            self.say(Level.INFO, f"client {client} connected to {self.port.address}")
        if server.keeps_address and self.server_endpoint is None:
            self.server_endpoint = unpack_address(server.engine.server_address(self.handle))

    def accept_phase(self) -> Outcome | None:
        """Refuse a client that the rules keep out, before anything is read; None goes on.

        nginx's phases preaccess, where connections are limited, and access.
        """
        server = self.server
        if server.limits is not None and not server.limits.admit(self):
            return Refuse(SERVICE_UNAVAILABLE)
        if server.denies is not None and server.denies(self.client_endpoint):
            self.say_of_client(Level.ERROR, "access forbidden by rule while initializing session")
            return Refuse(FORBIDDEN)
        return None

    def greeted(self, name: bytes, /) -> None:
        """The client's TLS goes by the rules of the server that it names, and so does the rest."""
        choice.by_name(self, name)

    def certificates(self) -> None:
        """In the midst of the handshake: what the client is shown, where variables choose it."""
        files = self.pairs
        assert files is not None
        try:
            pairs = files.read(files.names(self))
            self.port.server.engine.give_certificates(self.handle, pairs)
        except TlsError as error:
            self.say_of_client(Level.ERROR, f"{error} while SSL handshaking")

    def preread(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 the engine calls by position
        """The client's first bytes; only sessions that look into them are asked."""
        raise NotImplementedError

    def pick(self) -> Outcome:
        """Choose what answers the client: a node of the upstream, or a text."""
        if not self.port.asks_accept:
            self.begin()
        refused = self.accept_phase() if self.port.judges else None
        return self.choose() if refused is None else refused

    def choose(self) -> Outcome:
        """As `pick`, for a client whose first bytes are known."""
        server = self.server
        if server.limits is not None and not server.limits.admit_late(self):
            return self.refuse(SERVICE_UNAVAILABLE)
        if server.assignments:
            self.compute()
        if server.passing is not None:
            return server.passing.pass_on(self)
        proxy = server.proxy
        if server.route is not None:
            try:
                proxy = self.way = server.route.find(self)
            except RouteError as error:
                self.say(Level.ERROR, str(error), "")
                return self.refuse(INTERNAL_ERROR)
        if proxy is None:
            return Refuse(OK, server.text(self).encode("utf-8", "surrogateescape"))
        self.attempt = Attempt() if proxy.key is None else Attempt(proxy.key(self))
        return self.connect(proxy)

    def connect(self, proxy: Proxy) -> Outcome:
        """Reserve the next node and say how to get there."""
        self.peer = self.reserve(proxy)
        if self.peer < 0:
            return self.no_node(proxy)
        return self.go(proxy)

    def no_node(self, proxy: Proxy) -> Outcome:
        """Refuse the client, as no node is left."""
        self.complain(Level.ERROR, "no live upstreams", proxy.upstream.name)
        return self.refuse(BAD_GATEWAY)

    def reserve(self, proxy: Proxy) -> int:
        """Take the next node's turn; its index, or -1."""
        assert self.attempt is not None
        if proxy.sticky is None:
            peer = proxy.upstream.pick(self.attempt)
        else:
            peer = proxy.sticky.pick(self, self.attempt, proxy.upstream)
        if proxy.upstream.unlocked != proxy.unlocked:
            proxy.unlocked = proxy.upstream.unlocked
            self.say(Level.ALERT, "the lock of the upstream was not to be had, chosen without it")
        return peer

    def go(self, proxy: Proxy) -> Outcome:
        """The way to the node that was reserved, or to the next to which we have a port."""
        while True:
            try:
                return self.on_its_way(proxy.plan(self, self.peer))
            except InvalidAddressError as error:
                # nginx has not named the node yet.
                self.say(Level.ERROR, f"invalid local address {quoted(str(error))}", "")
                return self.on_its_way(proxy.plan(self, self.peer, anywhere=True))
            except NoSourceError as error:
                self.blame_sources(error)
                if error.bound:
                    return self.refuse(INTERNAL_ERROR)
            except TlsError as error:
                self.complain(Level.ERROR, str(error), self.address)
                return self.refuse(INTERNAL_ERROR)
            proxy.upstream.cancel(self.peer)
            self.failed = (*self.failed, Try(self.address, 0))
            timing.left(self)
            self.peer = -1
            if not self.may_go_on(errno.EADDRNOTAVAIL):
                return self.refuse(BAD_GATEWAY)
            self.peer = self.reserve(proxy)
            if self.peer < 0:
                return self.no_node(proxy)

    def on_its_way(self, plan: Connect) -> Connect:
        """The relay may begin now; what another try asks of the variables stays until it does."""
        if not self.proxy.asks_again:
            self.forget()
        return plan

    def forget(self) -> None:
        """Of the variables only what the log line needs is kept."""
        if self.values is not None:
            self.values = self.values.kept(self.server.logged)

    def refuse(self, status: int) -> Outcome:
        """Close the client; in the words of its protocol where that is known."""
        return Refuse(status)

    def connected(self) -> None:
        """The node took the connection; called only where somebody wants to know."""
        timing.connected(self)
        self.tell_connected()
        self.forgive()
        self.learn()
        self.forget()

    def learn(self) -> None:
        """The node has taken the client: that may be something to remember."""
        sticky = self.proxy.sticky
        if sticky is not None:
            sticky.learn(self)

    def tell_connected(self) -> None:
        """What a connect that succeeded gives to tell: that at level info, and left out sources."""
        sources = self.proxy.sources
        if sources is not None and sources.has_news(self.peer):
            self.tell_sources(sources.news(self.peer))
        if self.server.tells_all:
            self.say(Level.INFO, f"proxy {self.local_address} connected to {self.address}")

    def answered(self) -> None:
        """The node's first byte has passed; called only where its time counts."""
        timing.answered(self)

    def forgive(self) -> None:
        """The node is well: its failures are forgotten, where nginx forgets them."""
        upstream = self.proxy.upstream
        if upstream.failing(self.peer):
            upstream.connected(self.peer)

    def answer(self, error: int, connect_ms: int, /) -> Outcome:
        """The node was not reached: go on with the next, where that is allowed."""
        proxy = self.proxy
        if proxy.missed_source(self, error):
            return self.go(proxy)
        ours = error < 0 or error in OUR_OWN
        address = self.address
        self.blame(error, address)
        if error == errno.EADDRNOTAVAIL or ours:
            proxy.upstream.cancel(self.peer)
        else:
            failure.note(proxy.upstream, self.peer, error)
            if proxy.upstream.release(self.peer, failed=True):
                self.complain(Level.WARN, "upstream server temporarily disabled", address)
        timing.left(self)
        self.peer = -1
        silent = error == errno.ETIME
        tried = tried_so_far(address, self.progress) if silent else Try(address, connect_ms)
        self.failed = (*self.failed, tried)
        if ours:
            return self.refuse(INTERNAL_ERROR)
        if not self.may_go_on(error):
            return self.refuse(self.status_of(error))
        return self.connect(proxy)

    def may_go_on(self, error: int) -> bool:
        """Whether another node may be asked after a try that failed with this errno."""
        del error
        return self.proxy.may_try_again(len(self.failed), self.age_ms)

    def status_of(self, error: int) -> int:
        """What a client is refused with, the last try for which failed with this errno."""
        del error
        return BAD_GATEWAY

    def inspect(self, data: bytes, ended: bool, /) -> Outcome:  # noqa: FBT001 as preread
        """The node's first bytes; only sessions whose opening asks for them are shown them."""
        raise NotImplementedError

    def farewell(self, _status: int, /) -> bytes:
        """Without a protocol that is known there is nothing to say."""
        return b""

    def end(self, report: Report, /) -> None:
        """The relay is over, or it never began."""
        limits = self.server.limits
        if limits is None:
            self.conclude(report)
            return
        limits.give_back(self)
        try:
            self.conclude(report)
        finally:
            limits.forget(self)

    def conclude(self, report: Report) -> None:
        """The node is free again, and the logs tell how it was."""
        self.report = report
        try:
            self.free_node(report)
        finally:
            self.tell_how(report)

    def free_node(self, report: Report) -> None:
        """The node that the session has, if any, has one session less."""
        timing.left(self)
        if self.peer < 0:
            return
        proxy = self.proxy
        if proxy.sticky is not None:
            proxy.sticky.leave(self.handle)
        if report.connect_ms < 0:
            # The client left while we connected.
            proxy.upstream.cancel(self.peer)
        else:
            self.give_back(proxy)
        hint = proxy.early_close(self.peer, report)
        if hint is not None:
            self.say(Level.WARN, hint, self.address)

    def tell_how(self, report: Report) -> None:
        """The logs tell how the session was."""
        if report.reason in FAULTS:
            if report.reason == NO_HANDSHAKE and self.server_endpoint is None:
                # Most often it was never accepted here; its socket is closed.
                self.server_endpoint = endpoint_of(self.port.address)
            self.tell_fault(report)
        if self.server.tells_all or report.error or report.reason == NO_MEMORY:
            self.tell_end(report)
        self.log()

    def give_back(self, proxy: Proxy) -> None:
        """The node has one session less."""
        timing.over(self)
        proxy.upstream.release(self.peer, failed=False)

    def log(self) -> None:
        """One line in each access log."""
        for write in self.server.access_logs:
            write(self)

    # --- what is known ---

    @property
    def server(self) -> Server:
        """What is configured for the session."""
        return self.port.server

    @property
    def pairs(self) -> PairFiles | None:
        """The certificates that the client may be shown, where variables choose them."""
        return self.port.pairs

    def compute(self) -> Values:
        """The computed variables, with what the server's `set` give them."""
        values = self.values
        if values is None:
            values = self.values = Values()
        if not values.begun:
            values.begun = True
            kept = frozenset(values.known)
            for name, text in self.server.assignments:
                if name not in kept:
                    values.known[name] = text(self)
        return values

    def tell(self, level: str, message: str) -> None:
        """A line about a variable."""
        self.say_of_client(Level[level.upper()], message)

    @property
    def proxy(self) -> Proxy:
        """The `proxy_pass` of this session's server; only sessions that picked a node ask."""
        proxy = self.way or self.server.proxy
        assert proxy is not None
        return proxy

    @property
    def address(self) -> str:
        """The chosen node as nginx prints it."""
        return self.proxy.upstream.peers[self.peer].address.text

    @property
    def local_address(self) -> str:
        """Where the node sees us, as nginx prints it; empty when that socket is closed again."""
        engine = self.server.engine
        try:
            packed = engine.upstream_local_address(self.handle)
        except OSError:
            return ""
        return client_text(unpack_address(packed), port=True)

    @property
    def client_endpoint(self) -> Endpoint:
        """Family, host and port of the client."""
        return unpack_address(self.server.engine.client_address(self.handle))

    @property
    def client_id(self) -> str | None:
        """The client identifier that MQTT gave it, where it was read."""
        return None

    def mqtt(self, name: str) -> str | None:
        """The value of `$mqtt_…`; None where no MQTT was read."""
        del name
        return None

    @property
    def passing(self) -> ClientHello | None:
        """What the client's TLS said that passes here unopened, where it was looked into."""
        return None

    @property
    def number(self) -> int:
        """The number that the logs know the connection by."""
        return self.server.engine.number(self.handle)

    @property
    def progress(self) -> Report:
        """How far the session has come, or how it ended."""
        return self.report or self.server.engine.progress(self.handle)

    @property
    def age_ms(self) -> int:
        """Milliseconds since the connection was accepted."""
        return self.server.engine.progress(self.handle).session_ms

    # --- the error log ---

    def blame(self, error: int, address: str) -> None:
        """Say why a node was not reached, in nginx's words."""
        reason = f"({abs(error)}: {os.strerror(abs(error))})"
        if error == -errno.EPERM:
            # Of the steps before connect only this one asks for rights.
            self.complain(Level.ALERT, f"setsockopt(IP_TRANSPARENT) failed {reason}", address)
        elif error < 0:
            self.complain(Level.CRIT, f"bind({self.source}) failed {reason}", address)
        elif error in self.doing:
            timed_out = f"({errno.ETIMEDOUT}: {os.strerror(errno.ETIMEDOUT)})"
            self.say(Level.ERROR, f"upstream timed out {timed_out} {self.doing[error]}", address)
        elif error == errno.EPROTO:
            fault = self.server.engine.fault(self.handle)
            words = fault[1] if fault is not None else "peer closed connection in SSL handshake"
            if words.endswith("does not match"):
                words += f' "{self.proxy.tls_name(self)}"'
            self.say(Level.ERROR, f"{words} while SSL handshaking to upstream", address)
        elif error in OUR_OWN:
            self.complain(Level.ALERT, f"socket() failed {reason}", address)
        elif error == errno.EADDRNOTAVAIL or address.startswith("unix:"):
            self.complain(Level.CRIT, f"connect() to {address} failed {reason}", address)
        else:
            self.complain(Level.ERROR, f"connect() failed {reason}", address)

    def blame_sources(self, error: NoSourceError) -> None:
        """Say that no address of ours leads to the node."""
        if error.bound:
            said = f"bind({error.addresses}) failed {error.reason}"
        else:
            said = f"connect() to {self.address} failed {error.reason}"
            said += ", no free port"
            # The kernel says the same where this host has no address of the node's family.
            said += f" from {error.addresses}" if error.addresses else ", or no address to go from"
        self.complain(Level.CRIT, said, self.address)

    def tell_sources(self, news: dict[str, int]) -> None:
        """Say which addresses of ours others have to stand in for."""
        full = [text for text, error in news.items() if error > 0]
        if full:
            said = f"no free port from {', '.join(full)}, other addresses take over"
            self.complain(Level.WARN, said, self.address)
        for text, error in news.items():
            if error < 0:
                said = f"bind({text}) failed ({-error}: {os.strerror(-error)})"
                self.complain(Level.CRIT, f"{said}, other addresses take over", self.address)

    def complain(self, level: Level, message: str, upstream: str) -> None:
        """A line about the way to a node."""
        self.say(level, f"{message} while connecting to upstream", upstream)

    def say(self, level: Level, message: str, upstream: str | None = None) -> None:
        """A line about the session; with `upstream` it ends in nginx's details of both sides."""
        log = self.server.error_log
        if not log.enabled(level):
            return
        if upstream is not None:
            now = self.progress
            node = f', upstream: "{upstream}"' if upstream else ""
            # Without a node the engine still knows the bytes of the one before.
            heard, told = now.upstream_bytes_received, now.upstream_bytes_sent
            if self.peer < 0:
                heard = told = 0
            message = (
                f"{message}{self.about}{node}"
                f", bytes from/to client:{now.bytes_received}/{now.bytes_sent}"
                f", bytes from/to upstream:{heard}/{told}"
            )
        log.write(level, message, connection=self.number)

    def say_of_client(self, level: Level, message: str) -> None:
        """A line that ends in nginx's details of the client, as before a node is chosen."""
        if self.server.error_log.enabled(level):
            self.say(level, message + self.about)

    @property
    def about(self) -> str:
        """Who the client is and where it came in, for a log line."""
        client = client_text(self.client_endpoint)
        return f", client: {client}, server: {self.port.address}{self.about_client}"

    @property
    def about_client(self) -> str:
        """Who the client says it is, for a log line."""
        return "" if self.client_id is None else f", clientid: {quoted(self.client_id)}"

    def tell_fault(self, report: Report) -> None:
        """What went wrong in TLS, in nginx's words."""
        fault = self.server.engine.fault(self.handle)
        if fault is None:
            return
        level, words = Level(fault[0]), fault[1]
        if report.reason != NO_HANDSHAKE:
            upstream = self.address if self.peer >= 0 else None
            self.say(level, f"{words} while proxying connection", upstream)
            return
        client = client_text(self.client_endpoint)
        where = f"client: {client}, server: {self.port.address}"
        self.say(level, f"{words} while SSL handshaking, {where}")

    def tell_end(self, report: Report) -> None:
        """The last lines: who ended it, after how much."""
        for line in lines_of(report, relayed=self.peer >= 0):
            if not line.detailed:
                self.say(line.level, line.message)
            elif self.peer >= 0:
                self.say(line.level, line.message, self.address)
            else:
                self.say_of_client(line.level, line.message)


def tried_so_far(address: str, now: Report) -> Try:
    """A node that took the connection and then did not serve."""
    return Try(
        address,
        now.upstream_ms,
        now.connect_ms,
        now.first_byte_ms,
        now.upstream_bytes_received,
        now.upstream_bytes_sent,
    )


def endpoint_of(address: str) -> Endpoint:
    """Family, host and port of an address as logs have it."""
    if address.startswith("unix:"):
        return AF_UNIX, address[5:], 0
    host, _, port = address.rpartition(":")
    return (AF_INET6 if "[" in host else AF_INET), host.strip("[]"), int(port)


def client_text(endpoint: Endpoint, *, port: bool = False) -> str:
    """An address as nginx prints it in logs and variables, with its port or without."""
    family, host, number = endpoint
    if family == AF_UNIX:
        return f"unix:{host}"
    if not port:
        return host
    return f"[{host}]:{number}" if family == AF_INET6 else f"{host}:{number}"

"""What a run shall do, from checked options; and the generator that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.bench import packets
from tidegate.bench.generator import Generator
from tidegate.bench.resolve import AddressError, resolve
from tidegate.bench.secure import SecureError, TlsOptions, target_tls
from tidegate.bench.upgrade import websocket

if TYPE_CHECKING:
    from collections.abc import Iterator

NANO = 1_000_000_000
# Connections on their way at the same time: the queue of a listening mosquitto, and of many others,
# is as long, and what does not fit waits a second for its next try.
AT_ONCE = 100
# A client speaks when three quarters of its keep-alive have passed in silence.
KEEPALIVE_SHARE = 0.75
# With `reconnect` a connection that failed waits as long: nanoseconds.
RETRY_PERIOD = NANO // 10


class PlanError(Exception):
    """Options that cannot be carried out; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Patterns may contain %i, the connection's number from 1, %c, its client ID, and %u, its user
    name.
    """

    job: str  # one of generator.JOBS
    host: str = "localhost"
    port: int = 1883
    version: str = "5"
    count: int
    client_id: str
    username: str | None = None
    password: str | None = None
    keepalive: int = 60  # seconds, 0 is none
    topic: str = ""
    qos: int = 0
    payload: bytes = b""
    echo: bool = False  # no MQTT: bytes, and as many back
    reconnect: bool = False
    connects_per_second: float = 0  # 0 is as fast as `at_once` allows
    at_once: int = AT_ONCE
    messages_per_second: float = 0  # of all together
    message_interval: float = 0  # seconds, of each; 0 both: when the last one was answered
    reconnect_period: float = 0  # seconds until one that was lost tries to return
    reconnect_times: int = 0  # how often it tries; 0 is never
    limit: int = 0  # messages; 0 is none
    seconds: float | None = None  # None is until a signal comes
    timeout: float = 10.0
    sources: tuple[str, ...] = ()
    tls: TlsOptions | None = None
    path: str | None = None  # of the WebSocket; None: there is none

    @property
    def target(self) -> str:
        """The target as a person writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def clients(self) -> Iterator[Client]:
        """Each connection."""
        for number in range(1, self.count + 1):
            client_id = fill(self.client_id, number)
            username = None if self.username is None else fill(self.username, number, client_id)
            topic = fill(self.topic, number, client_id, username or "")
            yield Client(client_id=client_id, username=username, topic=topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the patterns are for one connection."""

    client_id: str
    username: str | None
    topic: str


def fill(pattern: str, number: int, client_id: str = "", username: str = "") -> str:
    """A pattern with its number, client ID and user name put in."""
    return pattern.replace("%i", str(number)).replace("%c", client_id).replace("%u", username)


def make_generator(plan: Plan) -> Generator:
    """The generator of a plan.

    Raises PlanError where names do not resolve, files of TLS cannot be used, or client IDs, topics
    or payload are too long.
    """
    try:
        tls = target_tls(plan.tls, host=plan.host) if plan.tls is not None else None
        address, sources = resolve(plan.host, plan.port, sources=plan.sources)
    except (AddressError, SecureError) as error:
        raise PlanError(str(error)) from None
    try:
        connects, subscribes, heads = ([], [], []) if plan.echo else _packets(plan)
    except ValueError as error:
        raise PlanError(str(error)) from None
    way = None
    if plan.path is not None:
        way = websocket(count=plan.count, host=plan.target, path=plan.path)
    return Generator(
        job=plan.job,
        count=plan.count,
        address=address,
        sources=sources,
        connects=connects,
        subscribes=subscribes,
        heads=heads,
        id_tail=packets.id_tail(version=plan.version, qos=plan.qos),
        payload=plan.payload,
        qos=plan.qos,
        reconnect=plan.reconnect,
        connect_period=_period(plan.connects_per_second),
        message_period=_period(plan.messages_per_second),
        client_period=int(plan.message_interval * NANO),
        retry_period=int(plan.reconnect_period * NANO) or RETRY_PERIOD,
        retries=plan.reconnect_times if plan.reconnect_period else 0,
        timeout=int(plan.timeout * NANO),
        keepalive=int(plan.keepalive * NANO * KEEPALIVE_SHARE),
        limit=plan.limit,
        at_once=plan.at_once,
        tls=tls,
        websocket=way,
    )


def _packets(plan: Plan) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """CONNECT, SUBSCRIBE and the head of PUBLISH of each connection, as far as the job has them."""
    connects: list[bytes] = []
    subscribes: list[bytes] = []
    heads: list[bytes] = []
    size = len(plan.payload)
    for client in plan.clients():
        connects.append(
            packets.connect(
                client.client_id,
                version=plan.version,
                keepalive=plan.keepalive,
                username=client.username,
                password=plan.password,
            )
        )
        topic = client.topic
        if plan.job in {"sub", "pingpong"}:
            subscribes.append(packets.subscribe(topic, version=plan.version, qos=plan.qos))
        if plan.job in {"pub", "pingpong"}:
            heads.append(packets.publish_head(topic, version=plan.version, qos=plan.qos, size=size))
    return connects, subscribes, heads


def _period(per_second: float) -> int:
    return max(int(NANO / per_second), 1) if per_second else 0

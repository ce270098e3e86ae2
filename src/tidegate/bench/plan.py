"""What a run shall do, from checked options; and the generator that does it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.bench import packets
from tidegate.bench.generator import Generator
from tidegate.engine.address import pack_address

if TYPE_CHECKING:
    from collections.abc import Iterator

NANO = 1_000_000_000
# Connections on their way at the same time: what nginx and most brokers take into their queue.
AT_ONCE = 500
# A client speaks when three quarters of its keep-alive have passed in silence.
KEEPALIVE_SHARE = 0.75

# How long one of several addresses of a target may take to be chosen.
PROBE_SECONDS = 1.0


class PlanError(Exception):
    """Options that cannot be carried out; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Patterns may contain %i (the connection's number, from 1) and %c (client ID)."""

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
    connects_per_second: float = 0  # 0 is as fast as AT_ONCE allows
    messages_per_second: float = 0  # of all together; 0 is each when the last one was answered
    limit: int = 0  # messages; 0 is none
    seconds: float | None = None  # None is until a signal comes
    timeout: float = 10.0
    sources: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The target as a person writes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def names(self) -> Iterator[tuple[int, str]]:
        """Number and client ID of each connection."""
        for number in range(1, self.count + 1):
            yield number, fill(self.client_id, number)


def fill(pattern: str, number: int, client_id: str = "") -> str:
    """A pattern with its number and client ID put in."""
    return pattern.replace("%i", str(number)).replace("%c", client_id)


def make_generator(plan: Plan) -> Generator:
    """The generator of a plan.

    Raises PlanError where names do not resolve, or client IDs, topics or payload are too long.
    """
    address = resolve(plan.host, plan.port)
    family = int.from_bytes(address[:2], "little")
    try:
        sources = [pack_address(family, source, 0) for source in plan.sources]
    except ValueError as error:
        raise PlanError(f"--source: {error}") from None
    try:
        connects, subscribes, heads = ([], [], []) if plan.echo else _packets(plan)
    except ValueError as error:
        raise PlanError(str(error)) from None
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
        timeout=int(plan.timeout * NANO),
        keepalive=int(plan.keepalive * NANO * KEEPALIVE_SHARE),
        limit=plan.limit,
        at_once=AT_ONCE,
    )


def resolve(host: str, port: int) -> bytes:
    """The address of a host, packed; PlanError when there is none.

    Of several the first that takes a connection: "localhost" is ::1 and 127.0.0.1, and a target
    often listens on one of them only.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if host != "localhost":
            raise PlanError(f'cannot resolve "{host}": {error}') from None
        # A system without a hosts file does not know the name (RFC 6761, section 6.3).
        return pack_address(socket.AF_INET, "127.0.0.1", port)
    if len(found) > 1:
        found = [one for one in found if _accepts(one[0], one[4])] or found
    family, _, _, _, address = found[0]
    return pack_address(family, str(address[0]), port)


def _accepts(family: int, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(PROBE_SECONDS)
        return sock.connect_ex(address) == 0  # type: ignore[arg-type]  # as getaddrinfo gave it


def _packets(plan: Plan) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """CONNECT, SUBSCRIBE and the head of PUBLISH of each connection, as far as the job has them."""
    connects: list[bytes] = []
    subscribes: list[bytes] = []
    heads: list[bytes] = []
    size = len(plan.payload)
    for number, client_id in plan.names():
        connects.append(
            packets.connect(
                client_id,
                version=plan.version,
                keepalive=plan.keepalive,
                username=None if plan.username is None else fill(plan.username, number, client_id),
                password=plan.password,
            )
        )
        topic = fill(plan.topic, number, client_id)
        if plan.job in {"sub", "pingpong"}:
            subscribes.append(packets.subscribe(topic, version=plan.version, qos=plan.qos))
        if plan.job in {"pub", "pingpong"}:
            heads.append(packets.publish_head(topic, version=plan.version, qos=plan.qos, size=size))
    return connects, subscribes, heads


def _period(per_second: float) -> int:
    return max(int(NANO / per_second), 1) if per_second else 0

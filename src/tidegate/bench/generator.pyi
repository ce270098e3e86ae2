"""The load generator's loop."""

from collections.abc import Sequence

from tidegate.bench.histogram import Histogram
from tidegate.bench.tls import TargetTls
from tidegate.bench.upgrade import WebSocket

JOBS: tuple[str, ...]
FAULT_NAMES: tuple[str, ...]

class Generator:
    """Connections to one target, driven without Python while `run` runs.

    Times are nanoseconds. `address` and `sources` are packed as by `engine.address`. `connects`,
    `subscribes` and `heads` hold one packet per connection: CONNECT, SUBSCRIBE, and PUBLISH up to
    its payload; without `connects` no MQTT is spoken: the payload itself is sent, and as many bytes
    awaited. `id_tail` says how many bytes before the payload the packet identifier begins, 0 is
    none.

    A new connection is begun each `connect_period`, while fewer than `at_once` are on their way;
    a message is sent each `message_period` by one ready connection after the other, or by each of
    them each `client_period`, or where both are 0 by each as soon as its last one was answered.
    With `reconnect` a connection ends after its CONNACK and is made anew. One that was let in and
    then lost tries `retries` times to return, `retry_period` apart. A `silent` generator sends no
    message until `speak`. With `tls` everything goes through it, with
    `websocket` in frames, which are made here. Raises ValueError where the
    numbers of packets do not fit.
    """

    connect_times: Histogram
    tls_times: Histogram
    upgrade_times: Histogram
    connack_times: Histogram
    entry_times: Histogram  # from the begin of the connect to the CONNACK
    round_trips: Histogram
    acknowledgements: Histogram

    def __init__(
        self,
        *,
        job: str,
        count: int,
        address: bytes,
        sources: Sequence[bytes] = ...,
        connects: Sequence[bytes] = ...,
        subscribes: Sequence[bytes] = ...,
        heads: Sequence[bytes] = ...,
        id_tail: int = 0,
        payload: bytes = b"",
        qos: int = 0,
        reconnect: bool = False,
        silent: bool = False,
        connect_period: int = 0,
        message_period: int = 0,
        client_period: int = 0,
        retry_period: int = ...,
        retries: int = 0,
        timeout: int = ...,
        keepalive: int = 0,
        limit: int = 0,
        at_once: int = 500,
        tls: TargetTls | None = None,
        websocket: WebSocket | None = None,
    ) -> None: ...
    def run(self, seconds: float) -> None:
        """Generate load for so long, or until it is done or a signal comes."""

    def speak(self) -> None:
        """End the silence: from the next `run` on messages are sent."""

    def finish(self) -> None:
        """Begin nothing new: the next `run` ends when what is on its way has been answered."""

    def close(self) -> None:
        """End all connections as clients do that have finished."""

    @property
    def settled(self) -> bool:
        """Whether no connection waits for its turn or for its CONNACK."""

    @property
    def done(self) -> bool:
        """Whether all messages of the limit, or of the end, were sent whole and answered."""

    @property
    def connect_seconds(self) -> float:
        """From the first try to the last that was let in for the first time; 0: nobody was."""

    def counts(self) -> dict[str, int]:
        """What has happened so far: tried, established, open, ready, sent, received and others."""

    def faults(self) -> dict[str, int]:
        """How often each thing went wrong, by its name; what never did is left out."""

    def reasons(self) -> dict[tuple[str, int, int], int]:
        """How often something failed for each reason: its name, a code, a verdict on a certificate.

        The code of TLS is OpenSSL's; see `tls.reason_words`.
        """

    @property
    def tls_terms(self) -> tuple[str, str]:
        """Version and cipher of the last handshake; "" both before the first."""

    def codes(self) -> dict[str, dict[int, int]]:
        """How often CONNACK, SUBACK, PUBACK or DISCONNECT bore each code that refused something."""

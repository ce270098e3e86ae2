"""Heads on their way through a location: of requests, and of a node's 101."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from tidegate.http.request import Request
from tidegate.http.session import HttpSession
from tidegate.wire.head import ResponseHead

HOST: Final[bytes]  # stands for a field: the host that the client asks for

class RequestWriter:
    """Writes the heads for one `proxy_pass`."""

    def __init__(
        self,
        *,
        version: str,
        fields: Sequence[tuple[str, Callable[[HttpSession], str], str | None, bytes | None]],
        uri: Callable[[HttpSession], str] | None,
        whole_uri: bool,
        pass_headers: bool,
        pass_body: bool,
    ) -> None:
        """Know what a `proxy_pass` says.

        `fields` have name and text, then the text where it is always the same one, then the name
        (with "-") of the client's field where the text is that, or HOST. `uri` is that of
        `proxy_pass`; `whole_uri` that it stands for all of the client's.
        """

    def head(self, session: HttpSession, request: Request) -> bytes:
        """The head, its empty line included; notes the URI in the request."""

    @property
    def passes_body(self) -> bool:
        """Whether the node gets the client's body."""

class SwitchWriter:
    """Writes the head of a node's 101 for the client."""

    def __init__(self, *, hidden: Collection[bytes], tokens: bool) -> None:
        """`hidden` are names in small letters, `tokens` tells whether our version is named."""

    def head(self, head: ResponseHead) -> bytes | None:
        """The head; None where it has a field that is not just passed on."""

    def is_mqtt(self, head: ResponseHead) -> bool:
        """Whether the node agreed to speak MQTT by WebSocket, as the client is told."""

"""The way to an upstream in TLS, and what is kept of the last one for a short handshake."""

from collections.abc import Sequence

from tidegate.engine.tls_context import Context
from tidegate.engine.tls_pem import Certificate, Key

def keep_sessions(context: Context) -> None:
    """Let what upstreams give for the next handshake be kept, where a Resumption is given."""

class Resumption:
    """Where one upstream's session is kept for the next handshake with it."""

class ClientTls:
    """How one connection to an upstream is secured.

    `name` is what the upstream has to prove to be with `verifies_name`, and is told it is called
    with `sends_name`. `resumption` makes handshakes short. `pairs` are our own certificates, where
    they are not the context's.
    """

    def __init__(
        self,
        context: Context,
        *,
        name: bytes = b"",
        sends_name: bool = False,
        verifies_name: bool = False,
        resumption: Resumption | None = None,
        pairs: Sequence[tuple[Certificate, Key]] = (),
    ) -> None: ...

"""TLS between the generator and its target."""

from tidegate.engine.tls_context import Context

class TargetTls:
    """How connections to the target are secured.

    The target is told it is called `server_name`, and its certificate has to bear `verified_name`;
    "" leaves either out. With `reuse` a connection takes up the session of the one before it.
    """

    def __init__(
        self,
        context: Context,
        *,
        server_name: str = "",
        verified_name: str = "",
        reuse: bool = False,
    ) -> None: ...
    def trust_system(self) -> None:
        """Trust the authorities that this machine trusts."""

def reason_words(error: int, verdict: int) -> tuple[str, str]:
    """OpenSSL's words for a reason: of an error, and of a verdict; "" for none."""

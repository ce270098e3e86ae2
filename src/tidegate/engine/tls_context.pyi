"""What TLS is made of: certificates, keys and rules, put into OpenSSL's context."""

from collections.abc import Sequence
from typing import Final

from tidegate.engine.tls_resume import TicketKeys
from tidegate.scoreboard.cache import Cache

# The protocols that a configuration may name, and the words of ssl_verify_client.
PROTOCOLS: Final[dict[str, int]]
VERIFY: Final[tuple[str, ...]]

def openssl_version() -> str:
    """The version of the OpenSSL that runs, e.g. "OpenSSL 3.0.19 27 Jan 2026"."""

class Context:
    """The rules of all handshakes of a server, or of all those with an upstream.

    It is filled once, by one call for each directive; each raises TlsError. Files are given as
    bytes with their names, which only messages use. `timeout_ms` is for a handshake.
    """

    def __init__(
        self,
        *,
        server: bool = True,
        protocols: Sequence[str] = ("TLSv1.2", "TLSv1.3"),
        timeout_ms: int = 60000,
    ) -> None: ...
    @property
    def security_level(self) -> int:
        """OpenSSL's: from 1 on there is no SSL 3, and from OpenSSL 3.0 on no TLS 1.0 and 1.1."""
    def set_ciphers(self, text: str, *, prefer_server: bool = False) -> None:
        """The ciphers of TLS 1.2 and older, in OpenSSL's notation."""
    def add_certificate(self, name: str, pem: bytes) -> None:
        """The certificate that is first in `pem`, and the chain behind it."""
    def add_key(self, name: str, pem: bytes, passwords: Sequence[bytes] = ()) -> None:
        """The private key of the certificate that was added last."""
    def ask_pairs(self) -> None:
        """Have the session asked for its certificates, when the client's hello is known."""
    def ask_rules(self) -> None:
        """Have the session `greeted` before anything is chosen: it may `use_context`."""
    def set_verify(self, mode: str, depth: int, *, judge: bool = True) -> None:
        """Ask the other side for its certificate; `mode` is one of VERIFY.

        Without `judge` the handshake succeeds with any, or none: `$ssl_client_verify` tells.
        """
    def add_trusted(self, name: str, pem: bytes, *, tell: bool = False) -> None:
        """Authorities by which certificates are verified; with `tell` the client hears of them."""
    def add_crl(self, name: str, pem: bytes) -> None:
        """Certificates that were revoked; from now on each in a chain is looked for."""
    def set_dhparam(self, name: str, pem: bytes) -> None:
        """The parameters of Diffie-Hellman key exchanges."""
    def set_staple(self, name: str, data: bytes) -> None:
        """An OCSP answer, in DER, for clients that ask for one."""
    def set_curves(self, text: str) -> None:
        """The curves of key exchanges, in order; "auto" leaves OpenSSL's."""
    def set_sessions(
        self,
        context: bytes,
        *,
        timeout: int,
        cache: str | int = "none",
        shared: Cache | None = None,
    ) -> None:
        """Let clients take up their sessions.

        `context` (32 bytes at most) is of servers that may take up each other's. `timeout` is
        seconds. `cache` is "off", "none" (tickets alone), "shared" (those in `shared` alone), or a
        number of sessions kept here before `shared` is asked, 0 for OpenSSL's own.
        """
    def set_tickets(self, keys: TicketKeys | None) -> None:
        """Give out tickets made with `keys`; None: give out none."""
    def set_alpn(self, protocols: Sequence[bytes], *, server: bool = True) -> None:
        """Protocols to choose from, or to offer, the best first."""
    def reject_handshakes(self) -> None:
        """Refuse every client with the alert "unrecognized name"."""
    def set_command(self, name: str, value: str, *, server: bool = True) -> None:
        """One of OpenSSL's own configuration commands."""

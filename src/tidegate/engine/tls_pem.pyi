"""Certificates and keys, as files in PEM hold them. Faults are told in nginx's words."""

from collections.abc import Sequence

class TlsError(Exception):
    """OpenSSL does not take what the configuration gives it; in nginx's words."""

class Certificate:
    """The certificate that is first in `pem`, and the chain behind it; `name` is for messages.

    Raises TlsError.
    """

    name: str

    def __init__(self, name: str, pem: bytes) -> None: ...

class Key:
    """A private key; each of the pass phrases is tried. Raises TlsError."""

    name: str

    def __init__(self, name: str, pem: bytes, passwords: Sequence[bytes] = ()) -> None: ...

def check_pair(certificate: Certificate, key: Key) -> None:
    """Whether a key is that of a certificate; raises TlsError."""

def not_after(pem: bytes) -> int | None:
    """When the first certificate of `pem` expires, in seconds since 1970; None if it is none."""

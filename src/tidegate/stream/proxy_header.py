"""The PROXY protocol header that a node gets: who the client is, and in version 2 its TLS too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.engine.address import unpack_address
from tidegate.wire import tlvs
from tidegate.wire.proxy_protocol import encode_v1, encode_v2

if TYPE_CHECKING:
    from tidegate.stream.session import Session

# What the engine knows of the client's TLS, by the names of TLVs.
TLS = {
    "ssl_version": "protocol",
    "ssl_cn": "client_s_dn_cn",
    "ssl_cipher": "cipher",
    "ssl_sig_alg": "client_signed_with",
    "ssl_key_alg": "client_key",
}
NO_CERTIFICATE = "NONE"
VERIFIED = "SUCCESS"


def encode(session: Session, version: int) -> bytes:
    """The header of that version for a session's client."""
    engine = session.server.engine
    server = session.server_endpoint or unpack_address(engine.server_address(session.handle))
    if version == 1:
        return encode_v1(session.client_endpoint, server)
    return encode_v2(session.client_endpoint, server, _values(session))


def _values(session: Session) -> bytes:
    """TLVs: where the client wanted to go, by what protocol, and its TLS where that ends here."""
    engine, handle = session.server.engine, session.handle
    if not engine.secure(handle):
        hello = session.passing
        return b"" if hello is None or not hello.server_name else _authority(hello.server_name)
    values = b""
    protocol = engine.tls(handle, "alpn_protocol")
    if protocol:
        values += tlvs.make(tlvs.ALPN, protocol.encode("utf-8", "surrogateescape"))
    name = engine.tls(handle, "server_name")
    if name:
        values += _authority(name)
    verify = engine.tls(handle, "client_verify")
    return values + tlvs.make_tls(
        {told: engine.tls(handle, asked) for told, asked in TLS.items()},
        certified=verify not in (None, NO_CERTIFICATE),
        verified=verify == VERIFIED,
    )


def _authority(name: str) -> bytes:
    return tlvs.make(tlvs.AUTHORITY, name.encode("utf-8", "surrogateescape"))

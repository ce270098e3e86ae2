"""Who a client of TLS is to be: what nginx answers with pages, behind a handshake that succeeded.

A client shakes hands on the terms of the server that its hello names, or of the default one. Where
its request then asks for a server that wants clients verified in another way, it is turned away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.config.model import Level

if TYPE_CHECKING:
    from tidegate.config.model_tls import Tls
    from tidegate.http.session import HttpSession

MISDIRECTED: Final = 421
CERTIFICATE_ERROR: Final = 495  # nginx's own three; the client is told 400
NO_CERTIFICATE: Final = 496
PLAIN: Final = 497

FAILED: Final = "FAILED:"
NONE: Final = "NONE"
# Faults that `optional_no_ca` lets pass, in OpenSSL's words; nginx's list.
EXCUSED: Final = frozenset(
    {
        "self-signed certificate",
        "self-signed certificate in certificate chain",
        "unable to get local issuer certificate",
        "certificate not trusted",
        "unable to verify the first certificate",
    }
)
READING: Final = "while reading client request headers"


def fault(session: HttpSession) -> int:
    """nginx's status where a client is not let in by its certificate, or without TLS; else 0."""
    if session.port.tls is None:
        return 0
    if not session.secure:
        session.say_of_client(Level.INFO, f"client sent plain HTTP request to HTTPS port {READING}")
        return PLAIN
    tls = session.location.virtual.model.tls
    if tls is None or tls.verify_client == "off":
        return 0
    rules = session.rules
    known = session.port.names.default.model.tls if rules is None else rules.tls
    if not tls.shakes and known is not None and known.verify_client == "off":
        return judge(session, tls)  # nobody was asked for a certificate, so none is there
    if known is None or verification(known) != verification(tls):
        session.say_of_client(
            Level.INFO, f"client was verified as another server of the address asks {READING}"
        )
        return MISDIRECTED
    return judge(session, tls)


def judge(session: HttpSession, tls: Tls) -> int:
    """The status for what the handshake found out about the client's certificate."""
    told = session.server.engine.tls(session.handle, "client_verify") or NONE
    if told == NONE:
        if tls.verify_client != "on":
            return 0
        session.say_of_client(Level.INFO, f"client sent no required SSL certificate {READING}")
        return NO_CERTIFICATE
    reason = told.removeprefix(FAILED)
    if reason == told or (tls.verify_client == "optional_no_ca" and reason in EXCUSED):
        return 0
    session.say_of_client(Level.INFO, f"client SSL certificate verify error: ({reason}) {READING}")
    return CERTIFICATE_ERROR


def verification(tls: Tls) -> tuple[object, ...]:
    """What clients are verified by."""
    return (
        tls.verify_client,
        tls.verify_depth,
        tls.client_certificate,
        tls.trusted_certificate,
        tls.crl,
        tls.commands,
    )

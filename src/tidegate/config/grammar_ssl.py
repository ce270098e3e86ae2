"""Directives of TLS: `ssl_…` for clients, `proxy_ssl_…` for the way to brokers."""

from __future__ import annotations

from functools import partial

from tidegate.config.row import Kind, Row, later

BOTH = ("stream", "stream.server")

OF_CLIENTS = "tests/e2e/test_tls_directives.py::test_"
OF_BROKERS = "tests/e2e/test_proxy_ssl.py::test_"


def _row(
    name: str,
    kind: Kind,
    doc: str,
    *,
    default: str | None = None,
    args: str = "1",
    proof: str | None = None,
) -> Row:
    file = OF_BROKERS if name.startswith("proxy_") else OF_CLIENTS
    return Row(
        name=name,
        contexts=BOTH,
        args="flag" if kind is Kind.FLAG else args,
        kind=kind,
        default=default,
        doc=doc,
        proof=file + (proof or name),
    )


HERE: tuple[Row, ...] = (
    _row("ssl_certificate", Kind.SPECIAL, "A file with a certificate and its chain."),
    _row(
        "ssl_certificate_key",
        Kind.SPECIAL,
        "The file with the private key of a certificate.",
        proof="ssl_certificate",
    ),
    _row(
        "ssl_certificate_cache",
        Kind.SPECIAL,
        "How many files are kept whose names have variables, and for how long.",
        default="off",
        args="1,2,3",
    ),
    _row("ssl_password_file", Kind.SPECIAL, "A file with pass phrases of keys, one a line."),
    _row(
        "ssl_protocols",
        Kind.SPECIAL,
        "The versions of TLS that clients may speak.",
        default="TLSv1.2 TLSv1.3",
        args="1+",
    ),
    _row(
        "ssl_ciphers",
        Kind.TEXT,
        "The ciphers of TLS 1.2 and older, in OpenSSL's notation.",
        default="HIGH:!aNULL:!MD5",
    ),
    _row(
        "ssl_prefer_server_ciphers",
        Kind.FLAG,
        "Whether our order of ciphers counts, not the client's.",
        default="off",
    ),
    _row(
        "ssl_ecdh_curve",
        Kind.TEXT,
        "The curves of key exchanges, in order.",
        default="auto",
    ),
    _row("ssl_dhparam", Kind.TEXT, "A file with parameters of Diffie-Hellman key exchanges."),
    _row(
        "ssl_conf_command",
        Kind.SPECIAL,
        "One of OpenSSL's own configuration commands.",
        args="2",
    ),
    _row(
        "ssl_client_certificate",
        Kind.TEXT,
        "A file with authorities that clients' certificates are verified by, and that are named.",
        proof="ssl_verify_client",
    ),
    _row(
        "ssl_trusted_certificate",
        Kind.TEXT,
        "A file with authorities that clients' certificates are verified by.",
    ),
    _row("ssl_crl", Kind.TEXT, "A file with certificates that were revoked."),
    _row(
        "ssl_verify_client",
        Kind.SPECIAL,
        "Whether a client has to prove who it is: on, off, optional, optional_no_ca.",
        default="off",
    ),
    _row(
        "ssl_verify_depth",
        Kind.NUMBER,
        "How many authorities may stand between a client's certificate and a known one.",
        default="1",
    ),
    _row(
        "ssl_session_cache",
        Kind.SPECIAL,
        "Where sessions are kept for clients without tickets.",
        default="none",
        args="1,2",
    ),
    _row(
        "ssl_session_timeout",
        Kind.SECONDS,
        "How long a client may take up its session.",
        default="5m",
    ),
    _row(
        "ssl_session_tickets",
        Kind.FLAG,
        "Whether clients keep their sessions themselves.",
        default="on",
    ),
    _row("ssl_session_ticket_key", Kind.SPECIAL, "A file with a key that tickets are made with."),
    _row("ssl_handshake_timeout", Kind.TIME, "How long a handshake may take.", default="60s"),
    _row("ssl_alpn", Kind.SPECIAL, "The protocols that a client may choose from.", args="1+"),
    _row(
        "ssl_reject_handshake",
        Kind.FLAG,
        "Whether every handshake is refused.",
        default="off",
    ),
    _row(
        "ssl_stapling",
        Kind.FLAG,
        "Whether clients are handed an OCSP answer about our certificate.",
        default="off",
    ),
    _row(
        "ssl_stapling_file",
        Kind.TEXT,
        "The file with that answer, in DER.",
        proof="ssl_stapling",
    ),
    _row("proxy_ssl", Kind.FLAG, "Whether connections to brokers use TLS.", default="off"),
    _row(
        "proxy_ssl_certificate",
        Kind.SPECIAL,
        "A file with our certificate for brokers that ask for one.",
    ),
    _row(
        "proxy_ssl_certificate_key",
        Kind.SPECIAL,
        "The file with the private key of that certificate.",
        proof="proxy_ssl_certificate",
    ),
    _row(
        "proxy_ssl_certificate_cache",
        Kind.SPECIAL,
        "As ssl_certificate_cache, for our own certificates.",
        default="off",
        args="1,2,3",
    ),
    _row("proxy_ssl_password_file", Kind.SPECIAL, "A file with pass phrases of that key."),
    _row(
        "proxy_ssl_protocols",
        Kind.SPECIAL,
        "The versions of TLS for brokers.",
        default="TLSv1.2 TLSv1.3",
        args="1+",
    ),
    _row(
        "proxy_ssl_ciphers",
        Kind.TEXT,
        "The ciphers of TLS 1.2 and older for brokers.",
        default="DEFAULT",
    ),
    _row(
        "proxy_ssl_conf_command",
        Kind.SPECIAL,
        "One of OpenSSL's own configuration commands, for brokers.",
        args="2",
    ),
    _row(
        "proxy_ssl_trusted_certificate",
        Kind.TEXT,
        "A file with authorities that brokers' certificates are verified by.",
        proof="proxy_ssl_verify",
    ),
    _row("proxy_ssl_crl", Kind.TEXT, "A file with brokers' certificates that were revoked."),
    _row(
        "proxy_ssl_verify",
        Kind.FLAG,
        "Whether a broker has to prove who it is.",
        default="off",
    ),
    _row(
        "proxy_ssl_verify_depth",
        Kind.NUMBER,
        "How many authorities may stand between a broker's certificate and a known one.",
        default="1",
    ),
    _row(
        "proxy_ssl_name",
        Kind.SPECIAL,
        "The name that a broker's certificate has to bear; without it the one in proxy_pass.",
    ),
    _row(
        "proxy_ssl_server_name",
        Kind.FLAG,
        "Whether a broker is told the name we mean (SNI).",
        default="off",
    ),
    _row(
        "proxy_ssl_session_reuse",
        Kind.FLAG,
        "Whether later handshakes with a broker are short.",
        default="on",
    ),
    _row("proxy_ssl_alpn", Kind.SPECIAL, "The protocols that we offer to brokers.", args="1+"),
)


_later = partial(later, contexts=BOTH)
OCSP = "certificates are checked by lists (ssl_crl), not by asking"
LATER: tuple[Row, ...] = (
    *_later(OCSP, "1", "ssl_ocsp ssl_ocsp_cache ssl_ocsp_responder"),
    *_later("OCSP answers are not asked for: ssl_stapling_file", "1", "ssl_stapling_responder"),
    *_later("OCSP answers are handed out as they are", "flag", "ssl_stapling_verify"),
    *_later("keys are written to no file", "1", "ssl_key_log proxy_ssl_key_log"),
    *_later("encrypted hellos come later", "1", "ssl_ech_file"),
    *_later("certificates are sent as they are", "flag", "ssl_certificate_compression"),
)

ROWS: tuple[Row, ...] = (*HERE, *LATER)

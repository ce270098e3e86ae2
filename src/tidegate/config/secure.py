"""From the TLS of a model to OpenSSL's context, in nginx's order: for `-t`, and for each worker."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tidegate.engine.tls_client import keep_sessions
from tidegate.engine.tls_context import Context
from tidegate.engine.tls_pem import TlsError
from tidegate.engine.tls_resume import TicketKeys
from tidegate.variables.values import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.config.model_tls import KeyPair, ProxyTls, Tls
    from tidegate.scoreboard.cache import Cache


class SecureError(Exception):
    """OpenSSL does not take something; `directive` is what named it."""

    def __init__(self, message: str, directive: str) -> None:
        super().__init__(message)
        self.message = message
        self.directive = directive


@contextmanager
def _blaming(directive: str) -> Iterator[None]:
    try:
        yield
    except TlsError as error:
        raise SecureError(str(error), directive) from None


def server_context(
    tls: Tls,
    tickets: TicketKeys | None = None,
    cache: Cache | None = None,
    *,
    judge: bool = True,
) -> Context:
    """The context of a server; `tickets` are the instance's keys, `cache` its sessions.

    Without `judge` clients with any certificate, or none, are let in; somebody else is to look.
    Raises SecureError.
    """
    context = Context(protocols=tls.protocols, timeout_ms=tls.handshake_timeout_ms)
    if tls.alpn:
        context.set_alpn([one.encode("utf-8", "surrogateescape") for one in tls.alpn])
    with _blaming("ssl_ciphers"):
        context.set_ciphers(tls.ciphers, prefer_server=tls.prefer_server_ciphers)
    _add_pairs(context, tls)
    if tls.verify_client != "off":
        _verify(context, tls, judge=judge)
    if tls.trusted_certificate is not None:
        with _blaming("ssl_trusted_certificate"):
            context.add_trusted(tls.trusted_certificate.path, tls.trusted_certificate.data)
    if tls.crl is not None:
        with _blaming("ssl_crl"):
            context.add_crl(tls.crl.path, tls.crl.data)
    if tls.dhparam is not None:
        with _blaming("ssl_dhparam"):
            context.set_dhparam(tls.dhparam.path, tls.dhparam.data)
    with _blaming("ssl_ecdh_curve"):
        context.set_curves(tls.ecdh_curve)
    if tls.staple is not None:
        with _blaming("ssl_stapling_file"):
            context.set_staple(tls.staple.path, tls.staple.data)
    context.set_sessions(
        session_context(tls),
        timeout=tls.session_timeout,
        cache=tls.session_cache.own,
        shared=cache,
    )
    _set_tickets(context, tls, tickets)
    for name, value in tls.commands:
        with _blaming("ssl_conf_command"):
            context.set_command(name, value)
    if tls.reject_handshake:
        context.reject_handshakes()
    return context


def _add_pairs(context: Context, tls: Tls) -> None:
    for pair in tls.pairs:
        _add_pair(context, pair, tls.passwords, "ssl_certificate")
    if tls.named is not None:
        context.ask_pairs()


def _verify(context: Context, tls: Tls, *, judge: bool) -> None:
    context.set_verify(tls.verify_client, tls.verify_depth, judge=judge)
    if tls.client_certificate is not None:
        with _blaming("ssl_client_certificate"):
            pem = tls.client_certificate
            context.add_trusted(pem.path, pem.data, tell=True)


def _set_tickets(context: Context, tls: Tls, tickets: TicketKeys | None) -> None:
    if not tls.session_tickets:
        context.set_tickets(None)
    elif tls.ticket_keys:
        own = TicketKeys()
        own.set(tls.ticket_keys)
        context.set_tickets(own)
    elif tickets is not None:
        context.set_tickets(tickets)


def session_context(tls: Tls) -> bytes:
    """What has to be the same for a session to be taken up: who we are, and whom we trust.

    It is made from contents, so a session of one server is no way around the checks of another.
    """
    told = hashlib.sha256()
    parts = [("certificate", pair.certificate) for pair in tls.pairs]
    if tls.verify_client != "off":
        parts += [
            (role, one)
            for role, one in (
                ("client", tls.client_certificate),
                ("trusted", tls.trusted_certificate),
                ("crl", tls.crl),
            )
            if one is not None
        ]
    for role, one in parts:
        told.update(f"{role} {hashlib.sha256(one.data).hexdigest()}\n".encode())
    # As in nginx: of certificates that each client chooses the names have to do.
    named = tls.named.pairs if tls.named is not None else ()
    # Commands may change whom OpenSSL trusts, too.
    told.update(encode(repr((tls.verify_client, tls.verify_depth, tls.commands, named))))
    return told.digest()


def client_context(tls: ProxyTls, *, timeout_ms: int) -> Context:
    """The context for connections to brokers. Raises SecureError."""
    context = Context(server=False, protocols=tls.protocols, timeout_ms=timeout_ms)
    if tls.pair is not None:
        _add_pair(context, tls.pair, tls.passwords, "proxy_ssl_certificate")
    with _blaming("proxy_ssl_ciphers"):
        context.set_ciphers(tls.ciphers)
    if tls.alpn:
        protocols = [one.encode("utf-8", "surrogateescape") for one in tls.alpn]
        context.set_alpn(protocols, server=False)
    if tls.verify and tls.trusted_certificate is not None:
        context.set_verify("on", tls.verify_depth)
        with _blaming("proxy_ssl_trusted_certificate"):
            context.add_trusted(tls.trusted_certificate.path, tls.trusted_certificate.data)
    if tls.verify and tls.crl is not None:
        with _blaming("proxy_ssl_crl"):
            context.add_crl(tls.crl.path, tls.crl.data)
    for name, value in tls.commands:
        with _blaming("proxy_ssl_conf_command"):
            context.set_command(name, value, server=False)
    if tls.session_reuse:
        keep_sessions(context)
    return context


def _add_pair(
    context: Context, pair: KeyPair, passwords: tuple[bytes, ...], directive: str
) -> None:
    with _blaming(directive):
        context.add_certificate(pair.certificate.path, pair.certificate.data)
    with _blaming(f"{directive}_key"):
        context.add_key(pair.key.path, pair.key.data, passwords)

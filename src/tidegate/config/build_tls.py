"""The TLS of each server, once all of the block was read: files, contexts, and what is wrong.

What the configuration says is given to OpenSSL here already, so that a key that does not fit its
certificate is found by `-t`, and not by a worker.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import in_protocol
from tidegate.config.model_tls import (
    KeyPair,
    NamedPairs,
    PairCache,
    Pem,
    ProxyTls,
    SessionCache,
    Tls,
)
from tidegate.config.pem_files import as_openssl
from tidegate.config.secure import SecureError, client_context, server_context
from tidegate.engine.tls_pem import not_after
from tidegate.variables.template import parse

if TYPE_CHECKING:
    from tidegate.config.draft import AddressDraft, Reading, ServedDraft, ServerDraft
    from tidegate.config.draft_http import HttpServerDraft
    from tidegate.config.scope import Scope
    from tidegate.config.span import Span

DEFAULT_PROTOCOLS = ("TLSv1.2", "TLSv1.3")
OLD = ("TLSv1", "TLSv1.1")

# A certificate that ends within so many days is told of.
DAYS_LEFT = 14
DAY = 86400

TICKET_KEY_SIZES = (48, 80)


# What OpenSSL says on top where a file of authorities was not read.
OF_AUTHORITIES = " error:05880002:x509 certificate routines::system lib"


class FileError(ConfigError):
    """A file that cannot be read; `directive` names it, nginx says where it was if `placed`."""

    def __init__(self, message: str, directive: str, *, placed: bool = False) -> None:
        super().__init__(message)
        self.directive = directive
        self.placed = placed


def finish_tls(reading: Reading, draft: ServerDraft) -> None:
    """Make the TLS of a server's clients."""
    scope = draft.scope
    secured = [listen for listen in draft.listens if listen.ssl]
    certificates, keys = _texts(scope, "ssl_certificate"), _texts(scope, "ssl_certificate_key")
    if not secured and not certificates:
        return
    if not certificates and _may_borrow(draft):
        return
    where: Span | None = None
    if any(known.first is not draft for known in draft.addresses):
        # Its `listen` may be written out in another server; this one lacks something.
        where = draft.directive.name.span
    else:
        where = secured[-1].span if secured else scope.place("ssl_certificate")
    behind = ' for the "listen ... ssl" directive' if secured else ""
    missing = hint = None
    if not certificates and not scope.flag("ssl_reject_handshake"):
        missing = f'no "ssl_certificate" is defined{behind}'
        if _verifies(scope):
            hint = "who verifies clients shows a certificate of its own, not the default server's"
    elif secured and certificates and not keys:
        missing = f'no "ssl_certificate_key" is defined{behind}'
    elif len(keys) < len(certificates):
        behind = ' and the "listen ... ssl" directive' if secured else ""
        missing = (
            f'no "ssl_certificate_key" is defined for certificate "{certificates[-1]}"{behind}'
        )
    if missing is not None:
        reading.report.error(missing, where, hint=hint)
        return
    tls = make_tls(reading, scope)
    draft.tls = tls if secured else None


def _may_borrow(draft: ServerDraft) -> bool:
    """Whether the clients of a server may do with the certificate of another of its addresses.

    Not where it wants to see theirs: it would be the other's rules that they are judged by.
    """
    shared = [known for known in draft.addresses if "ssl" in known.protocols]
    return not _verifies(draft.scope) and not any(
        known.first is draft or known.first.outside.scope.flag("ssl_reject_handshake")
        for known in shared
    )


def _verifies(scope: Scope) -> bool:
    return (scope.optional_text("ssl_verify_client") or "off") != "off"


def finish_tls_of_http(reading: Reading, draft: HttpServerDraft) -> None:
    """Make the TLS of a server of http, which may share its addresses with others."""
    scope = draft.outside.scope
    certificates, keys = _texts(scope, "ssl_certificate"), _texts(scope, "ssl_certificate_key")
    if len(keys) < len(certificates):
        message = f'no "ssl_certificate_key" is defined for certificate "{certificates[-1]}"'
        _report(reading, scope, message, "ssl_certificate")
        return
    secured = any("ssl" in known.protocols for known in draft.addresses)
    # Without a certificate it takes another's handshake, but judges its clients all the same.
    if certificates or scope.flag("ssl_reject_handshake") or (secured and _verifies(scope)):
        tls = make_tls(reading, scope)
        draft.tls = tls if secured else None


def finish_tls_of_address(reading: Reading, known: AddressDraft) -> None:
    """Complain where no server of an address with `ssl` has a certificate for its clients."""
    if "ssl" not in known.protocols:
        return
    servers = [known.first]
    if servers[0].outside.scope.flag("ssl_reject_handshake"):
        servers = known.servers
    for draft in servers:
        scope = draft.outside.scope
        if not scope.get("ssl_certificate") and not scope.flag("ssl_reject_handshake"):
            message = 'no "ssl_certificate" is defined for the "listen ... ssl" directive'
            directive = draft.directive
            reading.report.error(message, directive.name.span, line=directive.end.line)
            return


def make_tls(reading: Reading, scope: Scope) -> Tls | None:
    """The TLS that a server's `ssl_…` say; None where something in it was wrong, and was told."""
    certificates, keys = _texts(scope, "ssl_certificate"), _texts(scope, "ssl_certificate_key")
    try:
        tls = _tls(reading, scope, certificates, keys)
        context = server_context(tls)
    except FileError as error:
        _report(reading, scope, error.message, error.directive, placed=error.placed)
        return None
    except SecureError as error:
        _report(reading, scope, error.message, error.directive)
        return None
    except ConfigError as error:
        reading.report.error(error.message, error.span, hint=error.hint)
        return None
    _warn_of_protocols(reading, scope, tls.protocols, context.security_level)
    _warn_of_ends(reading, scope, tls.pairs, "ssl_certificate")
    return tls


def finish_proxy_tls(reading: Reading, draft: ServedDraft) -> None:
    """Make the TLS of the brokers of a server or location that wants it."""
    scope = draft.scope
    certificate = scope.optional_text("proxy_ssl_certificate")
    key = scope.optional_text("proxy_ssl_certificate_key")
    if certificate and not key:
        message = f'no "proxy_ssl_certificate_key" is defined for certificate "{certificate}"'
        _report(reading, scope, message, "proxy_ssl_certificate")
        return
    if scope.flag("proxy_ssl_verify") and not scope.get("proxy_ssl_trusted_certificate"):
        message = "no proxy_ssl_trusted_certificate for proxy_ssl_verify"
        _report(reading, scope, message, "proxy_ssl_verify")
        return
    try:
        tls = _proxy_tls(reading, scope, certificate, key)
        client_context(tls, timeout_ms=scope.integer("proxy_connect_timeout"))
    except (FileError, SecureError) as error:
        _report(reading, scope, error.message, error.directive)
        return
    _warn_of_ends(
        reading, scope, (tls.pair,) if tls.pair is not None else (), "proxy_ssl_certificate"
    )
    draft.proxy_tls = tls


def _report(
    reading: Reading, scope: Scope, message: str, directive: str, *, placed: bool = False
) -> None:
    """An error in nginx's words; where they have no place the hint tells it."""
    span = scope.place(directive)
    if placed:
        # nginx is at the end of the block when it looks.
        block = in_protocol(reading).directive.block
        line = block.close.line if block is not None and block.close is not None else None
        reading.report.error(message, span, line=line)
        return
    hint = f'"{directive}" is in {span.file}:{span.line}' if span is not None else None
    reading.report.error(message, None, hint=hint)


def _tls(
    reading: Reading, scope: Scope, certificates: tuple[str, ...], keys: tuple[str, ...]
) -> Tls:
    names = tuple(zip(certificates, keys, strict=False))
    named = _named(reading, scope, names, "ssl_certificate")
    pairs = tuple(
        _pair(reading, certificate, key, "ssl_certificate")
        for certificate, key in (names if named is None else ())
    )
    cache = scope.get("ssl_session_cache")
    verify = scope.optional_text("ssl_verify_client") or "off"
    client, trusted = (
        _pem(reading, scope, name, 'SSL_CTX_load_verify_locations("{}") failed')
        for name in ("ssl_client_certificate", "ssl_trusted_certificate")
    )
    if verify not in ("off", "optional_no_ca") and client is None and trusted is None:
        message = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client"
        raise FileError(message, "ssl_verify_client")
    return Tls(
        pairs=pairs,
        named=named,
        passwords=_passwords(scope, "ssl_password_file"),
        protocols=_protocols(scope, "ssl_protocols"),
        ciphers=str(scope.get("ssl_ciphers")),
        prefer_server_ciphers=scope.flag("ssl_prefer_server_ciphers"),
        ecdh_curve=str(scope.get("ssl_ecdh_curve")),
        dhparam=_pem(reading, scope, "ssl_dhparam", 'BIO_new_file("{}") failed'),
        commands=_commands(scope, "ssl_conf_command"),
        client_certificate=client,
        trusted_certificate=trusted,
        crl=_pem(reading, scope, "ssl_crl", 'X509_load_crl_file("{}") failed'),
        verify_client=verify,
        verify_depth=scope.integer("ssl_verify_depth"),
        session_cache=cache if isinstance(cache, SessionCache) else NO_CACHE,
        session_timeout=scope.integer("ssl_session_timeout"),
        session_tickets=scope.flag("ssl_session_tickets"),
        ticket_keys=tuple(
            _ticket_key(reading, name) for name in _texts(scope, "ssl_session_ticket_key")
        ),
        handshake_timeout_ms=_handshake_timeout(scope),
        alpn=HTTP_ALPN if _in_http(scope) else _texts(scope, "ssl_alpn"),
        reject_handshake=scope.flag("ssl_reject_handshake"),
        staple=_staple(reading, scope, certificates),
    )


def _staple(reading: Reading, scope: Scope, certificates: tuple[str, ...]) -> Pem | None:
    """The OCSP answer that goes with a server's certificates, where these are known beforehand."""
    if not scope.flag("ssl_stapling") or not certificates:
        return None
    if not scope.get("ssl_stapling_file"):
        message = '"ssl_stapling" without "ssl_stapling_file" is not supported yet'
        hint = "OCSP answers are not asked for: have one written to a file, which is read anew"
        raise ConfigError(message, scope.place("ssl_stapling"), hint=hint)
    if any("$" in name for name in certificates):
        return None
    return _pem(reading, scope, "ssl_stapling_file", 'BIO_new_file("{}") failed')


NO_CACHE = SessionCache(own="none", zone=None)

# What http offers; nobody configures it.
HTTP_ALPN = ("http/1.1", "http/1.0", "http/0.9")


def _in_http(scope: Scope) -> bool:
    return scope.context.startswith("http")


def _handshake_timeout(scope: Scope) -> int:
    """How long a handshake may take: in http nginx has no time of its own for it."""
    return scope.integer("client_header_timeout" if _in_http(scope) else "ssl_handshake_timeout")


def _proxy_tls(
    reading: Reading, scope: Scope, certificate: str | None, key: str | None
) -> ProxyTls:
    pair, named = None, None
    if certificate and key:
        named = _named(reading, scope, ((certificate, key),), "proxy_ssl_certificate")
        if named is None:
            pair = _pair(reading, certificate, key, "proxy_ssl_certificate")
    verify = scope.flag("proxy_ssl_verify")
    trusted, crl = None, None
    if verify:
        failed = 'SSL_CTX_load_verify_locations("{}") failed'
        trusted = _pem(reading, scope, "proxy_ssl_trusted_certificate", failed)
        crl = _pem(reading, scope, "proxy_ssl_crl", 'X509_load_crl_file("{}") failed')
    return ProxyTls(
        pair=pair,
        named=named,
        passwords=_passwords(scope, "proxy_ssl_password_file"),
        protocols=_protocols(scope, "proxy_ssl_protocols"),
        ciphers=str(scope.get("proxy_ssl_ciphers")),
        commands=_commands(scope, "proxy_ssl_conf_command"),
        trusted_certificate=trusted,
        crl=crl,
        verify=verify,
        verify_depth=scope.integer("proxy_ssl_verify_depth"),
        name=parse(scope.optional_text("proxy_ssl_name") or ""),
        server_name=scope.flag("proxy_ssl_server_name"),
        session_reuse=scope.flag("proxy_ssl_session_reuse"),
        alpn=_texts(scope, "proxy_ssl_alpn"),
    )


# --- values ---


def _texts(scope: Scope, name: str) -> tuple[str, ...]:
    value = scope.get(name)
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()


def _protocols(scope: Scope, name: str) -> tuple[str, ...]:
    return _texts(scope, name) or DEFAULT_PROTOCOLS


def _commands(scope: Scope, name: str) -> tuple[tuple[str, str], ...]:
    value = scope.get(name)
    return tuple(one for one in value if isinstance(one, tuple)) if isinstance(value, tuple) else ()


def _passwords(scope: Scope, name: str) -> tuple[bytes, ...]:
    value = scope.get(name)
    return tuple(one for one in value if isinstance(one, bytes)) if isinstance(value, tuple) else ()


# --- files ---


def _named(
    reading: Reading, scope: Scope, names: tuple[tuple[str, str], ...], directive: str
) -> NamedPairs | None:
    """The pairs, if a name has variables: as in nginx all are read for each handshake then."""
    if not any("$" in name for pair in names for name in pair):
        return None
    cache = scope.get(f"{directive}_cache")
    return NamedPairs(
        pairs=tuple((parse(certificate), parse(key)) for certificate, key in names),
        folder=reading.draft.conf_path(""),
        cache=cache if isinstance(cache, PairCache) else None,
    )


def _pair(reading: Reading, certificate: str, key: str, directive: str) -> KeyPair:
    return KeyPair(
        certificate=_read(
            reading, certificate, 'cannot load certificate "{}": BIO_new_file() failed', directive
        ),
        key=_read(
            reading,
            key,
            'cannot load certificate key "{}": BIO_new_file() failed',
            f"{directive}_key",
        ),
    )


def _pem(reading: Reading, scope: Scope, directive: str, failed: str) -> Pem | None:
    name = scope.optional_text(directive)
    return _read(reading, name, failed, directive) if name else None


def _read(reading: Reading, name: str, failed: str, directive: str) -> Pem:
    files = reading.draft.pem_files
    try:
        return files.read(name)
    except OSError as error:
        path = files.path(name)
        more = OF_AUTHORITIES if "verify_locations" in failed else ""
        mode = "rb" if directive == "ssl_stapling_file" else "r"
        message = f"{failed.format(path)} {as_openssl(error, path, more, mode=mode)}"
        raise FileError(message, directive) from None


def _ticket_key(reading: Reading, name: str) -> bytes:
    files = reading.draft.pem_files
    path = files.path(name)
    try:
        data = files.read(name).data
    except OSError as error:
        why = f"({error.errno}: {os.strerror(error.errno or 0)})"
        message = f'open() "{path}" failed {why}'
        raise FileError(message, "ssl_session_ticket_key", placed=True) from None
    if len(data) not in TICKET_KEY_SIZES:
        message = f'"{path}" must be 48 or 80 bytes'
        raise FileError(message, "ssl_session_ticket_key", placed=True)
    return data


# --- warnings ---


def _warn_of_protocols(
    reading: Reading, scope: Scope, protocols: tuple[str, ...], level: int
) -> None:
    span = scope.place("ssl_protocols")
    if span is None or span in reading.draft.warned:
        return
    reading.draft.warned.add(span)
    if "TLSv1.3" not in protocols:
        hint = "clients that speak it fall back to TLS 1.2: add TLSv1.3"
        reading.report.warn('"ssl_protocols" leaves out TLSv1.3', span, hint=hint)
    old = [one for one in protocols if one in OLD]
    if old and level > 0:
        hint = f"with {' '.join(old)} only clients of TLS 1.2 and newer connect; to let older ones"
        hint += " in, write: ssl_ciphers DEFAULT@SECLEVEL=0;"
        message = f"{' and '.join(old)} cannot be used at OpenSSL's security level {level}"
        reading.report.warn(message, span, hint=hint)


def _warn_of_ends(
    reading: Reading, scope: Scope, pairs: tuple[KeyPair, ...], directive: str
) -> None:
    for pair in pairs:
        message = ending(pair.certificate, time.time())
        if message is not None and pair.certificate.path not in reading.draft.warned:
            reading.draft.warned.add(pair.certificate.path)
            reading.report.warn(message, scope.place(directive))


def ending(certificate: Pem, now: float) -> str | None:
    """What to say of a certificate that has ended or soon will; None of others."""
    end = not_after(certificate.data)
    if end is None or end - now > DAYS_LEFT * DAY:
        return None
    if end <= now:
        return f'the certificate "{certificate.path}" has expired'
    days = int((end - now) // DAY)
    when = "in less than a day" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    return f'the certificate "{certificate.path}" expires {when}'

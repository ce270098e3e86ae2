"""TLS as the options want it: files are read, and become what the generator takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from tidegate.bench.tls import TargetTls
from tidegate.engine.tls_context import Context
from tidegate.engine.tls_pem import TlsError

# By --tls-version; both where it is not given.
VERSIONS = {"1.2": ("TLSv1.2",), "1.3": ("TLSv1.3",), None: ("TLSv1.2", "TLSv1.3")}


class SecureError(Exception):
    """A file that TLS cannot be made of; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """What the command line says of TLS; paths are of PEM files."""

    ca: str | None = None  # None: what this machine trusts
    cert: str | None = None
    key: str | None = None
    insecure: bool = False  # the target's certificate is not looked at
    name: str | None = None  # of the target; None: its host
    version: str | None = None  # a key of VERSIONS
    alpn: tuple[str, ...] = ()
    reuse: bool = False  # sessions


def target_tls(options: TlsOptions, *, host: str) -> TargetTls:
    """The terms of all connections to `host`; SecureError."""
    context = Context(server=False, protocols=VERSIONS[options.version])
    if options.cert is not None and options.key is not None:
        _identify(context, options.cert, options.key)
    if options.ca is not None:
        try:
            context.add_trusted(options.ca, _read("--ca", options.ca))
        except TlsError:
            raise SecureError(f'--ca: there is no certificate in "{options.ca}"') from None
    if options.alpn:
        context.set_alpn([one.encode() for one in options.alpn], server=False)
    name = options.name or host.partition("%")[0]
    tls = TargetTls(
        context,
        # An address is no name to ask for (RFC 6066, 3).
        server_name="" if _is_address(name) else name,
        verified_name="" if options.insecure else name,
        reuse=options.reuse,
    )
    if options.ca is None and not options.insecure:
        tls.trust_system()
    return tls


def _identify(context: Context, cert: str, key: str) -> None:
    try:
        context.add_certificate(cert, _read("--cert", cert))
    except TlsError:
        raise SecureError(f'--cert: there is no certificate in "{cert}"') from None
    try:
        context.add_key(key, _read("--key", key))
    except TlsError as error:
        if "mismatch" in str(error):
            raise SecureError(f'--key: "{key}" is not the key of "{cert}"') from None
        raise SecureError(
            f'--key: there is no key in "{key}" that can be read without a pass phrase'
        ) from None


def _read(option: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SecureError(f'{option}: cannot read "{path}": {error.strerror}') from None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


# OpenSSL's words for what comes from somebody who does not speak TLS.
NO_TLS = ("wrong version number", "http request", "packet length too long", "bad record type")


def reason_of(error: str, verdict: str) -> str:
    """Why TLS failed, for a person, of OpenSSL's words."""
    if verdict:
        return f"its certificate: {verdict}"
    if any(words in error for words in NO_TLS):
        return "it does not speak TLS"
    _, alert, said = error.partition(" alert ")
    return f'it says "{said}"' if alert else error or "no reason given"

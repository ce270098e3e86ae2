"""`proxy_pass` with a variable: where the values that it may have lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.build_upstream import meant
from tidegate.config.draft import in_protocol
from tidegate.config.urls import NOT_RESOLVED, Url, UrlError, parse_url, split_uri
from tidegate.variables.computed import constants

if TYPE_CHECKING:
    from tidegate.config.draft import ProtocolDraft, Reading, UpstreamDraft

SHOWN = 3  # values in one warning


def finish_routes(reading: Reading) -> None:
    """Warn of values that a variable may bring into `proxy_pass` and that lead nowhere."""
    protocol = in_protocol(reading)
    what = "requests" if protocol.serves == "location" else "sessions"
    for use in protocol.variables:
        word = use.directive.args[0]
        definition = protocol.definitions.get(use.name)
        if use.directive.name.text != "proxy_pass" or definition is None:
            continue
        if _host(word.text) not in (f"${use.name}", f"${{{use.name}}}"):
            continue
        wrong = {
            value: fault for value in constants(definition) if (fault := _fault(protocol, value))
        }
        if wrong:
            shown = ", ".join(f'"{value}"' for value in list(wrong)[:SHOWN])
            more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
            first, fault = next(iter(wrong.items()))
            message = f'"{word.text}" in "proxy_pass" may be {shown}{more}: {fault}'
            hint = f"{what} would end with status 500; {meant(protocol, first)}"
            reading.report.warn(message, use.span, line=use.directive.end.line, hint=hint)


def _host(text: str) -> str:
    """Where a `proxy_pass` leads, without the scheme and the URI that http has around it."""
    for scheme in ("http://", "https://"):
        if text[: len(scheme)].lower() == scheme:
            return split_uri(text[len(scheme) :])[0].lower()
    return text.lower()


def _fault(protocol: ProtocolDraft, text: str) -> str | None:
    """What nginx would say of a session with this value; None where it leads somewhere."""
    try:
        url = parse_url(text, default=protocol.default_port)
    except UrlError as error:
        return f'{error} in upstream "{text}"'
    if any(_fits(group, url) for group in protocol.groups(url.host)):
        return None
    if not url.port and not url.unix:
        return f'no port in upstream "{url.host}"'
    return None if url.literal else NOT_RESOLVED.format(url.host)


def _fits(group: UpstreamDraft, url: Url) -> bool:
    if group.url is None:
        return not url.ports
    return group.url.port == url.port

"""What `-t` says of `http {}` that nginx takes in silence, and devices suffer from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.draft_http import in_http, nearest

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.draft_http import HttpDraft, LocationDraft
    from tidegate.config.parser import Directive
    from tidegate.config.span import Span


def finish_warnings(reading: Reading) -> None:
    """Look through all locations; each line is told of once."""
    http = in_http(reading)
    passing = [one for one in http.locations() if one.proxy is not None]
    for location in passing:
        _warn_of_idle_limit(reading, location)
    _warn_of_send_timeouts(reading, passing)
    _warn_of_forged_addresses(reading, passing)
    _warn_of_absent_headers(reading, http)


def _warn_of_idle_limit(reading: Reading, location: LocationDraft) -> None:
    """Say where the idle limit of a tunnel comes from if nobody wrote one."""
    headers = nearest(location, lambda lists: lists.set_headers or None) or []
    upgrades = any(one.name.lower() == "upgrade" and one.value.constant is None for one in headers)
    if not upgrades or location.scope.place("proxy_read_timeout") is not None:
        return
    message = (
        f'no "proxy_read_timeout" in location "{location.text}":'
        " the idle limit of MQTT sessions is that of their keep alive"
    )
    hint = "nginx would end them after 60s of silence; with the directive its time holds for all"
    directive = location.directive
    reading.report.warn(message, directive.name.span, line=directive.end.line, hint=hint)


def _warn_of_send_timeouts(reading: Reading, passing: list[LocationDraft]) -> None:
    """Say where somebody counts on another time for sending than for reading."""
    told: list[Span] = []
    for location in passing:
        scope = location.scope
        span = scope.place("proxy_send_timeout")
        same = scope.get("proxy_send_timeout") == scope.get("proxy_read_timeout")
        if span is None or span in told or same:
            continue
        told.append(span)
        message = '"proxy_send_timeout" has no effect beside another "proxy_read_timeout"'
        hint = "a session ends when for proxy_read_timeout nothing went, in either direction"
        reading.report.warn(message, span, hint=hint)


def _warn_of_forged_addresses(reading: Reading, passing: list[LocationDraft]) -> None:
    """Say where a client can make brokers believe that it has another address."""
    told: list[Directive] = []
    for location in passing:
        lists = nearest(location, lambda lists: lists if lists.set_headers else None)
        directive = lists.forwarded if lists is not None else None
        # Behind a proxy that is trusted to name the client, the address it adds is wanted.
        if directive is None or directive in told or location.trusted():
            continue
        told.append(directive)
        word = directive.args[1]
        message = f'with "{word.text}" clients can forge the address that brokers see'
        hint = (
            "EMQX takes the left-most address of X-Forwarded-For, which a client may have sent;"
            " write: proxy_set_header X-Forwarded-For $remote_addr;"
        )
        reading.report.warn(message, word.span, line=directive.end.line, hint=hint)


def _warn_of_absent_headers(reading: Reading, http: HttpDraft) -> None:
    """Warn of servers that believe a PROXY protocol header, and read none."""
    for server in http.servers:
        outside = server.outside
        header = outside.scope.optional_text("real_ip_header") or ""
        if header.lower() != "proxy_protocol" or not outside.trusted():
            continue
        if any("proxy_protocol" in known.protocols for known in server.addresses):
            continue
        message = '"real_ip_header proxy_protocol" has no effect:'
        message += ' no "listen" of the server has "proxy_protocol"'
        reading.report.warn(message, server.directive.name.span)

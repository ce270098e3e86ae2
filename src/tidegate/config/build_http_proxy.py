"""`proxy_pass` of http, and the headers and answers that go with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tidegate.config.build_location import REGEX
from tidegate.config.build_upstream import passed_to
from tidegate.config.build_variables import check_regex, template
from tidegate.config.diagnostics import ConfigError, did_you_mean
from tidegate.config.draft_http import PassDraft, in_location, lists_here
from tidegate.config.model_http import Header, Redirect
from tidegate.config.urls import split_uri
from tidegate.variables.template import Template, Variable

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

PORTS = {"http://": 80, "https://": 443}

VERSIONS = ("1.0", "1.1")

ADDED = Variable("proxy_add_x_forwarded_for")

NEXT_UPSTREAM = (
    "error",
    "timeout",
    "denied",
    "invalid_header",
    "non_idempotent",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "off",
)

# Variables that begin a URI, so that no "/" stands before them.
URI_VARIABLE = re.compile(r"\$\{?(request_uri|uri|document_uri|is_args)\b", re.IGNORECASE)

NO_URI = (
    '"proxy_pass" cannot have URI part in location given by regular expression, or inside named'
    ' location, or inside "if" statement, or inside "limit_except" block'
)


def proxy_pass(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_pass http[s]://WHERE[URI]`."""
    scope.claim(directive.name.text)
    location, word = in_location(reading), directive.args[0]
    if "$" in word.text:
        _pass_variable(reading, word, directive)
    else:
        scheme = next((one for one in PORTS if word.text[: len(one)].lower() == one), None)
        if scheme is None:
            hint = f"it begins with http:// or https://, as in: proxy_pass http://{word.text};"
            raise ConfigError("invalid URL prefix", word.span, hint=hint)
        _pass_address(reading, directive, scheme, word.text[len(scheme) :])
    location.pass_span, location.stub = directive.name.span, False


def _pass_address(reading: Reading, directive: Directive, scheme: str, rest: str) -> None:
    location, word = in_location(reading), directive.args[0]
    text, uri = split_uri(rest)
    default = PORTS[scheme]
    group = passed_to(reading, word._replace(text=text), directive, default=default, named=rest)
    if uri and location.match in (*REGEX, "@"):
        hint = "leave out what stands behind the host; the client's URI is sent on as it is"
        raise ConfigError(NO_URI, word.span, hint=hint)
    unix = text[:5].lower() == "unix:"
    host, _colon, port = ("localhost", "", "") if unix else _host_and_port(text, default)
    location.upstream, location.target = group, None
    location.proxy = PassDraft(
        secure=scheme == "https://",
        host=host,
        port=port,
        uri=Template((uri,)) if uri else None,
    )


def _host_and_port(text: str, default: int) -> tuple[str, str, str]:
    """What nginx calls $proxy_host, and its port."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else ("", "", "")
    if not colon or int(port) == default:
        return (host if colon else text), "", str(default)
    return text, colon, port


def _pass_variable(reading: Reading, word: Token, directive: Directive) -> None:
    """A URL with variables: taken apart where its scheme and host are written out."""
    location = in_location(reading)
    text = word.text
    scheme = next((one for one in PORTS if text[: len(one)].lower() == one), None)
    if scheme is None:
        hint = "the scheme is written out, as in http://$name"
        message = 'a variable for the scheme of "proxy_pass" is not supported yet'
        raise ConfigError(message, word.span, hint=hint)
    start = URI_VARIABLE.search(text)
    end = start.start() if start else len(text)
    host, uri = split_uri(text[len(scheme) : end])
    uri += text[end:]
    if "$" not in host:
        group = passed_to(reading, word._replace(text=host), directive, default=PORTS[scheme])
        location.upstream, location.target = group, None
        host, _colon, port = _host_and_port(host, PORTS[scheme])
    else:
        location.target = template(reading, word._replace(text=host), directive)
        location.upstream, port = None, str(PORTS[scheme])
    location.proxy = PassDraft(
        secure=scheme == "https://",
        host=host,
        port=port,
        uri=template(reading, word._replace(text=uri), directive) if uri else None,
    )


# --- headers ---


def proxy_set_header(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `proxy_set_header NAME VALUE`."""
    name, word = directive.args
    value = template(reading, word, directive)
    lists = lists_here(reading)
    lists.set_headers.append(Header(name=name.text, value=value))
    if name.text.lower() == "x-forwarded-for" and ADDED in value.parts:
        lists.forwarded = directive


def add_header(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `add_header NAME VALUE [always]`."""
    name, word, *rest = directive.args
    value = template(reading, word, directive)
    if rest and rest[0].text != "always":
        hint = 'the only parameter is "always"; quote a value that holds spaces'
        raise ConfigError(f'invalid parameter "{rest[0].text}"', rest[0].span, hint=hint)
    header = Header(name=name.text, value=value, always=bool(rest))
    lists_here(reading).add_headers.append(header)


def proxy_hide_header(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `proxy_hide_header NAME`, or `proxy_pass_header`."""
    lists = lists_here(reading)
    hide = directive.name.text == "proxy_hide_header"
    (lists.hide_headers if hide else lists.pass_headers).append(directive.args[0].text.lower())


def proxy_redirect(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `proxy_redirect default | off | FROM TO`."""
    lists = lists_here(reading)
    first, *rest = directive.args
    off = not rest and first.text == "off"
    if lists.redirect is False or (off and lists.redirect):
        raise ConfigError(f'"{directive.name.text}" directive is duplicate')
    if not rest:
        _redirect_word(reading, first)
        return
    text = first.text
    regex = "~*" if text.startswith("~*") else "~" if text.startswith("~") else ""
    if regex:
        pattern = text.removeprefix(regex)
        check_regex(reading, first, pattern, caseless=regex == "~*")
        found = Template((pattern,))
    else:
        found = template(reading, first, directive)
    replacement = template(reading, rest[0], directive)
    lists.redirect = True
    lists.redirects.append(Redirect(regex=regex, pattern=found, replacement=replacement))


def _redirect_word(reading: Reading, word: Token) -> None:
    lists = lists_here(reading)
    match word.text:
        case "off":
            lists.redirect = False
        case "default":
            server = reading.draft.server
            location = in_location(reading) if server is not None else None
            if location is not None and location.target is not None:
                message = (
                    '"proxy_redirect default" cannot be used with "proxy_pass" directive with'
                    " variables"
                )
                raise ConfigError(message, word.span)
            if location is None or location.proxy is None:
                message = (
                    '"proxy_redirect default" should be placed after the "proxy_pass" directive'
                )
                raise ConfigError(message, word.span)
            lists.redirect = lists.redirect_default = True
        case _:
            hint = "there are: default, off, or a text and what stands for it"
            raise ConfigError(f'invalid parameter "{word.text}"', word.span, hint=hint)


# --- words ---


def proxy_http_version(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_http_version 1.0 | 1.1`."""
    scope.claim(directive.name.text)
    word = directive.args[0]
    if word.text not in VERSIONS:
        hint = "WebSocket needs 1.1; HTTP/2 to brokers is not supported yet"
        raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
    scope.put(directive.name.text, word.text)


def proxy_next_upstream(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `proxy_next_upstream WORD… | off`."""
    scope.claim(directive.name.text)
    found: list[str] = []
    for word in directive.args:
        text = word.text.lower()
        if text not in NEXT_UPSTREAM:
            hint = did_you_mean(text, list(NEXT_UPSTREAM)) or "there are: " + ", ".join(
                NEXT_UPSTREAM
            )
            raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
        if text in found:
            message = f'duplicate value "{word.text}"'
            reading.report.warn(message, word.span, line=directive.end.line)
        found.append(text)
    scope.put(directive.name.text, () if "off" in found else tuple(found))


def mqtt_websocket_to(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `mqtt_websocket_to tcp | off`."""
    scope.claim(directive.name.text, directive.name.span)
    word = directive.args[0]
    if word.text not in ("tcp", "off"):
        hint = '"tcp" sends the MQTT of WebSocket clients to brokers without WebSocket'
        raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
    scope.put(directive.name.text, word.text == "tcp")


ALL = ("http", "http.server", "http.location")

HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("http.location", "proxy_pass"): proxy_pass,
    **{
        (context, name): handler
        for context in ALL
        for name, handler in (
            ("proxy_set_header", proxy_set_header),
            ("add_header", add_header),
            ("proxy_hide_header", proxy_hide_header),
            ("proxy_pass_header", proxy_hide_header),
            ("proxy_redirect", proxy_redirect),
            ("proxy_http_version", proxy_http_version),
            ("proxy_next_upstream", proxy_next_upstream),
            ("mqtt_websocket_to", mqtt_websocket_to),
        )
    },
}

"""`proxy_redirect`: where a node sends a client, in the words that lead back to us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.http.locations import REGEX, REGEX_CASELESS
from tidegate.variables.regex import Regex, RegexError
from tidegate.variables.values import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidegate.config.model_http import HttpProxy, Location, Redirect
    from tidegate.http.session import HttpSession
    from tidegate.variables.template import Template

    Text = Callable[[HttpSession], str]
    Rule = Callable[[HttpSession, bytes], bytes | None]

REFRESH = b"url="


def rewriter(
    proxy: HttpProxy, location: Location, text: Callable[[Template], Text]
) -> Callable[[HttpSession, bytes], bytes] | None:
    """A function that changes a Location or Refresh; None where nothing is to be changed."""
    rules = [_rule(one, text) for one in proxy.redirects]
    default = _default(proxy, location)
    if default is not None:
        rules.append(_prefix(lambda _session: default[0], lambda _session: default[1]))
    if not rules:
        return None

    def rewrite(session: HttpSession, value: bytes) -> bytes:
        at = value.lower().find(REFRESH)
        start = at + len(REFRESH) if at >= 0 and value[:1].isdigit() else 0
        for rule in rules:
            changed = rule(session, value[start:])
            if changed is not None:
                return value[:start] + changed
        return value

    return rewrite


def _default(proxy: HttpProxy, location: Location) -> tuple[str, str] | None:
    """What `proxy_redirect default` means: the URL of `proxy_pass` is our location."""
    by_regex = location.match in (REGEX, REGEX_CASELESS)
    constant = None if proxy.uri is None else proxy.uri.constant
    if not proxy.redirect_default or not isinstance(proxy.upstream, str) or by_regex:
        return None
    scheme = "https" if proxy.secure else "http"
    if proxy.uri is None:
        return f"{scheme}://{proxy.host}/", "/"
    if constant is None:
        return None
    return f"{scheme}://{proxy.host}{constant}", location.text


def _rule(one: Redirect, text: Callable[[Template], Text]) -> Rule:
    if one.regex:
        return _regex(one, text(one.replacement))
    return _prefix(text(one.pattern), text(one.replacement))


def _prefix(pattern: Text, replacement: Text) -> Rule:
    def change(session: HttpSession, value: bytes) -> bytes | None:
        prefix = encode(pattern(session))
        if not value.startswith(prefix):
            return None
        return encode(replacement(session)) + value[len(prefix) :]

    return change


def _regex(one: Redirect, replacement: Text) -> Rule:
    constant = one.pattern.constant
    regex = Regex(encode(constant or ""), caseless=one.regex == REGEX_CASELESS)

    def change(session: HttpSession, value: bytes) -> bytes | None:
        try:
            groups = regex.match(value)
        except RegexError:
            return None
        if groups is None:
            return None
        values = session.compute()
        values.captures = groups
        for name, number in regex.names:
            values.known[name.lower()] = decode(groups[number] or b"")
        return encode(replacement(session))

    return change

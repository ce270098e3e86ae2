"""`geo [$address] $variable {}`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tidegate.config.address_ranges import AddressRanges, OverlapError
from tidegate.config.build_variables import define, note_variables, variable_name
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft import in_protocol, refused
from tidegate.config.entries import read_entries
from tidegate.config.networks import NetworkError, parse_network
from tidegate.config.urls import ipv4
from tidegate.variables.geo import Geo
from tidegate.variables.intervals import Intervals, from_networks, from_ranges
from tidegate.variables.template import Template, Variable

if TYPE_CHECKING:
    from tidegate.config.draft import Reading
    from tidegate.config.lexer import Token
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope
    from tidegate.wire.network import Network

BITS = {int(socket.AF_INET): 32, int(socket.AF_INET6): 128}
EVERYWHERE = (0, 0)

REAL_IP = "set_real_ip_from and real_ip_header make $remote_addr the client's own address"

# Lists of networks have hundreds of thousands of lines, and many of the same kind of mistake.
MOST_WARNINGS = 20

Networks = dict[tuple[int, int], str]  # values by first number and length of prefix


def geo(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read a `geo` block."""
    *source, word = directive.args
    address = variable_name(source[0]) if source else "remote_addr"
    if source:
        note_variables(reading, Template((Variable(address),)), source[0], directive)
    name = variable_name(word)
    draft = GeoDraft(reading)
    read_entries(reading, directive, draft.read)
    draft.tell_rest(directive)
    define(reading, name, word, draft.made(address))


class GeoDraft:
    """A `geo` while its lines are read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._networks: dict[int, Networks] = {family: {} for family in BITS}
        self._begun = False  # a network was given, or a default, so that ranges come too late
        self._ranges: AddressRanges | None = None
        self._default: str | None = None  # that of ranges
        self._proxies: list[Network] = []
        self._warnings = 0

    def made(self, address: str) -> Geo:
        """What came of it."""
        if self._ranges is not None:
            rest = self._default or ""
            inet = from_ranges(self._ranges, rest=rest)
            inet6 = Intervals(starts=(0,), values=(rest,))
        else:
            inet, inet6 = (
                from_networks(self._networks[family], bits=bits, rest="")
                for family, bits in BITS.items()
            )
        return Geo(address=address, inet=inet, inet6=inet6, proxies=tuple(self._proxies))

    def tell_rest(self, directive: Directive) -> None:
        """Say how many warnings were left out."""
        more = self._warnings - MOST_WARNINGS
        if more > 0:
            message = f'{more} more warnings of this "geo" are not shown'
            self._reading.report.warn(message, directive.name.span, line=directive.end.line)

    def read(self, entry: Directive) -> None:
        """Read one line; raises ConfigError."""
        word, values = entry.name, entry.args
        if not values and word.text == "ranges":
            self._begin_ranges(word)
            return
        if not values and word.text == "proxy_recursive":
            return  # a PROXY header tells one address, so there is nothing to go on with
        if len(values) != 1:
            hint = "a network and its value are expected; quote a value that holds spaces"
            raise ConfigError("invalid number of the geo parameters", word.span, hint=hint)
        (value,) = values
        if word.text == "proxy":
            if in_protocol(self._reading).scope.context == "http":
                error = refused('"proxy" of "geo"', reason=REAL_IP)
                error.span = word.span
                raise error
            self._proxies.append(self._network(value, entry))
        elif self._ranges is not None:
            self._range(self._ranges, word, value, entry)
        else:
            self._begun = True
            self._cidr(word, value, entry)

    def _warn(self, message: str, word: Token, entry: Directive, hint: str | None = None) -> None:
        self._warnings += 1
        if self._warnings <= MOST_WARNINGS:
            self._reading.report.warn(message, word.span, line=entry.end.line, hint=hint)

    def _begin_ranges(self, word: Token) -> None:
        if self._begun:
            message = 'the "ranges" directive must be the first directive inside "geo" block'
            raise ConfigError(message, word.span)
        self._ranges = self._ranges or AddressRanges()

    def _text(self, word: Token, entry: Directive) -> str:
        """A value, as it is written."""
        if "$" in word.text:
            hint = 'nginx takes this value as it is written; a "map" can make it a variable'
            self._warn(f'no variable in value "{word.text}" of "geo"', word, entry, hint)
        return word.text

    # --- networks ---

    def _network(self, word: Token, entry: Directive) -> Network:
        try:
            network, low_bits = parse_network(word.text)
        except NetworkError:
            hint = "an address or network is expected, as 10.0.0.0/8 or fd00::/8"
            message = f'invalid network "{word.text}"'
            raise ConfigError(message, word.span, hint=hint) from None
        if low_bits:
            self._warn(f"low address bits of {word.text} are meaningless", word, entry)
        return network

    def _cidr(self, word: Token, value: Token, entry: Directive) -> None:
        if word.text == "default":
            text = self._text(value, entry)
            for networks in self._networks.values():
                self._add(networks, EVERYWHERE, text, entry)
            return
        delete = word.text == "delete"
        network = self._network(value if delete else word, entry)
        place = network.base, network.mask.bit_count()
        networks = self._networks[network.family]
        if not delete:
            self._add(networks, place, self._text(value, entry), entry)
        elif networks.pop(place, None) is None:
            self._warn(f'no network "{value.text}" to delete', value, entry)

    def _add(
        self, networks: Networks, place: tuple[int, int], value: str, entry: Directive
    ) -> None:
        if place in networks:
            message = (
                f'duplicate network "{entry.name.text}", value: "{value}",'
                f' old value: "{_nearest(networks, place[0])}"'
            )
            self._warn(message, entry.name, entry)
        networks[place] = value

    # --- ranges ---

    def _range(self, ranges: AddressRanges, word: Token, value: Token, entry: Directive) -> None:
        if word.text == "default":
            text = self._text(value, entry)
            if self._default is not None:
                message = (
                    f'duplicate default geo range value: "{text}", old value: "{self._default}"'
                )
                self._warn(message, word, entry)
            self._default = text
        elif word.text == "delete":
            if not ranges.delete(*_ends(value)):
                self._warn(f'no address range "{value.text}" to delete', value, entry)
        else:
            first, last = _ends(word)
            self._add_range(ranges, first, last, self._text(value, entry), entry)

    def _add_range(
        self, ranges: AddressRanges, first: int, last: int, value: str, entry: Directive
    ) -> None:
        word = entry.name
        try:
            for old in ranges.add(first, last, value):
                message = f'duplicate range "{word.text}", value: "{value}", old value: "{old}"'
                self._warn(message, word, entry)
        except OverlapError as error:
            message = f'range "{word.text}" overlaps "{error}"'
            hint = "one range may stand inside of another, or beside it"
            raise ConfigError(message, word.span, hint=hint) from None


def _nearest(networks: Networks, number: int) -> str:
    """The value of an address as nginx would find it now: that of the smallest network."""
    lengths = range(max(BITS.values()), -1, -1)
    return next(networks[number, length] for length in lengths if (number, length) in networks)


def _ends(word: Token) -> tuple[int, int]:
    """The two addresses of a range; raises ConfigError."""
    ends = [ipv4(text) for text in word.text.split("-", 1)]
    numbers = [int.from_bytes(socket.inet_aton(end), "big") for end in ends if end]
    if len(numbers) == 2 and numbers[0] <= numbers[1] < LAST:  # noqa: PLR2004 - first and last
        return numbers[0], numbers[1]
    hint = "two addresses of IPv4 are expected, as 10.0.0.0-10.0.255.255"
    if numbers[1:] == [LAST]:
        hint = "nginx does not take 255.255.255.255 here; no client has it"
    raise ConfigError(f'invalid range "{word.text}"', word.span, hint=hint)


LAST = (1 << 32) - 1

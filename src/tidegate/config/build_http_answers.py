"""What is answered without a broker: files, `return`, `error_page`; and how long clients stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config import grammar, values
from tidegate.config.build_set import set_
from tidegate.config.build_variables import template
from tidegate.config.diagnostics import ConfigError
from tidegate.config.draft_http import FilesDraft, in_location, lists_here
from tidegate.config.entries import read_entries
from tidegate.config.model_http import ErrorPage, HttpReturn
from tidegate.config.scope import slot
from tidegate.variables.template import Template

if TYPE_CHECKING:
    from tidegate.config.draft import DraftHandler, Reading
    from tidegate.config.parser import Directive
    from tidegate.config.scope import Scope

LAST_CODE = 999
FIRST_ERROR, LAST_ERROR = 300, 599
CLOSED = 499  # a code that nobody gets: the client is gone
# nginx's own codes for clients that do not speak TLS as they should; they are told 400.
OF_TLS = (494, 495, 496, 497)

REDIRECTS = (301, 302, 303, 307, 308)
MOVED = 302
SCHEMES = ("http://", "https://", "$scheme")


# --- return, stub_status ---


def return_(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `return CODE [TEXT]` or `return URL`; of several the first one counts, as in nginx."""
    first, *rest = directive.args
    status = values.number(first.text)
    if status is None and not rest and first.text.startswith(SCHEMES):
        status, rest = MOVED, [first]
    if status is None or status > LAST_CODE:
        hint = "a code, a code and a text, or a URL is expected"
        raise ConfigError(f'invalid return code "{first.text}"', first.span, hint=hint)
    text = template(reading, rest[0], directive) if rest else None
    location = in_location(reading)
    if location.answer is None:
        location.answer = HttpReturn(
            status=status,
            text=text,
            redirect=text is not None and status in REDIRECTS,
            span=directive.name.span,
        )


def stub_status(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `stub_status`; old files write something behind it."""
    del directive
    location = in_location(reading)
    location.stub, location.proxy = True, None
    location.upstream = location.target = location.pass_span = None


def internal(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `internal`."""
    scope.claim(directive.name.text)
    scope.put(directive.name.text, value=True)


# --- files ---


def root(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `root PATH` or `alias PATH`."""
    name, word = directive.name.text, directive.args[0]
    lists = lists_here(reading)
    alias = name == "alias"
    if lists.files is not None:
        if lists.files.alias == alias:
            raise ConfigError(f'"{name}" directive is duplicate')
        other = "alias" if lists.files.alias else "root"
        message = f'"{name}" directive is duplicate, "{other}" directive was specified earlier'
        raise ConfigError(message)
    text = ""
    if alias:
        location = in_location(reading)
        if location.match == "@":
            message = 'the "alias" directive cannot be used inside the named location'
            raise ConfigError(message)
        text = location.text
    for variable in ("document_root", "realpath_root"):
        if f"${variable}" in word.text or f"${{{variable}}}" in word.text:
            message = f'the ${variable} variable cannot be used in the "{name}" directive'
            raise ConfigError(message, word.span)
    path = word.text if alias else word.text.removesuffix("/")
    found = template(reading, word._replace(text=path), directive)
    if not word.text.startswith("$"):
        found = under(reading.draft.path(""), found)
    lists.files = FilesDraft(path=found, alias=alias, text=text)


def under(folder: str, path: Template) -> Template:
    """A path that may be relative, from the root of the file system on."""
    first, *others = path.parts
    if isinstance(first, str):
        return Template((first if first.startswith("/") else folder + first, *others))
    return Template((folder, *path.parts))


def index(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `index FILE…`."""
    lists = lists_here(reading)
    last = directive.args[-1]
    for word in directive.args:
        if word.text.startswith("/") and word is not last:
            message = 'only the last index in "index" directive should be absolute'
            reading.report.warn(message, word.span, line=directive.end.line)
        if not word.text:
            raise ConfigError('index "" in "index" directive is invalid', word.span)
        lists.index.append(template(reading, word, directive))


def try_files(reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `try_files FILE… URI | =CODE`."""
    scope.claim(directive.name.text)
    *_files, last = directive.args
    if last.text.startswith("="):
        code = values.number(last.text[1:])
        if code is None or code > LAST_CODE:
            raise ConfigError(f'invalid code "{last.text}"', last.span)
    in_location(reading).try_files = tuple(
        template(reading, word, directive) for word in directive.args
    )


def types(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read a `types` block: media types and the extensions of each."""
    lists = lists_here(reading)
    known = lists.types = lists.types or {}
    read_entries(reading, directive, lambda entry: _read_type(reading, known, entry))


def _read_type(reading: Reading, known: dict[str, str], entry: Directive) -> None:
    kind = entry.name.text
    for word in entry.args:
        extension = word.text.lower()
        former = known.get(extension, kind)
        if former != kind:
            message = (
                f'duplicate extension "{extension}", content type: "{kind}",'
                f' previous content type: "{former}"'
            )
            reading.report.warn(message, word.span, line=entry.end.line)
        known[extension] = kind


# --- errors ---


def error_page(reading: Reading, directive: Directive, _scope: Scope) -> None:
    """Read `error_page CODE… [=[CODE]] URI`."""
    *codes, uri = directive.args
    status: int | None = None
    if codes[-1].text.startswith("="):
        word = codes.pop()
        status = values.number(word.text[1:]) if len(word.text) > 1 else 0
        if status is None or not codes:
            raise ConfigError(f'invalid value "{word.text}"', word.span)
    where = template(reading, uri, directive)
    for word in codes:
        code = values.number(word.text)
        if code is None or code == CLOSED:
            raise ConfigError(f'invalid value "{word.text}"', word.span)
        if not FIRST_ERROR <= code <= LAST_ERROR:
            message = f'value "{word.text}" must be between {FIRST_ERROR} and {LAST_ERROR}'
            raise ConfigError(message, word.span)
        told = 400 if status is None and code in OF_TLS else status
        lists_here(reading).error_pages.append(ErrorPage(code=code, status=told, uri=where))


# --- clients ---


def keepalive_timeout(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `keepalive_timeout TIME [SECONDS]`."""
    name = directive.name.text
    scope.claim(name)
    found = []
    readers = (values.milliseconds, values.seconds)
    for word, read in zip(directive.args, readers, strict=False):
        value = read(word.text)
        if value is None:
            raise ConfigError(f'"{name}" directive invalid value', word.span)
        found.append(str(value))
    scope.put(name, tuple(found))


def large_client_header_buffers(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `large_client_header_buffers NUMBER SIZE`."""
    name = directive.name.text
    scope.claim(name)
    number, size = directive.args
    count, each = values.number(number.text), values.size(size.text)
    if not count or not each:
        wrong = size if count else number
        hint = "a number and a size are expected, as in 4 8k"
        raise ConfigError(f'"{name}" directive invalid value', wrong.span, hint=hint)
    if each < SMALLEST_HEADER_BUFFER:
        message = f'the "{name}" size must be equal to or greater than "connection_pool_size"'
        raise ConfigError(message, size.span, hint=f"that is {SMALLEST_HEADER_BUFFER} bytes")
    scope.put(name, (str(min(count, MOST_BUFFERS)), str(each)))


SMALLEST_HEADER_BUFFER = 512
MOST_BUFFERS = 1 << 20


def one_of(*words: str) -> DraftHandler:
    """Reads a directive that takes one of these words."""

    def read(_reading: Reading, directive: Directive, scope: Scope) -> None:
        scope.claim(directive.name.text)
        word = directive.args[0]
        value = word.text.lower()
        if value not in words:
            hint = f"there are: {', '.join(words)}"
            raise ConfigError(f'invalid value "{word.text}"', word.span, hint=hint)
        scope.put(directive.name.text, value)

    return read


def limit_conn_status(_reading: Reading, directive: Directive, scope: Scope) -> None:
    """Read `limit_conn_status CODE`."""
    name, word = directive.name.text, directive.args[0]
    row = grammar.find(name, scope.context)
    assert row is not None
    scope.claim(name)
    value = slot(row, word)
    if not isinstance(value, int) or not FIRST_REFUSAL <= value <= LAST_ERROR:
        message = f"value must be between {FIRST_REFUSAL} and {LAST_ERROR}"
        raise ConfigError(message, word.span)
    scope.put(name, value)


FIRST_REFUSAL = 400

ALL = ("http", "http.server", "http.location")

HANDLERS: dict[tuple[str, str], DraftHandler] = {
    ("http.location", "alias"): root,
    ("http.location", "internal"): internal,
    **{
        (context, name): handler
        for context in ("http.server", "http.location")
        for name, handler in (
            ("return", return_),
            ("set", set_),
            ("stub_status", stub_status),
            ("try_files", try_files),
        )
    },
    **{
        (context, name): handler
        for context in ALL
        for name, handler in (
            ("root", root),
            ("index", index),
            ("types", types),
            ("error_page", error_page),
            ("keepalive_timeout", keepalive_timeout),
            ("server_tokens", one_of("on", "off", "build")),
            ("satisfy", one_of("all", "any")),
            ("limit_conn_status", limit_conn_status),
        )
    },
    ("http", "large_client_header_buffers"): large_client_header_buffers,
    ("http.server", "large_client_header_buffers"): large_client_header_buffers,
}

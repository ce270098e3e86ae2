"""The door of the room: a path in, the model and all problems out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tidegate.config.build import Places, make_model
from tidegate.config.build_main import HANDLERS
from tidegate.config.build_pass import finish_passes
from tidegate.config.diagnostics import Problem, Report, TooManyProblemsError
from tidegate.config.draft import Draft
from tidegate.config.files import Files, Source
from tidegate.config.parser import Directive, Parser
from tidegate.config.span import COMMAND_LINE, Span
from tidegate.config.urls import Resolve, resolve_name
from tidegate.config.walk import Walk
from tidegate.dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.config.model import Model
    from tidegate.wire.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of reading a configuration.

    `model` is None where there is an error. `problems` stand in the order in which nginx meets
    them, warnings among them. `files` were read, in that order, `path` first; `globals_` came
    from the command line. `ignored` are the directives that were accepted without effect.
    """

    path: str
    model: Model | None
    problems: tuple[Problem, ...]
    files: tuple[Source, ...]
    ignored: tuple[str, ...] = ()
    globals_: tuple[str, ...] = field(default=(), repr=False)

    @property
    def first_error(self) -> Problem | None:
        """The error at which nginx would stop."""
        return next((problem for problem in self.problems if problem.fatal), None)

    def line(self, span: Span) -> str | None:
        """The source line at a place; None for one of several texts of the command line."""
        if span.file == COMMAND_LINE:
            lines = self.globals_[0].split("\n") if len(self.globals_) == 1 else []
        else:
            text = next((file.text for file in self.files if file.path == span.file), "")
            lines = text.split("\n")
        return lines[span.line - 1] if 0 < span.line <= len(lines) else None


def load(
    path: str,
    *,
    prefix: str,
    globals_: tuple[str, ...] = (),
    error_log: str | None = None,
    access_log: str | None = None,
    pid: str | None = None,
    resolve: Resolve = resolve_name,
) -> Loaded:
    """Read the configuration at `path`; never raises for what stands in it.

    Relative names are looked up in `prefix`, includes in the folder of `path`. `globals_` are
    directives of the command line, read first. `error_log`, `access_log` and `pid` are the places
    for a configuration that names none. `resolve` finds the addresses of host names.
    """
    prefix = os.path.abspath(prefix)
    path = os.path.join(prefix, path)
    files = Files(folder=os.path.dirname(path))
    report = Report()
    draft = Draft(prefix=prefix, folder=os.path.dirname(path), resolve=_remembering(resolve))
    walk = Walk(draft, report, HANDLERS)
    parser = Parser(files)
    items = [item for text in globals_ for item in parser.globals(text)]
    items += parser.file(path)
    draft.last_stream = _last(items, "stream")
    draft.last_http = _last(items, "http")
    try:
        walk.items(items, draft.main)
        _finish(draft, report)
    except TooManyProblemsError:
        pass  # the report says so itself
    model = None
    if not report.errors:
        places = Places(
            error_log=os.path.join(prefix, error_log or "logs/error.log"),
            access_log=os.path.join(prefix, access_log or "logs/access.log"),
            pid=os.path.join(prefix, pid or "logs/tidegate.pid"),
        )
        names = tuple(source.path for source in files.sources)
        model = make_model(draft, names, places)
    return Loaded(
        path=path,
        model=model,
        problems=tuple(report.problems),
        files=files.sources,
        ignored=tuple(walk.ignored),
        globals_=globals_,
    )


def _last(items: list[Directive | Problem], name: str) -> Directive | None:
    found = None
    for item in items:
        if isinstance(item, Directive) and item.name.text == name and item.block is not None:
            found = item
    return found


def _remembering(resolve: Resolve) -> Resolve:
    """`resolve`, asked once for each host and port: a dead name server costs seconds a time."""
    known: dict[tuple[str, int], Sequence[Address] | OSError] = {}

    def once(host: str, port: int) -> Sequence[Address]:
        key = host, port
        if key not in known:
            try:
                known[key] = resolve(host, port)
            except (OSError, ValueError) as error:
                known[key] = error if isinstance(error, OSError) else OSError(str(error))
        found = known[key]
        if isinstance(found, OSError):
            raise found
        return found

    return once


def _finish(draft: Draft, report: Report) -> None:
    """What nginx checks after it has called the syntax ok."""
    if report.errors:
        return
    finish_passes(draft, report)
    if draft.events is None:
        hint = "an empty one will do: events {}"
        report.late('no "events" section in configuration', hint=hint)
        return
    listens = len(draft.stream.addresses) if draft.stream else 0
    listens += len(draft.http.addresses) if draft.http else 0
    connections = draft.events.optional_integer("worker_connections")
    for address, listen in draft.stream.addresses.items() if draft.stream and draft.http else ():
        known = draft.http.addresses.get(address) if draft.http else None
        if known is not None:
            places = " and in ".join(f"{one.file}:{one.line}" for one in (listen.span, known.span))
            hint = f"stream and http cannot share an address: it is in {places}"
            report.late(f"bind() to {address.text} failed (98: Address already in use)", hint=hint)
            return
    for name, size in draft.zones.items():
        if not size:
            report.late(f'zero size shared memory zone "{name}"', hint="write: zone NAME 64k;")
            return
    if connections is not None and connections < listens + 1:
        report.late(
            f"{connections} worker_connections are not enough for {listens} listening sockets"
        )

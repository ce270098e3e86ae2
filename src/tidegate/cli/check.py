"""The words of `-t`, `-T` and `check`: what was found in a configuration, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.cli.words import http_words, method_words, mqtt_words, name_words, to_words
from tidegate.config.diagnostics import excerpt, printable
from tidegate.config.model import Level, Pass, Proxy, Server
from tidegate.config.parts import http_servers, listens, upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.config.diagnostics import Problem
    from tidegate.config.load import Loaded
    from tidegate.config.model import Listen, Model, Peer, Upstream


def render_test(loaded: Loaded, *, quiet: bool = False) -> str:
    """What `-t` prints on stderr: warnings and the first error, as nginx, then the verdict.

    `quiet` leaves out what says that all is well.
    """
    file = printable(loaded.path)
    first = loaded.first_error
    early = [problem for problem in _until(loaded, first) if not problem.late]
    text = "".join(_block(loaded, problem) for problem in early)
    if not quiet and (first is None or first.late):
        text += f"tidegate: the configuration file {file} syntax is ok\n"
    if first is None:
        return text if quiet else text + _success(file)
    if first.late:
        text += _block(loaded, first)
    more = sum(problem.fatal for problem in loaded.problems) - 1
    if more:
        text += f'  and {_count(more, "more error")}; "tidegate check" shows all\n'
    return text + f"tidegate: configuration file {file} test failed\n"


def _success(file: str) -> str:
    return f"tidegate: configuration file {file} test is successful\n"


def _until(loaded: Loaded, last: Problem | None) -> Iterator[Problem]:
    for problem in loaded.problems:
        yield problem
        if problem is last:
            return


def _block(loaded: Loaded, problem: Problem) -> str:
    return f"{problem.headline}\n{excerpt(problem, loaded.line)}"


def render_dump(loaded: Loaded) -> str:
    """What `-T` adds on stdout: every file that was read, under its name.

    Bytes that were no UTF-8 stand as lone surrogates; write with `errors="surrogateescape"`.
    """
    return "".join(f"# configuration file {file.path}:\n{file.text}\n" for file in loaded.files)


def render_check(loaded: Loaded) -> str:
    """What `check` prints: every problem, and what the configuration makes."""
    text = "".join(_problem(loaded, problem) for problem in loaded.problems)
    text += _files(loaded)
    if loaded.ignored:
        text += f"ignored    {', '.join(loaded.ignored)}\n"
    if loaded.model is not None:
        text += "".join(_summary(loaded.model))
    errors = sum(problem.fatal for problem in loaded.problems)
    warnings = len(loaded.problems) - errors
    return text + f"{_count(errors, 'error')}, {_count(warnings, 'warning')}\n"


def _problem(loaded: Loaded, problem: Problem) -> str:
    """One problem as compilers write it, so that editors find the place."""
    kind = "error" if problem.severity > Level.WARN else "warning"
    place = printable(loaded.path)
    if problem.span is not None:
        span = problem.span
        place = f"{printable(span.file)}:{span.line}:{span.column}"
    message = printable(problem.message)
    return f"{place}: {kind}: {message}\n{excerpt(problem, loaded.line)}"


def _files(loaded: Loaded) -> str:
    lines = ""
    label = "files"
    for file in loaded.files:
        size = len(file.text.encode("utf-8", "surrogateescape"))
        lines += f"{label:<10} {printable(file.path)} ({_count(size, 'byte')})\n"
        label = ""
    return lines


def _summary(model: Model) -> Iterator[str]:
    if not any(listens(model)):
        yield "listens    on nothing\n"
    for server in model.stream.servers if model.stream is not None else ():
        for listen in server.listens:
            where = printable(name_words(server) + _target(server))
            yield f"listen     {printable(_listen(listen))} -> {where}\n"
    for http_server in http_servers(model):
        where = printable(http_words(http_server))
        for one in http_server.listens:
            yield f"listen     {printable(_listen(one.listen))} -> {where}\n"
    for upstream in upstreams(model):
        if not upstream.implicit:
            yield f"upstream   {printable(_upstream(upstream))}\n"


def _listen(listen: Listen) -> str:
    marks = [word for word in ("ssl", "reuseport") if getattr(listen, word)]
    return " ".join([listen.address.text, *marks])


def _target(server: Server) -> str:
    content = server.content
    target = "a fixed answer"
    if isinstance(content, Proxy):
        target = str(content.upstream)
    elif isinstance(content, Pass):
        target = f"the server at {to_words(content)}"
    mqtt = mqtt_words(server)
    return f"{target} ({mqtt})" if mqtt else target


def _upstream(upstream: Upstream) -> str:
    peers = []
    for peer in upstream.peers:
        name = peer.name if peer.name == peer.address.text else f"{peer.name} ({peer.address.text})"
        peers.append(" ".join([name, *_marks(peer)]))
    peers += [" ".join([one.peer.name, "resolve", *_marks(one.peer)]) for one in upstream.moving]
    method = method_words(upstream.method)
    return f"{upstream.name}{f' ({method})' if method else ''}: " + ", ".join(peers)


def _marks(peer: Peer) -> list[str]:
    marks = [f"weight={peer.weight}"] if peer.weight != 1 else []
    marks += ["backup"] if peer.backup else []
    return marks + (["down"] if peer.down else [])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

"""`tidegate ctl`: questions to a running instance, over its control socket."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.paths import paths
from tidegate.cli.reading import load
from tidegate.cli.send import reload_running
from tidegate.cli.start import problems
from tidegate.cli.switches import Switches
from tidegate.cli.terminal import FAILED, say
from tidegate.process.control import ask
from tidegate.process.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The master answers between two pieces of its other work, which take milliseconds.
ASK_SECONDS = 10.0
UNREACHABLE = 4

JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group()
@click.option("-c", "conf", metavar="FILE", help="The configuration of the instance.")
@click.option("-p", "prefix", metavar="DIR", help="What relative names in it are relative to.")
@click.pass_context
def ctl(context: click.Context, conf: str | None, prefix: str | None) -> None:
    """Ask a running instance, which is found by the pid file of its configuration.

    Example: tidegate ctl -c /etc/nginx/nginx.conf upstreams
    """
    context.obj = Switches(conf=conf, prefix=prefix)


@ctl.command()
@JSON
@click.pass_obj
def status(switches: Switches, *, as_json: bool) -> int:
    """Version, generation of the configuration, processes with their sessions and memory."""
    return _show(switches, "status", _status_text, as_json=as_json)


@ctl.command()
@JSON
@click.pass_obj
def upstreams(switches: Switches, *, as_json: bool) -> int:
    """Every node: its state, sessions now and in all, failures, and why the last one."""
    return _show(switches, "upstreams", _upstreams_text, as_json=as_json)


@ctl.command()
@click.pass_obj
def reload(switches: Switches) -> int:
    """Put the configuration in force as its file is now; ends with 1 if that cannot be."""
    pid_file = _pid_file(switches, resolves=True)
    if pid_file is None:
        return FAILED
    try:
        return reload_running(pid_file)
    except StartError as error:
        say(f"tidegate: [error] {error}")
        return FAILED


def _show(switches: Switches, question: str, text: object, *, as_json: bool) -> int:
    pid_file = _pid_file(switches)
    if pid_file is None:
        return FAILED
    try:
        answer = ask(pid_file, question, seconds=ASK_SECONDS)
    except OSError as error:
        say(f'tidegate: no instance answers beside "{pid_file}" ({error.strerror})')
        return UNREACHABLE
    except StartError as error:
        say(f"tidegate: {error}")
        return UNREACHABLE
    if "error" in answer:
        say(f"tidegate: {answer['error']}")
        return FAILED
    assert callable(text)
    click.echo(json.dumps(answer, indent=2) if as_json else text(answer))
    return 0


def _pid_file(switches: Switches, *, resolves: bool = False) -> str | None:
    loaded = load(switches, paths(prefix=switches.prefix), resolves=resolves)
    if loaded.model is None:
        say(problems(loaded))
        return None
    return loaded.model.pid


def _status_text(answer: Mapping[str, object]) -> str:
    head = (
        f"tidegate {answer['version']}, process {answer['pid']}, generation "
        f"{answer['generation']}, up {_duration(float(str(answer['uptime'])))}"
    )
    rows = [("WORKER", "STATE", "GENERATION", "SESSIONS", "MEMORY")]
    workers = answer["workers"]
    assert isinstance(workers, list)
    rows += [
        (
            str(one["pid"]),
            one["state"],
            str(one["generation"]),
            f"{one['sessions']:,}",
            _memory(one["memory"]),
        )
        for one in workers
    ]
    table = _table(rows, right={2, 3, 4})
    control = _control_lines(answer["control"])
    return "\n".join((head, table, *control, *_mqtt_lines(answer["mqtt"])))


def _control_lines(processes: object) -> Iterator[str]:
    """A line for each process that serves files and the status page; most often there is one."""
    assert isinstance(processes, list)
    for one in processes:
        yield f"control process {one['pid']}: {one['state']}, {_memory(one['memory'])}"


def _memory(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**20:.1f} MiB"


def _mqtt_lines(counts: object) -> Iterator[str]:
    assert isinstance(counts, dict)
    for key, told in (("refused", "refused"), ("passed_unread", "passed on unread")):
        found = [f"{count:,} {reason}" for reason, count in counts[key].items() if count]
        if found:
            yield f"MQTT clients {told}: {', '.join(found)}"


def _upstreams_text(answer: Mapping[str, object]) -> str:
    head = "UPSTREAM", "NODE", "STATE", "WEIGHT", "ACTIVE", "TOTAL", "FAILS"
    found = answer["upstreams"]
    assert isinstance(found, list)
    times = _times(found)
    rows = [(*head, *(f"{name.upper().replace('_', ' ')} MS" for name in times), "LAST FAILURE")]
    for upstream in found:
        for peer in upstream["peers"]:
            last = peer["last_failure"]
            active = f"{peer['active']:,}"
            rows.append(
                (
                    upstream["name"] + (" (http)" if upstream["http"] else ""),
                    peer["address"] + (" backup" if peer["backup"] else ""),
                    _state(peer),
                    str(peer["weight"]),
                    f"{active}/{peer['max_conns']:,}" if peer["max_conns"] else active,
                    f"{peer['total']:,}",
                    f"{peer['fails']:,}",
                    *(_milliseconds(peer["average_ms"][name]) for name in times),
                    "" if last is None else f"{last['why']}, {_ago(last['at'])}",
                )
            )
    tables = answer.get("sticky", [])
    assert isinstance(tables, list)
    table = _table(rows, right=set(range(3, len(head) + len(times))))
    return "\n".join((table, *map(_sticky_line, tables), *_name_lines(found)))


def _sticky_line(table: Mapping[str, object]) -> str:
    line = f'sticky zone "{table["zone"]}": {table["entries"]:,} of {table["room"]:,} entries'
    return line + (f", {table['dropped']:,} made room for others" if table["dropped"] else "")


def _state(peer: Mapping[str, object]) -> str:
    """Its state; `slow start 40 %` while it comes back."""
    percent = peer["slow_start"] if peer["state"] == "slow start" else None
    return str(peer["state"]) + ("" if percent is None else f" {percent} %")


def _name_lines(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each name that may come to mean other addresses."""
    for upstream in found:
        for name in upstream["names"]:
            what = (
                f"{name['server']} service {name['service']}" if name["service"] else name["server"]
            )
            count = name["addresses"]
            told = "not resolved yet"
            if name["resolved_at"] is not None:
                addresses = "1 address" if count == 1 else f"{count:,} addresses"
                told = f"{addresses}, resolved {_ago(name['resolved_at'])}"
            if name["failure"] is not None:
                told += f"; {name['failure']} since {_ago(name['failed_at'])}"
            yield f"name {what} in {upstream['name']}: {told}"


def _times(upstreams: Sequence[Mapping[str, object]]) -> list[str]:
    """The average times that are known of some node; without `least_time` there are none."""
    known: dict[str, None] = {}
    for upstream in upstreams:
        peers = upstream["peers"]
        assert isinstance(peers, list)
        for peer in peers:
            if any(peer["average_ms"].values()):
                known.update(dict.fromkeys(peer["average_ms"]))
    return list(known)


def _milliseconds(average: int | None) -> str:
    return "-" if average is None else f"{average:,}"


def _table(rows: Sequence[Sequence[str]], *, right: set[int]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _ago(at: int) -> str:
    return f"{_duration(max(time.time() - at, 0.0))} ago"


def _duration(seconds: float) -> str:
    """Two units at most: `12 s`, `3 min 5 s`, `2 d 4 h`."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])

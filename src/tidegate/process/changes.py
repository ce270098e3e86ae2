"""What a reload changed, in the words of one log line: `+ listener …`, `weight 1→3 of …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.config.parts import limit_conn_zones, listens, upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.config.model import Model, Peer, Upstream

# A line of a log is to be read by people; what is left out is counted.
MOST_SHOWN = 12

# What is told of a peer that stays.
COMPARED = (
    *("weight", "max_conns", "max_fails", "fail_timeout", "slow_start_ms"),
    *("down", "backup"),
)


def changes(old: Model, new: Model) -> str:
    """What is different in `new`, shortened to one line."""
    found = [*_processes(old, new), *_listeners(old, new)]
    found += [*_upstreams(old, new), *_zones(old, new)]
    if not found:
        return "nothing changed" if _same(old, new) else "listeners and peers are the same"
    shown = found[:MOST_SHOWN]
    if len(found) > len(shown):
        shown.append(f"and {len(found) - len(shown)} more")
    return ", ".join(shown)


def _same(old: Model, new: Model) -> bool:
    return old == new


def _processes(old: Model, new: Model) -> Iterator[str]:
    for name in ("worker_processes", "worker_connections", "worker_rlimit_nofile", "user"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name} {_text(before)}→{_text(after)}"


def _listeners(old: Model, new: Model) -> Iterator[str]:
    before, after = _addresses(old), _addresses(new)
    for text in after:
        if text not in before:
            yield f"+ listener {text}"
    for text in before:
        if text not in after:
            yield f"- listener {text}"


def _upstreams(old: Model, new: Model) -> Iterator[str]:
    before = {one.key: one for one in upstreams(old)}
    after = {one.key: one for one in upstreams(new)}
    for name, group in after.items():
        if name not in before:
            yield f"+ upstream {name}"
        elif before[name] != group:
            yield from _peers(before[name], group)
    for name in before:
        if name not in after:
            yield f"- upstream {name}"


def _zones(old: Model, new: Model) -> Iterator[str]:
    """Zones that come and go, and those that begin at nothing as they are other ones now."""
    before, after = ({one.name: one for one in limit_conn_zones(model)} for model in (old, new))
    for name, zone in after.items():
        if name not in before:
            yield f"+ zone {name}"
        elif (zone.size, zone.key) != (before[name].size, before[name].key):
            yield f"zone {name} counts anew"
    for name in before:
        if name not in after:
            yield f"- zone {name}"


def _peers(old: Upstream, new: Upstream) -> Iterator[str]:
    before = {_key(peer): peer for peer in old.peers}
    after = {_key(peer): peer for peer in new.peers}
    for key, peer in after.items():
        if key not in before:
            yield f"+ peer {_where(peer, new)}"
            continue
        for name in COMPARED:
            was, now = getattr(before[key], name), getattr(peer, name)
            if was != now:
                unit = " ms" if name.endswith("_ms") else ""
                what = f"{name.removesuffix('_ms')} {_text(was)}→{_text(now)}{unit}"
                yield f"{what} of {_where(peer, new)}"
    for key, peer in before.items():
        if key not in after:
            yield f"- peer {_where(peer, old)}"
    if old.method != new.method:
        was, now = (type(one.method).__name__ for one in (old, new))
        yield f"method of {new.name}" + (f" {was}→{now}" if was != now else "")
    if old.sticky != new.sticky:
        yield f"sticky of {new.name}"


def _key(peer: Peer) -> tuple[str, str]:
    return peer.name, peer.address.text


def _where(peer: Peer, upstream: Upstream) -> str:
    return f"{peer.address.text} in {upstream.name}" if not upstream.implicit else peer.address.text


def _addresses(model: Model) -> list[str]:
    return list(dict.fromkeys(one.address.text for one in listens(model)))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "default" if value is None else str(value)

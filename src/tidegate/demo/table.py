"""What the demo shows: a table of the nodes, or one line where nobody looks at a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidegate.demo.device import Device
    from tidegate.demo.nodes import Node

BAR = 10  # clients that a bar can show
# 79 columns in all: a line that wraps could not be drawn anew.
HEAD = f"{'node':<5}{'address':<17}{'pid':<8}{'clients':<8}{'':<{BAR}}"
COUNTS = "  sent  received from elsewhere"
RATES = "sent/s    recv/s from elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Messages since the start, per node: sent by its clients, received, received from elsewhere.

    Counted by the demo's clients; a client's counts go to the node that says it has it now.
    """

    sent: tuple[int, ...]
    received: tuple[int, ...]
    crossed: tuple[int, ...]


def homes(nodes: Sequence[Node]) -> dict[str, int]:
    """On which node each client is, by its index, as the nodes say."""
    return {name: index for index, node in enumerate(nodes) for name in node.clients}


class Flow:
    """Adds up what the devices count, between one look and the next."""

    def __init__(self, nodes: Sequence[Node], devices: Sequence[Device]) -> None:
        self._nodes = nodes
        self._devices = devices
        self._seen: dict[str, tuple[int, dict[str, int]]] = {}

    def take(self) -> Totals:
        """The messages since the last call."""
        home = homes(self._nodes)
        sent, received, crossed = ([0] * len(self._nodes) for _ in range(3))
        for device in self._devices:
            old_sent, old_heard = self._seen.get(device.client_id, (0, {}))
            self._seen[device.client_id] = (device.sent, dict(device.heard))
            here = home.get(device.client_id)
            if here is None:
                continue
            sent[here] += device.sent - old_sent
            for sender, count in device.heard.items():
                new = count - old_heard.get(sender, 0)
                received[here] += new
                if home.get(sender, here) != here:
                    crossed[here] += new
        return Totals(sent=tuple(sent), received=tuple(received), crossed=tuple(crossed))


def unreached(nodes: Sequence[Node], devices: Sequence[Device]) -> list[str]:
    """The devices that have not heard from a client on another node."""
    home = homes(nodes)

    def reached(device: Device) -> bool:
        here = home.get(device.client_id)
        others = (home.get(sender) for sender in device.heard)
        return here is not None and any(other not in {None, here} for other in others)

    return [device.client_id for device in devices if not reached(device)]


def table(
    nodes: Sequence[Node], devices: Sequence[Device], flow: Totals, seconds: float | None
) -> str:
    """The table without a line end: rates over `seconds`, or with None the counts themselves."""
    lines = [HEAD + (COUNTS if seconds is None else RATES)]
    names = {device.client_id for device in devices}
    for index, node in enumerate(nodes):
        pid = str(node.program.pid) if node.up and node.program else "-"
        count = str(len(node.clients)) if node.up else "down"
        bar = "".join("#" if name in names else "+" for name in sorted(node.clients))
        totals = [each[index] for each in (flow.sent, flow.received, flow.crossed)]
        shown = [f"{total if seconds is None else total / seconds:.0f}" for total in totals]
        lines.append(
            f"{node.number:<5}{f'127.0.0.1:{node.port}':<17}{pid:<8}{count:<8}{bar[:BAR]:<{BAR}}"
            f"{shown[0]:>6}{shown[1]:>10}{shown[2]:>15}"
        )
    lines.append(f"# a client of the demo ({_connected(devices)} connected), + one of yours")
    return "\n".join(lines)


def line(nodes: Sequence[Node], devices: Sequence[Device], flow: Totals, seconds: float) -> str:
    """The same in one line."""
    spread = "/".join(str(len(node.clients)) if node.up else "down" for node in nodes)
    return (
        f"clients per node {spread} ({_connected(devices)} connected), "
        f"{sum(flow.received) / seconds:.0f} messages/s received, "
        f"{sum(flow.crossed) / seconds:.0f}/s of them from another node"
    )


def _connected(devices: Sequence[Device]) -> str:
    return f"{sum(device.connected for device in devices)} of {len(devices)}"

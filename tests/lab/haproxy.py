"""A PROXY-protocol reader that is not ours: haproxy, which logs the address it was told."""

import os
import re

from lab import proc
from lab.process import Program


class HAProxy(Program):
    """Reads PROXY headers on `binds` (haproxy's words) and relays to `target`."""

    def __init__(self, *, folder, ports, target, paths=(), name="haproxy", prefix=()):
        """`ports` are (host, port); `paths` are Unix sockets; `target` is "host:port"."""
        self._ports = [port for _, port in ports]
        self._paths = paths
        binds = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ports]
        binds += [f"unix@{path}" for path in paths]
        conf = os.path.join(folder, f"{name}.cfg")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(_conf(binds, target))
        super().__init__(
            ["/usr/sbin/haproxy", "-db", "-f", conf], folder=folder, name=name, prefix=prefix
        )

    def start(self):
        """Start and wait until it listens."""
        super().start()
        self.wait_until(
            lambda: (
                all(proc.listening_inodes(port, pid=self.pid) for port in self._ports)
                and all(os.path.exists(path) for path in self._paths)
            ),
            "listens",
        )
        return self

    def told(self) -> list[tuple[str, str]]:
        """(client address, destination) of each finished connection, as the header told them."""
        return re.findall(r"told client=(\S+) to=(\S+)", self.output())


def _conf(binds, target) -> str:
    lines = [
        "global",
        "  log stdout format raw local0",
        "defaults",
        "  mode tcp",
        "  timeout connect 5s",
        "  timeout client 60s",
        "  timeout server 60s",
        "frontend proxied",
        "  log global",
        "  log-format 'told client=%ci:%cp to=%fi:%fp'",
        *(f"  bind {bind} accept-proxy" for bind in binds),
        "  default_backend broker",
        "backend broker",
        f"  server broker {target}",
    ]
    return "\n".join(lines) + "\n"

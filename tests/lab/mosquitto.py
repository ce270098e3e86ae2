"""A real broker: mosquitto with a configuration, a log and a port of its own."""

import os
import re

from lab import proc
from lab.process import Program, read


class Mosquitto(Program):
    """One node on `host:port`; `start` waits until it listens."""

    def __init__(
        self, *, folder, port, host="127.0.0.1", name="node", bridges=(), extra="", prefix=()
    ):
        """`bridges` are (host, port) of nodes to exchange all messages with."""
        self.host, self.port = host, port
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.log = os.path.join(folder, f"{name}.log")
        conf = os.path.join(folder, f"{name}.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(_conf(self, bridges) + extra)
        super().__init__(
            ["/usr/sbin/mosquitto", "-c", conf], folder=folder, name=name, prefix=prefix
        )
        self.logs.append(self.log)

    def start(self):
        """Start, or start again on the same port with what it had stored in memory gone."""
        super().start()
        self.wait_until(
            lambda: proc.listening_inodes(self.port, pid=self.pid), f"listens on {self.port}"
        )
        return self

    def clients(self) -> list[str]:
        """Client identifiers that connected so far, in order."""
        pattern = r"New client connected from \S+ as (\S+) \(p"
        return [name for name in re.findall(pattern, read(self.log)) if ".bridge" not in name]


def _conf(node, bridges) -> str:
    lines = [
        f"listener {node.port} {node.host}",
        "allow_anonymous true",
        "persistence false",
        f"log_dest file {node.log}",
        "log_type all",
        "connection_messages true",
        "sys_interval 1",
        "max_queued_messages 100000",
        "set_tcp_nodelay true",
        "user root",  # if it is root, else it could not write its log
    ]
    for number, (host, port) in enumerate(bridges):
        lines += [
            f"connection {node.name}.bridge{number}",
            f"address {host}:{port}",
            "topic # both 2",
            "restart_timeout 1",
            "notifications false",
            "bridge_attempt_unsubscribe false",
        ]
    return "\n".join(lines) + "\n"

"""A network of its own, with its own hosts file, for files whose ports and names are fixed.

A holder process keeps the network and mount namespace alive (and a user namespace, where the tests
do not run as root); programs enter with `nsenter`. Nothing stays mounted: the mounts end with it.
"""

import os
import shutil
import subprocess

from lab import proc
from lab.process import Program

SET_UP = 'ip link set lo up && mount --bind "$0" /etc/hosts && echo ready && exec sleep infinity'


class Namespace(Program):
    """`hosts` maps names to addresses of 127.0.0.0/8."""

    def __init__(self, *, folder, hosts):
        table = os.path.join(folder, "hosts")
        with open(table, "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines(f"{address} {name}\n" for name, address in hosts.items())
        self._user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
        super().__init__(
            ["unshare", *self._user, "--net", "--mount", "sh", "-c", SET_UP, table],
            folder=folder,
            name="namespace",
        )

    def start(self):
        """Make it; returns when the network is up and the names are known."""
        super().start()
        self.wait_for_output("ready")
        return self

    @property
    def prefix(self) -> list[str]:
        """What to put before a command so that it runs inside."""
        user = ["--user", "--preserve-credentials"] if self._user else []
        return ["nsenter", "-t", str(self.pid), *user, "--net", "--mount", "--"]

    def wait_listening(self, port, program):
        """Wait until somebody inside listens on `port`."""
        program.wait_until(
            lambda: proc.listening_inodes(port, pid=self.pid), f"listens on {port} inside"
        )


def possible() -> bool:
    """Whether this machine lets us make one."""
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    trial = ["unshare", *user, "--net", "--mount", "ip", "link", "set", "lo", "up"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0

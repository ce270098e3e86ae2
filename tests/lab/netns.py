"""Networks of their own, for files whose ports and names are fixed.

Two network namespaces and a cable: `front` is where the balancer and the clients run, with a hosts
file of its own; `cluster` has an address per node, so that all may use the same port. A holder
process keeps both alive (in a user namespace, where the tests do not run as root); programs enter
with `nsenter`. Nothing stays behind: mounts and interfaces end with the holder.
"""

import os
import re
import shutil
import subprocess

from lab.process import Program

FRONT = "10.83.0.1"

# Shell: puts the file $1 in the place of /etc/hosts, in this mount namespace. A minimal Debian has
# none, and what is not there cannot be mounted over.
OWN_HOSTS = """
if [ -e /etc/hosts ]; then
    mount --bind "$1" /etc/hosts
else
    cp -a /etc "$1.etc" && cp "$1" "$1.etc/hosts" && mount --bind "$1.etc" /etc
fi
"""

# Runs a command with the hosts file that stands before it.
WITH_HOSTS = ["unshare", "--mount", "sh", "-ec", f'{OWN_HOSTS} shift; exec "$@"', "with-hosts"]

SET_UP = (
    "set -e; ip link set lo up"
    + OWN_HOSTS
    + """setpriv --pdeathsig KILL unshare --net sleep infinity &
cluster=$!
until [ "$(readlink /proc/$cluster/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add front type veth peer name cluster netns $cluster
ip addr add "$2/24" dev front
ip link set front up
enter="nsenter -t $cluster --net --"
$enter ip link set lo up
shift 2
for address in "$@"; do $enter ip addr add "$address/24" dev cluster; done
$enter ip link set cluster up
echo "ready $cluster"
wait
"""
)


class Networks(Program):
    """`nodes` are the names that the hosts file gives to addresses of the cluster."""

    gateway = FRONT

    def __init__(self, *, folder, nodes):
        self.addresses = {name: f"10.83.0.{10 + number}" for number, name in enumerate(nodes)}
        hosts = os.path.join(folder, "hosts")
        with open(hosts, "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines(f"{address} {name}\n" for name, address in self.addresses.items())
        script = ["sh", "-c", SET_UP, "networks", hosts, FRONT, *self.addresses.values()]
        super().__init__(
            ["unshare", *_user(), "--net", "--mount", *script], folder=folder, name="networks"
        )

    def start(self):
        """Make them; returns when the cable is up and the names are known."""
        super().start()
        found = self.wait_until(lambda: re.search(r"ready (\d+)", self.output()), "is set up")
        # As root we may be in a changed root, which a new mount namespace would not be.
        user = ["--user", "--preserve-credentials"] if _user() else ["--root"]
        self.front = ["nsenter", "-t", str(self.pid), *user, "--net", "--mount", "--"]
        self.cluster = ["nsenter", "-t", found[1], *user, "--net", "--"]
        return self

    def own(self, addresses, *, ports=None):
        """Give the front more addresses, and a range of ports to connect from, as "20000 20099"."""
        commands = "".join(f"ip addr add {one}/32 dev front\n" for one in addresses)
        if ports is not None:
            commands += f"echo {ports} > /proc/sys/net/ipv4/ip_local_port_range\n"
        self._shell(self.front, commands)
        routes = "".join(f"ip route add {one}/32 via {FRONT}\n" for one in addresses)
        self._shell(self.cluster, routes)

    def take_packets_for(self, address):
        """Lead what the cluster sends to an address of nobody to the sockets of the front."""
        self._shell(
            self.front,
            "ip rule add iif front lookup 100; ip route add local default dev lo table 100",
        )
        self._shell(self.cluster, f"ip route add {address}/32 via {FRONT}")

    def answer_for(self, address):
        """Make the front itself the way to an IPv6 address of nobody."""
        self._shell(self.front, f"ip -6 route add local {address}/128 dev lo")

    def cut(self):
        """Pull the cable out at the cluster's end: what goes in at either end is lost."""
        self._shell(self.cluster, "ip link set cluster down")

    def plug_in(self):
        """Put it back: what was lost is sent again."""
        self._shell(self.cluster, "ip link set cluster up")

    def _shell(self, network, commands):
        subprocess.run([*network, "sh", "-ec", commands], check=True, capture_output=True)


def possible() -> bool:
    """Whether this machine lets us make them."""
    if not all(map(shutil.which, ("unshare", "nsenter", "setpriv", "ip"))):
        return False
    trial = ["unshare", *_user(), "--net", "--mount", "ip", "link", "add", "type", "veth"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def _user():
    # Not as root inside: programs would try to change to a user that the namespace does not know.
    return [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]

"""Programs that run on Erlang: they come in a process namespace, so that nothing of them is left.

Erlang's own machine starts helpers, and a port mapper that means to outlive it. In a namespace all
of them end with its first process, also when the test run is killed.
"""

import os

from lab.netns import WITH_HOSTS
from lab.process import Program


class Erlang(Program):
    """A program that starts Erlang; `env` is added to ours."""

    def __init__(self, argv, *, folder, name, env):
        user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
        unshare = ["unshare", *user, "--pid", "--mount-proc", "--fork", "--kill-child=KILL"]
        home = {"HOME": folder, "ERL_CRASH_DUMP": os.path.join(folder, "crash.dump")}
        if not os.path.exists("/etc/hosts"):
            # Erlang has to find "localhost".
            hosts = os.path.join(folder, "hosts")
            with open(hosts, "w", encoding="utf-8") as file:
                file.write("127.0.0.1 localhost\n")
            unshare += [*WITH_HOSTS, hosts]
        super().__init__([*unshare, *argv], folder=folder, name=name, env={**home, **env})

    def clean_up(self):
        """End it at once: what it would tidy up is in a folder that goes with it."""
        if self._process is not None:
            self.kill()

"""A broker of other code than mosquitto's: ejabberd's mod_mqtt, which speaks 3.1.1 and 5."""

import glob
import os
import re

from lab.erlang import Erlang
from lab.process import read

USER = "device@localhost"  # it has users only, and takes whoever says to be of its host
SLOW = 60.0


class Ejabberd(Erlang):
    """One node without a name, so that it wants no port mapper."""

    def __init__(self, *, folder, port, name="ejabberd"):
        self.host, self.port, self.address = "127.0.0.1", port, f"127.0.0.1:{port}"
        conf, self._log = (os.path.join(folder, f"ejabberd.{ending}") for ending in ("yml", "log"))
        with open(conf, "w", encoding="utf-8") as file:
            file.write(_CONF.format(port=port))
        # erl finds the newest version of what ejabberd consists of in the folder above.
        [beam, *_] = glob.glob("/usr/lib/*/ejabberd-*/ebin/mod_mqtt.beam")
        super().__init__(
            [
                *("erl", "-noinput"),
                *("-mnesia", "dir", f'"{folder}/spool"'),
                *("-s", "ejabberd"),
            ],
            folder=folder,
            name=name,
            env={
                "ERL_LIBS": os.path.dirname(os.path.dirname(os.path.dirname(beam))),
                "EJABBERD_CONFIG_PATH": conf,
                "EJABBERD_LOG_PATH": self._log,
            },
        )
        self.logs.append(self._log)

    def start(self):
        """Start; returns when it accepts."""
        super().start()
        self.wait_for_output("Start accepting TCP connections", timeout=SLOW)
        return self

    def clients(self) -> list[str]:
        """Client identifiers that connected so far, in order."""
        return re.findall(rf"Opened MQTT session for {USER}/(\S+) from", read(self._log))


_CONF = """\
hosts: [localhost]
loglevel: info
listen:
  - {{port: {port}, ip: "127.0.0.1", module: mod_mqtt}}
auth_method: [anonymous]
anonymous_protocol: login_anon
modules:
  mod_mqtt: {{}}
"""

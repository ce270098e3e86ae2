"""A broker that reads PROXY headers itself: RabbitMQ's MQTT plugin, which speaks 3.1 and 3.1.1."""

import os
import re

from lab.erlang import Erlang

SLOW = 90.0  # it takes ten seconds on an idle machine


class RabbitMQ(Erlang):
    """One node with a port mapper of its own, all in `folder`."""

    def __init__(self, *, folder, ports, name="rabbitmq", web=False):
        """`ports` gives three: for MQTT, the port mapper, and what other nodes would connect to.

        With `web` one more is for MQTT by WebSocket, at /mqtt on `web_port`; it reads no header.
        """
        self.host, self.port = "127.0.0.1", ports.free()
        self.address = f"127.0.0.1:{self.port}"

        def inside(file):
            return os.path.join(folder, file)

        conf, plugins = _CONF.format(port=self.port), "[rabbitmq_mqtt].\n"
        if web:
            self.web_port = ports.free()
            conf += _WEB_CONF.format(port=self.web_port)
            plugins = "[rabbitmq_mqtt,rabbitmq_web_mqtt].\n"
        _write(inside("rabbitmq.conf"), conf)
        _write(inside("plugins"), plugins)
        super().__init__(
            ["/usr/lib/rabbitmq/bin/rabbitmq-server"],
            folder=folder,
            name=name,
            env={
                "ERL_EPMD_PORT": str(ports.free()),
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODENAME": "tidegate@localhost",
                "RABBITMQ_DIST_PORT": str(ports.free()),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                    "-kernel inet_dist_use_interface {127,0,0,1}"
                ),
                "RABBITMQ_CONF_ENV_FILE": inside("no-such-file"),
                "RABBITMQ_CONFIG_FILE": inside("rabbitmq.conf"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": inside("plugins"),
                "RABBITMQ_FEATURE_FLAGS_FILE": inside("feature-flags"),
                "RABBITMQ_GENERATED_CONFIG_DIR": inside("generated"),
                "RABBITMQ_LOG_BASE": inside("log"),
                "RABBITMQ_MNESIA_BASE": inside("mnesia"),
                "RABBITMQ_PID_FILE": inside("rabbitmq.pid"),
            },
        )

    def start(self):
        """Start; returns when it accepts."""
        super().start()
        self.wait_for_output("Server startup complete", timeout=SLOW)
        return self

    def told(self) -> list[tuple[str, str]]:
        """(client address, client identifier) of those that connected, as the header told them."""
        pattern = r"accepting MQTT connection <\S+ \((\S+):\d+ -> \S+, client id: (\S+)\)"
        return re.findall(pattern, self.output())


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


_CONF = """\
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:{port}
mqtt.proxy_protocol = true
mqtt.allow_anonymous = true
log.file = false
log.console = true
log.console.level = info
"""

_WEB_CONF = """
web_mqtt.tcp.ip = 127.0.0.1
web_mqtt.tcp.port = {port}
web_mqtt.ws_path = /mqtt
"""

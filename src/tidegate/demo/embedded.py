"""A broker for machines without mosquitto: amqtt on a loopback port, MQTT 3.1.1 only.

`python -m tidegate.demo.embedded PORT` runs one and prints who comes and goes in mosquitto's words,
which `nodes` reads.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import Any

# Installed with the extra `demo` alone, so that the type checker does not know them.
from amqtt.broker import Broker  # type: ignore[import-not-found,import-untyped,unused-ignore]
from amqtt.plugins.base import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    BasePlugin,
)


class Report(BasePlugin):  # type: ignore[misc,type-arg,unused-ignore]
    """Prints who is connected."""

    async def on_broker_client_connected(self, *, client_id: str, **_: Any) -> None:  # noqa: ANN401
        """One more client."""
        print(f"New client connected from loopback as {client_id}", flush=True)  # noqa: T201

    async def on_broker_client_disconnected(
        self,
        *,
        client_id: str,
        **_: Any,  # noqa: ANN401
    ) -> None:
        """One client fewer."""
        print(f"Client {client_id} disconnected.", flush=True)  # noqa: T201


async def run(port: int) -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                f"{Report.__module__}.{Report.__qualname__}": {},
            },
        }
    )
    await broker.start()
    await ended.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    # amqtt looks the plug-in up by its module's real name.
    sys.modules["tidegate.demo.embedded"] = sys.modules["__main__"]
    Report.__module__ = "tidegate.demo.embedded"
    asyncio.run(run(int(sys.argv[1])))

"""mqtt.js, the client of browsers and of Node.js, as a program that comes and goes."""

import json
import os
import subprocess

from lab.waiting import PATIENCE

HERE = os.path.dirname(os.path.abspath(__file__))
# Where scripts/peers puts packages of npm.
MODULES = os.path.join(HERE, "..", "..", ".venv", "peers", "node_modules")


def mqttjs(port, client_id, *, version, messages=(["x", 0],), path=None, **options):
    """Send [payload, qos]… to itself; what it tells: {"got": [[payload, qos]…]} or {"error": …}.

    `options` are mqtt.js's own: username, password, keepalive …; with `ca`, a file, it speaks TLS,
    and `cert` and `key` are files, too. With a `path` it comes by WebSocket.
    """
    url = None if path is None else f"{'wss' if 'ca' in options else 'ws'}://127.0.0.1:{port}{path}"
    options |= {
        "host": "127.0.0.1",
        "port": port,
        "clientId": client_id,
        "protocolVersion": version,
        "protocolId": "MQIsdp" if version == 3 else "MQTT",
    }
    job = {"options": options, "messages": list(messages), "url": url}
    done = subprocess.run(
        ["node", os.path.join(HERE, "mqttjs.js"), json.dumps(job)],
        env={**os.environ, "NODE_PATH": MODULES},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

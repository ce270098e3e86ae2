"""A worker that gave up its rights needs nothing of folders that only root can read.

The package is copied to such a folder. The copy gets two additions: a fault in the decision for one
upstream, and a record of every import after the rights went. Python's own modules may lie in a
private folder as well, so no import at all is allowed.
"""

import errno
import os
import re
import shutil
import socket

import pytest

from lab import packets, proc, sockets
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("root")

FAULT = """

def _plan(self, session, peer, *, real=Proxy.plan):
    if self.upstream.name == "faulty":
        raise ZeroDivisionError("a fault of ours")
    return real(self, session, peer)


Proxy.plan = _plan
"""

RECORD = """

def _restrict(model, *, report, real=restrict):
    import sys
    record = open({path!r}, "a", buffering=1)
    real(model, report=report)

    def note(event, details):
        if event == "import":
            record.write(f"{{details[0]}}\\n")

    sys.addaudithook(note)


restrict = _restrict
"""

STREAM = """
  log_format json escape=json '{{"$remote_addr":"$upstream_addr $status $protocol"}}';
  access_log json.log json;
  upstream faulty {{ server {node}; }}
  upstream nodes {{ hash $mqtt_preread_clientid consistent; server {node}; server {dead}; }}
  upstream dead {{ server {dead}; server {dead} backup; }}
  server {{ listen 127.0.0.1:{ports[0]}; proxy_pass faulty; }}
  server {{ listen 127.0.0.1:{ports[1]}; proxy_pass dead; proxy_connect_timeout 1s; }}
  server {{ listen 127.0.0.1:{ports[2]}; return 'Größe $remote_addr\\n'; }}
  server {{ listen [::1]:{ports[3]}; proxy_pass {node}; proxy_bind $remote_addr; }}
  server {{ listen unix:{folder}/in.sock; proxy_pass {node}; proxy_protocol on;
           proxy_half_close on; }}
  server {{ listen 127.0.0.1:{ports[4]}; proxy_pass nodes; mqtt_preread on; mqtt on;
           mqtt_set_connect clientid gate-$mqtt_preread_clientid; mqtt_next_upstream error; }}
"""


@pytest.fixture
def private(instance):
    """The instance with a copy of the package that only root can read; what it imported late."""
    folder = os.path.join(instance.folder, "private")
    os.mkdir(folder, 0o700)
    ignored = shutil.ignore_patterns("__pycache__", "*.c", "*.pyx", "*.pxd")
    package = shutil.copytree(f"{instance.source}/tidegate", f"{folder}/tidegate", ignore=ignored)
    instance.source = folder
    instance.imported = os.path.join(instance.folder, "imported")
    for name, text in (
        ("stream/proxy.py", FAULT),
        ("process/rights.py", RECORD.format(path=instance.imported)),
    ):
        with open(os.path.join(package, name), "a", encoding="utf-8") as file:
            file.write(text)
    return instance


def ask(target, words=b"hello", **options):
    """Say something, and hear everything until the end, which may be a reset."""
    with sockets.open_raw(target, **options) as client:
        try:
            client.sendall(words)
            client.shutdown(socket.SHUT_WR)
            return sockets.receive_all(client)
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                raise
            return b""


def test_sessions_of_every_kind_need_no_module_any_more(private, lab):
    ports = [lab.ports.free() for _ in range(5)]
    node = lab.node()
    private.configure(
        main="user daemon; worker_shutdown_timeout 1s;",
        workers=1,
        level="debug",
        stream=STREAM.format(
            ports=ports,
            node=node.address,
            dead=f"127.0.0.1:{lab.ports.free()}",
            folder=private.folder,
        ),
    )
    private.start()
    [worker] = private.workers()
    assert os.stat(f"/proc/{worker}").st_uid != 0

    private.connect().close()
    assert ask(ports[1]) == b""
    assert ask(ports[2], b"") == "Größe 127.0.0.1\n".encode()
    assert ask(ports[3], host="::1") == b""
    assert ask(f"{private.folder}/in.sock").startswith(b"PROXY UNKNOWN")
    changed = packets.connect("gate-\u00e9")
    with sockets.open_raw(ports[4]) as client:
        # No end behind it: a client that leaves before its answer is not served.
        client.sendall(packets.connect("\u00e9"))
        assert sockets.receive(client, len(changed)) == changed
    assert ask(ports[4], b"GET / HTTP/1.1\r\n\r\n") == b""
    assert ask(ports[0]) == b""

    assert private.run("-s", "reopen").returncode == 0
    private.wait_for("reopening logs")
    private.connect().close()
    assert private.run("-s", "quit").returncode == 0
    private.wait_gone(worker)

    said = "\n".join(private.messages(level="error"))
    assert "ZeroDivisionError: a fault of ours" in said
    assert re.search(r'File ".*/private/tidegate/stream/proxy.py", line \d+, in _plan', said)
    assert "connect() failed (111: Connection refused)" in said
    assert "bind(::1) failed" in private.log
    assert "ImportError" not in private.log
    assert "ModuleNotFoundError" not in private.log
    with open(private.imported, encoding="utf-8") as file:
        assert file.read().split() == []


def test_a_worker_that_replaces_a_killed_one_starts_as_well(private):
    private.configure(main="user daemon;", workers=1)
    private.start()
    [first] = private.workers()
    os.kill(first, 9)
    private.wait_for(f"worker process {first} exited on signal 9")
    wait_until(lambda: private.workers() not in ([], [first]), "a new one starts")
    [second] = private.workers()
    inodes = proc.listening_inodes(private.port)
    wait_until(lambda: proc.accepts(second, inodes), "it accepts")
    private.connect().close()

"""The proxies that are compared, each with the same settings, as processes of our own.

Newer ones are named by the environment: BENCH_NGINX and BENCH_HAPROXY are paths of programs.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import machine

from tidegate.bench.upgrade import request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certificates import Tls

# Equal for all: a read of at most this size.
BUFFER = 16384
BACKLOG = 4096
# So that all agree with the generator on the same; those of TLS 1.3 are the same anyway.
CIPHERS, CURVE = "ECDHE+AESGCM", "X25519"
# What one process may open here; HAProxy counts connections, each two descriptors.
DESCRIPTORS = 20_000
PATIENCE = 15.0
STREAM_MODULE = "ngx_stream_module.so"
# Beside the one that nginx itself names.
MODULE_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules")
# Answered as an echo is, once all is ready: any other answer counts as none, and is the row's end.
UPGRADE = request("bench.example", "/mqtt", b"AAAAAAAAAAAAAAAAAAAAAA==")
NAMES = ("nginx", "haproxy", "tidegate", "relay", "openssl")


class BenchError(Exception):
    """Something that is measured did not start, or did not work; the text is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A proxy that can be started."""

    name: str
    version: str
    program: str
    # Which others it is compared with: "peer" for nginx, HAProxy and a tidegate that does not read
    # MQTT, "limit" for the C relay and for a server that does TLS and nothing else.
    role: str


@dataclass(slots=True, kw_only=True)
class Running:
    """A proxy that runs in front of the responder."""

    peer: Peer
    port: int
    process: subprocess.Popen[bytes]
    log: str
    tls: Tls | None = None
    websocket: bool = False
    ready_after: float = 0.0  # seconds from its start to the first connection through it
    pids: list[int] = field(default_factory=list)

    @property
    def gone(self) -> list[int]:
        """Those of its processes that have ended by themselves."""
        return [pid for pid in self.pids if not machine.alive(pid)]

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        said = ""
        for path in (self.log, error_log(self)):
            with (
                contextlib.suppress(OSError),
                open(path, encoding="utf-8", errors="replace") as file,
            ):
                said += file.read()
        return said[-2000:].strip()


def error_log(running: Running) -> str:
    """Where nginx and tidegate write theirs."""
    return f"{running.log.removesuffix('.log')}-error.log"


def find(relay: str, terminator: str | None) -> tuple[list[Peer], dict[str, str]]:
    """The proxies that are there, with compiled ones of ours; and by name why others are not."""
    found: list[Peer] = []
    missing: dict[str, str] = {}
    for name, pattern, option in (
        ("nginx", r"nginx/(\S+)", "-v"),
        ("haproxy", r"version (\d\S*?)-?\d* ", "-v"),
    ):
        variable = f"BENCH_{name.upper()}"
        program = os.environ.get(variable) or _which(name)
        version = _said([program, option], pattern) if program else None
        if program is None:
            missing[name] = f"not installed; {variable} may name one"
        elif version is None:
            missing[name] = f'"{program}" is no {name} that can be run'
        else:
            found.append(Peer(name=name, version=version, program=program, role="peer"))
    version = _said([*TIDEGATE, "-v"], r"tidegate/(\S+)") or "?"
    found.append(Peer(name="tidegate", version=version, program=TIDEGATE[0], role="ours"))
    found.append(Peer(name="relay", version="C", program=relay, role="limit"))
    if terminator is not None:
        version = _said(["openssl", "version"], r"OpenSSL (\S+)") or "?"
        found.append(Peer(name="openssl", version=version, program=terminator, role="limit"))
    return found, missing


TIDEGATE = [sys.executable, "-m", "tidegate.cli.main"]


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def _said(command: list[str], pattern: str) -> str | None:
    """What stands in a program's words; None where it does not, or the program does not run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else None


@contextlib.contextmanager
def started(
    peer: Peer,
    *,
    folder: str,
    target: tuple[str, int],
    cores: set[int],
    workers: int = 1,
    reads: str = "",
    tls: Tls | None = None,
    websocket: bool = False,
) -> Iterator[Running]:
    """Run a proxy in front of `target`, on `cores` only, until the block ends.

    What it `reads`: see `Scenario`.
    """
    port = free_port()
    log = os.path.join(folder, f"{peer.name}-{port}.log")
    settings = Settings(
        port=port, target=target, workers=workers, reads=reads, tls=tls, websocket=websocket
    )
    command = _command(peer, folder, settings)
    before = time.monotonic()
    process = popen(command, cores=cores, log=log, cwd=folder)
    running = Running(peer=peer, port=port, process=process, log=log, tls=tls, websocket=websocket)
    try:
        wait_for_echo(running, before)
        running.pids = machine.tree(process.pid)
        yield running
    except (BenchError, FileNotFoundError, ProcessLookupError) as error:
        if not running.gone:
            raise
        gone = ", ".join(map(str, running.gone))
        raise BenchError(f"{peer.name}: process {gone} has ended\n{running.last_words}") from error
    finally:
        stop(process)


def popen(command: list[str], *, cores: set[int], log: str, cwd: str) -> subprocess.Popen[bytes]:
    """Start a program on `cores`; it dies with us."""
    if shutil.which("setpriv") is None:
        raise BenchError("setpriv is not installed (Debian: util-linux)")
    ours = os.sched_getaffinity(0)
    # Inherited by what is started, and by all that it starts.
    os.sched_setaffinity(0, cores)
    try:
        with open(log, "ab") as out:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *command],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
    finally:
        os.sched_setaffinity(0, ours)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    pids = machine.tree(process.pid) if process.poll() is None else []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()
    for pid in pids:
        # A number that was taken anew belongs to a process of another parent.
        if os.path.exists(f"/proc/{pid}") and pid != process.pid and _is_proxy(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_proxy(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(name in words for name in (b"nginx", b"haproxy", b"tidegate"))


def wait_for_echo(running: Running, before: float) -> None:
    """Wait until a connection through the proxy gives its bytes back."""
    while time.monotonic() - before < PATIENCE:
        if running.process.poll() is not None:
            break
        try:
            with _connect(running) as sock:
                sock.sendall(UPGRADE if running.websocket else b"e")
                if sock.recv(1) == (b"H" if running.websocket else b"e"):
                    running.ready_after = time.monotonic() - before
                    return
        except OSError:
            time.sleep(0.002)
    raise BenchError(f"{running.peer.name} relays nothing\n{running.last_words}")


def _connect(running: Running) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", running.port), timeout=1)
    if running.tls is None:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(*running.tls.client)
    return context.wrap_socket(sock)


def free_port() -> int:
    """A port that nobody listens on; below those that outgoing connections take."""
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            return port


# --- configurations ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the files of all proxies have in common."""

    port: int
    target: tuple[str, int]
    workers: int
    reads: str
    tls: Tls | None = None
    websocket: bool = False

    @property
    def nodes(self) -> list[str]:
        """The addresses of the nodes; to choose by client ID is nothing where there is only one."""
        host, port = self.target
        hosts = [host]
        if self.reads == "clientid":
            # Responders listen on every address of this machine.
            hosts += [host.replace("127.1.", other) for other in ("127.2.", "127.3.")]
        return [f"{one}:{port}" for one in hosts]


def _command(peer: Peer, folder: str, settings: Settings) -> list[str]:
    conf = os.path.join(folder, f"{peer.name}-{settings.port}.conf")
    if peer.name == "relay":
        host, port = settings.target
        return [peer.program, str(settings.port), host, str(port)]
    if peer.name == "openssl" and (tls := settings.tls):
        words = [tls.version, tls.certificate, tls.key, *([tls.ca] if tls.mutual else [])]
        return [peer.program, str(settings.port), *words]
    text = _haproxy(settings) if peer.name == "haproxy" else _nginx(peer, folder, settings)
    with open(conf, "w", encoding="utf-8") as file:
        file.write(text)
    if peer.name == "haproxy":
        return [peer.program, "-db", "-f", conf]
    return [*([peer.program] if peer.name == "nginx" else TIDEGATE), "-c", conf, "-p", folder]


def _nginx(peer: Peer, folder: str, settings: Settings) -> str:
    """nginx's file, which is tidegate's too, but for MQTT."""
    module = ""
    if peer.name == "nginx" and (path := stream_module(peer.program)):
        module = f"load_module {path};"
    user = "user root;" if os.geteuid() == 0 else ""
    reads = settings.reads if peer.name == "tidegate" else ""
    preread = "mqtt_preread on;" if reads else ""
    method = "hash $mqtt_preread_clientid consistent;" if reads == "clientid" else ""
    servers = " ".join(f"server {node};" for node in settings.nodes)
    own = f"{folder}/{peer.name}-{settings.port}"
    served = f"""stream {{
    access_log off;
    tcp_nodelay on;
    {preread}
    upstream nodes {{ {method} {servers} }}
    server {{
        listen 127.0.0.1:{settings.port}{" ssl" if settings.tls else ""} backlog={BACKLOG};
        {_nginx_tls(settings.tls) if settings.tls else ""}
        proxy_pass nodes;
        proxy_buffer_size {BUFFER};
        proxy_connect_timeout 10s;
        proxy_timeout 10m;
    }}
}}"""
    if settings.websocket:
        served = _nginx_http(settings, servers)
    return f"""\
{module}
{user}
daemon off;
worker_processes {settings.workers};
worker_rlimit_nofile {DESCRIPTORS};
pid {own}.pid;
error_log {own}-error.log error;
events {{ worker_connections {DESCRIPTORS}; }}
{served}
"""


def _nginx_http(settings: Settings, servers: str) -> str:
    return f"""http {{
    access_log off;
    upstream nodes {{ {servers} }}
    server {{
        listen 127.0.0.1:{settings.port} backlog={BACKLOG};
        location /mqtt {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "Upgrade";
            proxy_set_header Host $host;
            proxy_buffer_size {BUFFER};
            proxy_buffers 4 {BUFFER};
            proxy_connect_timeout 10s;
            proxy_read_timeout 10m;
        }}
    }}
}}"""


def _nginx_tls(tls: Tls) -> str:
    verify = f"ssl_verify_client on; ssl_client_certificate {tls.ca};" if tls.mutual else ""
    return f"""\
ssl_certificate {tls.certificate};
        ssl_certificate_key {tls.key};
        ssl_protocols TLSv{tls.version};
        ssl_ciphers {CIPHERS};
        ssl_ecdh_curve {CURVE};
        {verify}"""


def stream_module(nginx: str) -> str:
    """Where nginx's stream module is, "" when it is built in; BenchError where there is none."""
    if _said([nginx, "-V"], r"(--with-stream)(?:\s|$)"):
        return ""
    named = _said([nginx, "-V"], r"--modules-path=(\S+)")
    prefix = _said([nginx, "-V"], r"--prefix=(\S+)") or "/usr/local/nginx"
    folders = [named or f"{prefix}/modules", *MODULE_FOLDERS]
    for folder in folders:
        if os.path.exists(path := os.path.join(folder, STREAM_MODULE)):
            return path
    raise BenchError(
        f"nginx has no {STREAM_MODULE} in {', '.join(folders)} (Debian: libnginx-mod-stream)"
    )


def _haproxy(settings: Settings) -> str:
    preread = method = ""
    if settings.reads == "clientid":
        # A `balance hash` that reads the payload itself finds none, and clients take turns.
        key = "req.payload(0,0),mqtt_field_value(connect,client_identifier)"
        preread = f"""
    tcp-request inspect-delay 30s
    tcp-request content set-var(sess.clientid) {key} if {{ req.len gt 0 }}
    tcp-request content accept if {{ req.len gt 0 }}"""
        method = "balance hash var(sess.clientid)\n    hash-type consistent"
    servers = "\n".join(
        f"    server node{number} {node}" for number, node in enumerate(settings.nodes)
    )
    return f"""\
global
    nbthread {settings.workers}
    maxconn {DESCRIPTORS // 2 - 100}
    tune.bufsize {BUFFER}
defaults
    mode {"http" if settings.websocket else "tcp"}
    timeout connect 10s
    timeout client 10m
    timeout server 10m
    timeout tunnel 10m
frontend entrance
    bind 127.0.0.1:{settings.port} backlog {BACKLOG}{_haproxy_tls(settings.tls)}
    {preread}
    default_backend nodes
backend nodes
    {method}
{servers}
"""


def _haproxy_tls(tls: Tls | None) -> str:
    if tls is None:
        return ""
    verify = f" ca-file {tls.ca} verify required" if tls.mutual else ""
    return (
        f" ssl crt {tls.bundle} ssl-min-ver TLSv{tls.version} ssl-max-ver TLSv{tls.version}"
        f" ciphers {CIPHERS} curves {CURVE}{verify}"
    )

"""The real nginx as an oracle: its http part, asked which node a key or a client belongs to."""

import os
import socket

from lab import sockets
from lab.netns import WITH_HOSTS

METHODS = {
    "hash": "hash $http_x_key;",
    "consistent": "hash $http_x_key consistent;",
    "ip_hash": "ip_hash;",
}
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class HttpNginx:
    """One nginx with an upstream of the same servers for each of `METHODS`.

    The nodes that answer are the same nginx, on the addresses `nodes`.
    """

    def __init__(self, lab, servers, *, nodes, hosts=None):
        """`servers` are the texts after `server`; `hosts` maps names to lists of addresses."""
        self.port = lab.ports.free()
        self.path = os.path.join(lab.folder, "http.sock")
        prefix = []
        if hosts is not None:
            path = os.path.join(lab.folder, "hosts")
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(f"{ip} {name}\n" for name, ips in hosts.items() for ip in ips)
            prefix = [*WITH_HOSTS, path]
        self._nginx = lab.idle_balancer(self._conf(servers, nodes), program="nginx", prefix=prefix)
        self._nginx.start().wait_ready([self.port], 1, [self.path])
        self._socket = sockets.open_raw(self.port)
        self._answers = self._socket.makefile("rb")

    def ask(self, method, *, key=None, client=None) -> list[str]:
        """The addresses that were tried for a key or a client's address, the last one answered."""
        lines = [b"GET /%b HTTP/1.1" % method.encode(), b"Host: oracle"]
        if key is not None:
            lines.append(b"X-Key: " + key)
        if client is not None:
            lines.append(b"X-Real-IP: " + client.encode())
        self._socket.sendall(b"\r\n".join([*lines, b"", b""]))
        return self._tried()

    def ask_unix(self, method) -> list[str]:
        """As `ask`, by a client on a Unix socket."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(sockets.TIMEOUT)
            client.connect(self.path)
            client.sendall(f"GET /{method} HTTP/1.0\r\n\r\n".encode())
            head = sockets.receive_all(client)
        return _field(head.split(b"\r\n"), b"X-Tried")

    def close(self):
        """End the connection; nginx ends with the lab."""
        self._answers.close()
        self._socket.close()

    def _tried(self):
        lines = []
        while (line := self._answers.readline().rstrip(b"\r\n")) or not lines:
            assert line, "nginx closed the connection"
            lines.append(line)
        assert lines[0] == b"HTTP/1.1 204 No Content", lines
        return _field(lines, b"X-Tried")

    def _conf(self, servers, nodes):
        lines = [
            "user root;" if os.getuid() == 0 else "",
            "daemon off; worker_processes 1; pid balancer.pid; error_log error.log;",
            "events { worker_connections 1024; }",
            "http { access_log off; keepalive_requests 1000000; set_real_ip_from 127.0.0.1;",
            "large_client_header_buffers 4 128k; proxy_pass_request_headers off;",
            *(f"{kind}_temp_path {kind};" for kind in TEMPORARY),
        ]
        lines += [
            f"upstream {name} {{ {text} {' '.join(f'server {server};' for server in servers)} }}"
            for name, text in METHODS.items()
        ]
        lines += [
            f"server {{ listen 127.0.0.1:{self.port}; listen unix:{self.path};",
            "real_ip_header X-Real-IP; add_header X-Tried $upstream_addr always;",
            *(f"location = /{name} {{ proxy_pass http://{name}; }}" for name in METHODS),
            "}",
            f"server {{ {' '.join(f'listen {node};' for node in nodes)} return 204; }}",
            "}",
        ]
        return "\n".join(lines) + "\n"


def _field(lines, name) -> list[str]:
    value = next(line for line in lines if line.startswith(name + b": "))
    return value.partition(b": ")[2].decode().split(", ")

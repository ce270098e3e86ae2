"""Content of our own: models that have some, and a client of the control process."""

import http.client
import socket

from tidegate.config import model
from tidegate.config.model_http import Files, Http, HttpServer, Location, StubStatus
from tidegate.config.span import Span
from tidegate.dataclasses import replace
from tidegate.http.local import file_request, folder
from tidegate.variables.template import compile_template, parse

SPAN = Span("t.conf", 1, 1)
TYPES = (("html", "text/html"), ("txt", "text/plain"))
GETTERS = {"uri": lambda uri: uri, "nothing": lambda _uri: None}


def location(content, *, match="", text="/", **fields):
    """A location with this content and nginx's defaults."""
    usual = dict.fromkeys(Location.__slots__)
    given = {"nested": (), "types": TYPES, "default_type": "application/octet-stream"}
    return Location(
        **{**usual, **given, **fields, "match": match, "text": text, "content": content}
    )


def files(root, *, alias=False, index=("index.html",), tries=(), listed=False):
    """`root` and what goes with it."""
    return Files(
        root=parse(str(root)),
        alias=alias,
        index=tuple(map(parse, index)),
        try_files=tuple(map(parse, tries)),
        autoindex=listed,
    )


def request(place, uri, *, method="GET", headers=()):
    """What a worker would ask for a URI of this location; the only variable is `$uri`."""
    compiled = folder(place, place.content, lambda text: compile_template(text, GETTERS), {})
    return file_request(compiled, uri, method=method, uri=uri, headers=headers)


def of_http(*locations, outside=None):
    """An `http {}` with one server."""
    usual = dict.fromkeys(HttpServer.__slots__)
    outside = location(StubStatus()) if outside is None else outside
    server = HttpServer(**{**usual, "locations": locations, "outside": outside})
    return Http(
        upstreams=(),
        limit_conn_zones=(),
        servers=(server,),
        variables=(),
        tlvs=frozenset(),
        span=SPAN,
    )


def of_model(folder, **fields):
    """A model whose logs are in `folder`, with a status page."""
    log = model.ErrorLog(path=str(folder / "error.log"), level=model.Level.DEBUG)
    made = model.Model(
        files=(),
        user=None,
        group=None,
        worker_processes=1,
        worker_connections=100,
        worker_rlimit_nofile=None,
        worker_priority=0,
        worker_shutdown_timeout_ms=None,
        daemon=False,
        master_process=True,
        pid=str(folder / "t.pid"),
        error_logs=(log,),
        env=(),
        stream=None,
        http=of_http(location(StubStatus(), text="/status")),
    )
    return replace(made, **fields)


class Answer:
    """One answer, read to its end."""

    def __init__(self, sock, *, method="GET"):
        response = http.client.HTTPResponse(sock, method=method)
        response.begin()
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        self.rest = sock.recv(1)  # b"" where the connection ends behind it

    def raw(self):
        """The headers as a worker has them."""
        return [(name.encode(), value.encode()) for name, value in self.headers.items()]


def connect(path, *, timeout=30.0):
    """A connection to the control process."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(path)
    return sock


def ask(path, data):
    """Send a request, read its answer."""
    with connect(path) as sock:
        sock.sendall(data)
        return Answer(sock, method=data.split()[0].decode())

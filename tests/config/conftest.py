"""Configurations from text, with a name server of our own."""

import socket

import pytest

from tidegate.config.load import load
from tidegate.wire.address import Address

NAMES = {
    "emqx1": ["10.0.0.1"],
    "emqx2": ["10.0.0.2"],
    "both": ["10.0.0.3", "fd00::3"],
    "pair": ["10.0.0.4", "10.0.0.5"],
}


def look_up(host, port):
    """Addresses of the names above; OSError for others."""
    if host not in NAMES:
        raise OSError(host)
    return [
        Address(family=socket.AF_INET6 if ":" in one else socket.AF_INET, host=one, port=port)
        for one in NAMES[host]
    ]


class Folder:
    """A folder of configuration files; `load` reads `tidegate.conf` in it."""

    def __init__(self, path):
        self.path = path

    def write(self, text, name="tidegate.conf"):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            file.write_bytes(text)
        else:
            file.write_text(text)
        return str(file)

    def load(self, text=None, **options):
        if text is not None:
            self.write(text)
        options.setdefault("resolve", look_up)
        return load("tidegate.conf", prefix=str(self.path), **options)

    def model(self, text, **options):
        """The model of a configuration that must be in order."""
        loaded = self.load(text, **options)
        assert loaded.first_error is None, loaded.first_error.headline
        return loaded.model

    def stream(self, text, **options):
        return self.model(f"events {{}}\nstream {{\n{text}\n}}\n", **options).stream

    def server(self, text, **options):
        (server,) = self.stream(f"server {{ {text} }}", **options).servers
        return server

    def http(self, text, **options):
        return self.model(f"events {{}}\nhttp {{\n{text}\n}}\n", **options).http

    def location(self, text, *, around="", **options):
        """The one location of the one server, whose contents are `text`."""
        http = self.http(f"{around} server {{ listen 80; location / {{ {text} }} }}", **options)
        return http.servers[0].locations[0]

    def errors(self, text, **options):
        """The messages of all errors, without their places."""
        loaded = self.load(text, **options)
        return [problem.message for problem in loaded.problems if problem.fatal]

    def warnings(self, text, **options):
        loaded = self.load(text, **options)
        return [problem.message for problem in loaded.problems if not problem.fatal]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)

"""`syslog:` in the place of a log's file, with nginx's names, defaults and words."""

from __future__ import annotations

import socket

import pytest

from tidegate.config.model import Level, Syslog
from tidegate.wire.address import Address

SERVER = Address(family=socket.AF_INET, host="10.1.2.3", port=514)


ONLY = "only allows alphanumeric characters and underscore"


def access(folder, text):
    stream = f"log_format f x; server {{ listen 1; return x; access_log {text} f; }}"
    return folder.stream(stream).servers[0].access_logs[0]


def test_the_defaults_are_those_of_nginx_but_for_the_tag(folder):
    log = access(folder, "syslog:server=10.1.2.3")
    assert log.syslog == Syslog(
        address=SERVER, facility=23, severity=6, tag="tidegate", hostname=True
    )
    assert (log.path, log.name, log.buffer) == ("syslog:10.1.2.3:514", None, None)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("server=10.1.2.3:1514", "syslog:10.1.2.3:1514"),
        ("server=[2001:db8::1]", "syslog:[2001:db8::1]:514"),
        ("server=unix:/dev/log", "syslog:unix:/dev/log"),
    ],
)
def test_a_server_is_an_address(folder, text, path):
    assert access(folder, f"syslog:{text}").path == path


def test_every_parameter_reaches_the_model(folder):
    text = "syslog:server=10.1.2.3,facility=cron,severity=warn,tag=gate_1,nohostname"
    assert access(folder, text).syslog == Syslog(
        address=SERVER, facility=15, severity=4, tag="gate_1", hostname=False
    )


def test_an_error_log_keeps_its_level(folder):
    (log,) = folder.model("error_log syslog:server=10.1.2.3,tag=x info; events {}").error_logs
    assert (log.level, log.path, log.syslog.tag) == (Level.INFO, "syslog:10.1.2.3:514", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'unknown syslog parameter ""'),
        ("tag=x", "no syslog server specified"),
        ("server=10.1.2.3,server=10.1.2.4", 'duplicate syslog "server"'),
        ("server=10.1.2.3,facility=local8", 'unknown syslog facility "local8"'),
        ("server=10.1.2.3,severity=loud", 'unknown syslog severity "loud"'),
        ("server=10.1.2.3,tag=a-b", f'syslog "tag" {ONLY}'),
        (f"server=10.1.2.3,tag={'x' * 33}", "syslog tag length exceeds 32"),
        ("server=10.1.2.3,nohostname=1", 'unknown syslog parameter "nohostname=1"'),
        ("server=10.1.2.3,tog=x", 'unknown syslog parameter "tog=x"'),
        ("server=10.1.2.3:x", 'invalid port in syslog server "10.1.2.3:x"'),
        ("server=", 'no host in syslog server ""'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(folder, text, message):
    assert folder.errors(f"error_log syslog:{text}; events {{}}") == [message]

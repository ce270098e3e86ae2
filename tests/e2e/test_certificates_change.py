"""Certificates that change are taken without a reload, and broken ones are not."""

import os
import shutil

import pytest

from lab.certificates import LOCAL_HOST
from lab.tls import client_context, connect, echoes
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("openssl")


def shown(port, authority):
    """The serial number of the certificate that a new handshake shows."""
    with connect(port, client_context(authority)) as sock:
        return int(sock.getpeercert()["serialNumber"], 16)


class Files:
    """The pair that the balancer has, exchanged as certbot and others do it: by rename."""

    def __init__(self, folder):
        self.certificate, self.key = (
            os.path.join(folder, "own.pem"),
            os.path.join(folder, "own.key"),
        )

    def put(self, certificate=None, key=None):
        for source, target in ((certificate, self.certificate), (key, self.key)):
            if source is not None:
                shutil.copy(source, f"{target}.new")
                os.chmod(f"{target}.new", 0o600)
                os.rename(f"{target}.new", target)


@pytest.fixture
def files(lab):
    return Files(lab.folder)


@pytest.fixture
def start(lab, files):
    def run(node, *, main=""):
        port = lab.ports.free()
        conf = (
            f"{main} worker_processes 2; daemon off; pid balancer.pid; error_log error.log info;"
            "events {} stream {"
            f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
            f" ssl_certificate {files.certificate}; ssl_certificate_key {files.key}; }} }}"
        )
        balancer = lab.idle_balancer(conf)
        balancer.start().wait_ready([port], 2)
        return balancer, port

    return run


def test_a_new_pair_is_taken_and_sessions_go_on(lab, authority, files, start):
    files.put(*authority.sign("before", serial=0xA1, extensions=LOCAL_HOST))
    # Workers are nobody, who cannot read the key.
    balancer, port = start(lab.node(), main="user nobody nogroup;" if os.geteuid() == 0 else "")
    with connect(port, client_context(authority)) as session:
        assert echoes(session)
        assert shown(port, authority) == 0xA1
        workers = balancer.workers()
        files.put(*authority.sign("after", serial=0xA2, extensions=LOCAL_HOST))
        wait_until(lambda: shown(port, authority) == 0xA2, "the new certificate", timeout=30)
        balancer.wait_for_output("certificates have changed, new handshakes use them")
        assert all(shown(port, authority) == 0xA2 for _ in range(20))
        assert echoes(session)
        assert balancer.workers() == workers


def test_a_pair_that_does_not_fit_is_not_taken_until_it_does(lab, authority, files, start):
    files.put(*authority.sign("old", serial=0xB1, extensions=LOCAL_HOST))
    balancer, port = start(lab.node())
    certificate, key = authority.sign("fitting", serial=0xB2, extensions=LOCAL_HOST)
    files.put(certificate)
    balancer.wait_for_output(f'SSL_CTX_use_PrivateKey("{files.key}") failed', timeout=40)
    assert "the former one stays in use" in balancer.errors()
    assert shown(port, authority) == 0xB1
    files.put(key=key)
    wait_until(lambda: shown(port, authority) == 0xB2, "the new certificate", timeout=40)


def test_an_end_that_is_near_is_told(lab, authority, files, start):
    files.put(*authority.sign("short", days=3, extensions=LOCAL_HOST))
    balancer, _port = start(lab.node())
    balancer.wait_for_output(f'the certificate "{files.certificate}" expires in 2 days', timeout=30)
    del authority


def test_no_key_is_shown_anywhere(lab, authority, files, start):
    files.put(*authority.sign("secret", extensions=LOCAL_HOST))
    balancer, port = start(lab.node())
    with connect(port, client_context(authority)) as sock:
        assert echoes(sock)
    with open(files.key) as file:
        secret = file.read().splitlines()[1]
    from tidegate.config.load import load  # noqa: PLC0415

    loaded = load(balancer.conf, prefix=lab.folder)
    assert loaded.model is not None
    assert secret not in repr(loaded)
    assert secret.encode() not in repr(loaded.model.stream.servers[0].tls).encode()
    assert secret not in balancer.output()

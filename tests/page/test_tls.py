"""The page's configurations for TLS, with its directives and values; paths are the test's own."""

import contextlib
import os
import re
import subprocess

import pytest

from lab.certificates import LOCAL_HOST, Authority
from lab.clients import mosquitto_pub
from lab.tls import V12, V13, client_context, greets, refusal
from lab.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.needs("mosquitto", "openssl")

FOLDER = os.path.dirname(__file__)
MUTUAL = re.compile(r"# (ssl_client_certificate|ssl_verify_client|ssl_verify_depth)")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The files that the page names, and a device of the same authority."""
    ours = Authority(str(tmp_path_factory.mktemp("page")))
    certificate, key = ours.sign("emqx", extensions=LOCAL_HOST)
    os.rename(certificate, ours.path("emqx.pem"))
    device = ours.sign("device", subject="/O=Fleet, Inc./CN=gerät 7", serial=0x0123456789ABCDEF)
    del key
    return ours, device


@pytest.fixture
def conf(lab, world):
    """A page's text with our paths, ports and brokers."""

    def make(number, *, port, nodes):
        with open(os.path.join(FOLDER, f"{number}.conf")) as file:
            text = file.read()
        text = text.replace("/usr/local/nginx/certs", world[0].folder)
        text = text.replace("/etc/NGINX/certs/ca.crt", world[0].certificate)
        text = text.replace("/etc/NGINX/certs", world[0].folder)
        text = re.sub(r"listen( +)\d+", rf"listen\g<1>{port}", text)
        names = r"emqx\d-cluster\.emqx\.io:1883|10\.0\.0\.113:1883"
        left = iter(nodes)
        return re.sub(names, lambda _match: next(left), text)

    del lab
    return make


def start(lab, text, port):
    more = "daemon off; pid balancer.pid; error_log error.log info; user root;"
    if os.getuid() != 0:
        more = more.replace("user root;", "")
    balancer = lab.idle_balancer(text, directives=more)
    return balancer.start().wait_ready([port], 1)


@pytest.mark.needs("haproxy")
def test_02_ends_tls_and_tells_the_brokers_who_came(lab, world, conf):
    port = lab.ports.free()
    ports = [lab.ports.free(), lab.ports.free()]
    broker = lab.mosquitto()
    reader = lab.haproxy(ports=[("127.0.0.1", one) for one in ports], target=broker.address)
    nodes = [f"127.0.0.1:{one}" for one in ports]
    start(lab, conf("02", port=port, nodes=nodes), port)
    authority, _device = world
    more = ["--cafile", authority.certificate, "--tls-version", "tlsv1.2", "-i", "page-02"]
    mosquitto_pub(port, "hello", b"world", more=more)
    assert broker.clients() == ["page-02"]
    assert wait_until(reader.told, "haproxy logs what it was told")
    assert not greets(port, client_context(authority, version=V13))


def test_02_with_its_comment_lines_has_one_line_too_many(lab, world, conf, tmp_path):
    del lab
    text = MUTUAL.sub(r"\1", conf("02", port=8883, nodes=["127.0.0.1:1", "127.0.0.1:2"]))
    file = tmp_path / "02.conf"
    file.write_text(text)
    from tidegate.config.load import load  # noqa: PLC0415

    error = load(str(file), prefix=str(tmp_path)).first_error
    assert error.message == '"ssl_verify_depth" directive is duplicate'
    lines = text.splitlines()
    assert lines[error.span.line - 1].split() == ["ssl_verify_depth", "1;"]
    (first,) = re.findall(r":(\d+): remove one of them", error.hint)
    assert lines[int(first) - 1].split() == ["ssl_verify_depth", "2;"]
    del world


def test_02_verifies_without_the_line_that_is_too_many(lab, world, conf):
    port = lab.ports.free()
    node = lab.node()
    text = conf("02", port=port, nodes=[node.address, node.address])
    text = re.sub(r"ssl_verify_depth +2;", "", MUTUAL.sub(r"\1", text))
    start(lab, text.replace("proxy_protocol        on;", ""), port)
    authority, device = world
    assert greets(port, client_context(authority, version=V12, pair=device))
    assert refusal(port, client_context(authority, version=V12)) == "end"


def test_02_warns_of_protocols(world, conf, tmp_path):
    file = tmp_path / "02.conf"
    file.write_text(conf("02", port=8883, nodes=["127.0.0.1:1", "127.0.0.1:2"]))
    from tidegate.config.load import load  # noqa: PLC0415

    loaded = load(str(file), prefix=str(tmp_path))
    assert loaded.first_error is None
    assert [problem.message for problem in loaded.problems] == [
        '"ssl_protocols" leaves out TLSv1.3',
        "TLSv1 and TLSv1.1 cannot be used at OpenSSL's security level 2",
    ]
    del world


def test_10_a_device_has_its_serial_number_as_client_id(lab, world, conf):
    port = lab.ports.free()
    broker = lab.mosquitto()
    start(lab, conf("10", port=port, nodes=[broker.address]), port)
    authority, (certificate, key) = world
    more = ["--cafile", authority.certificate, "-i", "what-it-likes"]
    mosquitto_pub(port, "a", b"b", more=[*more, "--cert", certificate, "--key", key])
    assert broker.clients() == ["0123456789ABCDEF"]
    with contextlib.suppress(subprocess.CalledProcessError):
        mosquitto_pub(port, "a", b"b", more=more)
    assert broker.clients() == ["0123456789ABCDEF"]


def test_10_by_the_name_of_the_subject(lab, world, conf):
    port = lab.ports.free()
    broker = lab.mosquitto()
    text = conf("10", port=port, nodes=[broker.address]).replace("client_serial", "client_s_dn")
    start(lab, text, port)
    authority, (certificate, key) = world
    more = ["--cafile", authority.certificate, "--cert", certificate, "--key", key]
    mosquitto_pub(port, "a", b"b", more=more)
    wait_until(
        lambda: "as CN=ger\\C3\\A4t 7,O=Fleet\\, Inc. (p" in broker.output(),
        "the broker knows it by its DN",
        timeout=PATIENCE,
    )

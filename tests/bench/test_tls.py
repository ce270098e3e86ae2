"""Through TLS: to a real broker, and to servers that refuse or that are somebody else."""

from __future__ import annotations

import asyncio
import json
import ssl
import time

import pytest

from lab import proc
from lab.certificates import LOCAL_HOST, Authority
from lab.nodes import close_at_once, greet, hang
from lab.tls import SecureNode
from tidegate.bench.secure import TlsOptions, reason_of

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = Authority(str(tmp_path_factory.mktemp("authority")))
    made.sign("server", extensions=LOCAL_HOST)
    made.sign("other", subject="/CN=other", extensions="subjectAltName=DNS:other.example\n")
    made.sign("device")
    return made


@pytest.fixture
def broker(lab, authority):
    """A mosquitto with TLS on a port of its own; returns that port."""

    def broker(*, name="server", more=""):
        port = lab.ports.free()
        made = lab.mosquitto(
            extra=f"listener {port} 127.0.0.1\n"
            f"cafile {authority.certificate}\n"
            f"certfile {authority.path(name)}.pem\nkeyfile {authority.path(name)}.key\n{more}"
        )
        # It opens its ports one after the other.
        made.wait_until(lambda: proc.listening_inodes(port, pid=made.pid), f"listens on {port}")
        return port

    return broker


@pytest.fixture
def node(authority):
    """A TLS server that echoes; its context may be changed first."""
    nodes = []

    def node(change=lambda _: None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.path("server.pem"), authority.path("server.key"))
        change(context)
        nodes.append(SecureNode(context))
        return nodes[-1]

    yield node
    for made in nodes:
        made.clean_up()


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_messages_come_back_from_a_broker(broker, load, authority, version):
    result = load(
        "pingpong", broker(), count=10, payload=b"x" * 64, limit=200,
        tls=TlsOptions(ca=authority.certificate, version=version),
    )  # fmt: skip
    assert result.good
    assert result.counts["answered"] == 200
    assert result.counts["secured"] == result.times["TLS"].total == 10
    assert result.tls_terms[0] == f"TLSv{version}"


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("qos", [0, 1])
def test_large_messages_come_back_whole(broker, load, authority, qos):
    result = load(
        "pingpong", broker(), qos=qos, payload=b"x" * 1_000_000, limit=9,
        tls=TlsOptions(ca=authority.certificate),
    )  # fmt: skip
    assert result.good
    assert result.counts["answered"] == 9
    assert result.counts["bytes_received"] > 9_000_000


@pytest.mark.needs("mosquitto")
def test_a_client_has_its_certificate(broker, load, authority):
    port = broker(more="require_certificate true\n")
    pair = {"cert": authority.path("device.pem"), "key": authority.path("device.key")}
    known = load("conn", port, seconds=0.5, tls=TlsOptions(ca=authority.certificate, **pair))
    assert known.good
    unknown = load("conn", port, tls=TlsOptions(ca=authority.certificate, version="1.2"))
    assert unknown.faults == {"TLS failed": 3}
    assert unknown.reasons == {"TLS failed": {'it says "handshake failure"': 3}}


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_taken_up(broker, load, authority, version):
    result = load(
        "conn", broker(), count=2, reconnect=True, seconds=1.0,
        tls=TlsOptions(ca=authority.certificate, version=version, reuse=True),
    )  # fmt: skip
    assert result.good
    counts = result.counts
    assert counts["secured"] > 4
    assert counts["resumed"] == counts["secured"] - 2


def test_without_reuse_every_handshake_is_whole(node, load, authority):
    result = load(
        "pingpong", node().port, echo=True, payload=b"x", limit=9,
        tls=TlsOptions(ca=authority.certificate),
    )  # fmt: skip
    assert result.good
    assert (result.counts["secured"], result.counts["resumed"]) == (3, 0)


@pytest.mark.needs("mosquitto")
def test_the_summary_tells_version_cipher_and_time(broker, bench, authority):
    done = bench(
        "conn", "-h", "127.0.0.1", "-p", broker(), "-l", "mqtts", "-c", 4, "-i", 0,
        "--ca", authority.certificate, "--for", "0.5s",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "TLS          TLSv1.3, TLS_AES_256_GCM_SHA384; 4 handshakes, 0 of them resumed" in (
        done.stdout
    )
    assert any(line.startswith("TLS  ") and line.endswith(" 4") for line in done.stdout.split("\n"))


def test_json_has_the_terms_of_tls(node, bench, authority):
    done = bench(
        "pingpong", "-h", "127.0.0.1", "-p", node().port, "-l", "mqtts", "--echo", "-c", 1,
        "-L", 2, "--ca", authority.certificate, "--tls-version", "1.2", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout)
    assert result["tls"]["version"] == "TLSv1.2"
    assert result["reasons"] == {}
    assert result["times"]["tls"]["count"] == result["counts"]["secured"] == 1


def test_a_server_is_told_its_name_and_has_to_bear_it(node, load, authority):
    server = node()
    result = load(
        "pingpong", server.port, host="localhost", echo=True, payload=b"x", limit=3, count=1,
        tls=TlsOptions(ca=authority.certificate, alpn=("mqtt",)),
    )  # fmt: skip
    assert result.good
    assert server.clients[0]["name"] == "localhost"
    other = load(
        "pingpong", server.port, echo=True, payload=b"x",
        tls=TlsOptions(ca=authority.certificate, name="other.example"),
    )  # fmt: skip
    assert other.faults == {"TLS failed": 3}
    assert other.reasons == {"TLS failed": {"its certificate: hostname mismatch": 3}}


def test_an_authority_nobody_trusts_is_named_and_may_be_let_pass(node, load):
    port = node().port
    result = load("pingpong", port, echo=True, payload=b"x", tls=TlsOptions())
    assert result.reasons == {
        "TLS failed": {"its certificate: unable to verify the first certificate": 3}
    }
    insecure = load(
        "pingpong", port, echo=True, payload=b"x", limit=3, tls=TlsOptions(insecure=True)
    )
    assert insecure.good


@pytest.mark.parametrize(
    ("serve", "fault", "reasons"),
    [
        (close_at_once, "closed in the TLS handshake", {}),
        (hang, "no TLS handshake", {}),
        (greet(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS failed", {"it does not speak TLS": 3}),
    ],
)
def test_a_target_without_tls_is_said_to_be_one(lab, load, serve, fault, reasons):
    started = time.monotonic()
    result = load("conn", lab.node(serve).port, timeout=0.5, tls=TlsOptions(insecure=True))
    assert result.faults == {fault: 3}
    assert result.reasons == ({fault: reasons} if reasons else {})
    assert result.counts["open"] == 0
    assert time.monotonic() - started < 10


def test_a_version_that_is_not_spoken_is_refused(node, load):
    def only_13(context):
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    result = load("conn", node(only_13).port, tls=TlsOptions(insecure=True, version="1.2"))
    assert result.reasons == {"TLS failed": {'it says "protocol version"': 3}}


def test_a_connection_cut_in_the_middle_of_a_handshake_has_its_class(lab, load):
    async def cut(session):
        await session.recv()
        await asyncio.sleep(0.05)
        session.reset()

    result = load("conn", lab.node(cut).port, tls=TlsOptions(insecure=True))
    assert result.faults == {"closed in the TLS handshake": 3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ca", "none.pem"], 'cannot read "none.pem": No such file'),
        (["--ca", "KEY"], "--ca: there is no certificate in"),
        (["--cert", "KEY", "--key", "KEY"], "--cert: there is no certificate in"),
        (["--cert", "CERT", "--key", "CERT"], "--key: there is no key in"),
        (["--cert", "CERT", "--key", "OTHER"], "is not the key of"),
    ],
)
def test_files_that_cannot_be_used_are_named(bench, authority, words, said):
    paths = {
        "KEY": authority.path("device.key"),
        "CERT": authority.path("device.pem"),
        "OTHER": authority.path("other.key"),
    }
    done = bench("conn", "-l", "mqtts", *(paths.get(word, word) for word in words))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "verdict", "text"),
    [
        ("", "self-signed certificate", "its certificate: self-signed certificate"),
        ("wrong version number", "", "it does not speak TLS"),
        ("tlsv13 alert certificate required", "", 'it says "certificate required"'),
        ("no ciphers available", "", "no ciphers available"),
        ("", "", "no reason given"),
    ],
)
def test_reasons_are_words(error, verdict, text):
    assert reason_of(error, verdict) == text

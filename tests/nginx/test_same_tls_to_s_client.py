"""OpenSSL's own client at tidegate and at nginx: the same messages, alerts and variables."""

import contextlib

import pytest

from lab.certificates import LOCAL_HOST
from lab.fixtures import Lab
from lab.nodes import greet
from lab.s_client import GREETING, s_client
from lab.sockets import receive
from lab.tls import V12, client_context, connect
from lab.tls_beside import ESCAPES, PROGRAMS, SAFE, STRANGE, Beside

# Both programs are started once, so all of it is for one process.
pytestmark = [pytest.mark.needs("nginx", "openssl"), pytest.mark.xdist_group("s_client")]

VERSIONS = ("-tls1_2", "-tls1_3")
PLAIN, ALPN, NARROW, NO_TICKETS, SHARED, STRICT, DEEP, ANY = range(8)
ECHO = "hello", "\nhello\n"


@pytest.fixture(scope="module")
def beside(ports, people):
    """Both programs, once for all tests here."""
    ca = f"ssl_client_certificate {people.authority.certificate};"
    texts = {
        PLAIN: "",
        ALPN: "ssl_alpn mqtt x-amzn-mqtt-ca;",
        NARROW: "ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384; ssl_ecdh_curve secp384r1:prime256v1;",
        NO_TICKETS: "ssl_session_tickets off;",
        SHARED: "ssl_session_tickets off; ssl_session_cache shared:SSL:1m;",
        STRICT: f"{ca} ssl_verify_client on; ssl_crl {people.crl};",
        DEEP: f"{ca} ssl_verify_client optional; ssl_verify_depth 2;",
        ANY: f"{ca} ssl_verify_client optional_no_ca; ssl_verify_depth 3;",
    }
    pair = people.authority.sign("server", extensions=LOCAL_HOST)
    lab = Lab(ports)
    with contextlib.closing(lab):
        yield Beside(lab, texts.values(), node=lab.node(greet(GREETING)), pair=pair, variables=SAFE)


@pytest.fixture
def same(beside, people):
    """Run s_client at both, and compare all that it and the logs tell; gives what it told."""

    def compare(server, *arguments, **more):
        told = {}
        for program in PROGRAMS:
            words = [one.replace("PROGRAM", program) for one in arguments]
            port = beside.ports[program][server]
            told[program] = s_client(port, "-CAfile", people.authority.certificate, *words, **more)
        assert told["tidegate"] == told["nginx"]
        same_lines(beside)
        return told["nginx"]

    return compare


def same_lines(beside):
    """Compare the next line of each log."""
    ours, theirs = (beside.next_lines(program) for program in PROGRAMS)
    for escape in ESCAPES:
        assert ours[escape].split(b"|") == theirs[escape].split(b"|")


HELLOS = {
    "the name of a host": (PLAIN, ["-servername", "mqtt.example"]),
    "no name": (PLAIN, ["-noservername"]),
    "a protocol of ours": (ALPN, ["-alpn", "h2,mqtt"]),
    "two protocols of ours": (ALPN, ["-alpn", "x-amzn-mqtt-ca,mqtt"]),
    "no protocol of ours": (ALPN, ["-alpn", "h2"]),
    "no protocol at all": (ALPN, []),
    "a protocol where none is wanted": (PLAIN, ["-alpn", "mqtt"]),
    "another curve first": (NARROW, ["-curves", "X25519:P-256:P-384"]),
    "no curve of ours": (NARROW, ["-curves", "X448"]),
    "no cipher of ours": (NARROW, ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    "no cipher that the key can": (PLAIN, ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    "no signature that the key can": (PLAIN, ["-sigalgs", "RSA+SHA256"]),
    "a wish for OCSP": (PLAIN, ["-status"]),
    "records of 512 bytes": (PLAIN, ["-max_send_frag", "512"]),
    "the smallest records": (PLAIN, ["-maxfraglen", "512"]),
    "no wish for tickets": (PLAIN, ["-no_ticket"]),
    "a wish for compression": (PLAIN, ["-comp"]),
    "a debt to old servers": (PLAIN, ["-legacy_renegotiation"]),
    "no certificate where one is wanted": (STRICT, []),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("hello", HELLOS)
def test_a_hello_is_answered_alike(same, version, hello):
    server, arguments = HELLOS[hello]
    if "-cipher" in arguments and version == "-tls1_3":
        arguments = ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]
    told = same(server, version, *arguments, say=ECHO[:1], until=ECHO[1:])
    assert told.greeted or told.alerts


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_an_old_version_is_refused_alike(same, version):
    told = same(PLAIN, version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert told.alerts == ["fatal protocol_version"]


def test_a_renegotiation_is_refused_alike(same):
    told = same(PLAIN, "-tls1_2", say=["hello", "R"], until=["\nhello\n", "no renegotiation"])
    assert told.greeted
    assert told.alerts == ["warning no_renegotiation"]


def test_new_keys_are_agreed_on_alike(same):
    say, until = ["hello", "K", "hello"], ["\nhello\n", "KEYUPDATE", "\nhello\n"]
    told = same(PLAIN, "-tls1_3", say=say, until=until)
    assert told.messages[-1] == "Handshake KeyUpdate"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "who", ["none", "ours", "umlaut", "long", "expired", "revoked", "stranger", "deep", "rsa"]
)
def test_a_certificate_is_judged_alike(same, people, version, who):
    pair = people.pairs[who]
    arguments = ["-cert", pair[0], "-key", pair[1], "-cert_chain", pair[0]] if pair else []
    let_in = [same(server, version, *arguments).greeted for server in (STRICT, DEEP, ANY)]
    assert let_in[0] == (who in {"ours", "umlaut", "long", "rsa"})
    assert let_in[1] == (who not in {"expired", "stranger"})
    assert let_in[2] == (who != "expired")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("server", [PLAIN, NO_TICKETS, SHARED, DEEP])
@pytest.mark.parametrize("ticket", [[], ["-no_ticket"]], ids=["tickets", "no_ticket"])
def test_a_session_is_taken_up_alike(same, people, tmp_path, version, server, ticket):
    certificate, key = people.pairs["ours"]
    arguments = [version, *ticket, "-cert", certificate, "-key", key]
    session = f"{tmp_path}/PROGRAM"
    assert same(server, *arguments, "-sess_out", session).summary[-1] != "Reused"
    told = same(server, *arguments, "-sess_in", session)
    assert told.greeted
    reused = any(one.startswith("Reused") for one in told.summary)
    if version == "-tls1_2":
        # A client without tickets needs a cache.
        assert reused == (server == SHARED or (server != NO_TICKETS and not ticket))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("target", [NARROW, ALPN, STRICT, DEEP, ANY])
def test_a_session_is_no_way_in_elsewhere(beside, people, tmp_path, version, target):
    ports = beside.ports["tidegate"]
    ca, session = ["-CAfile", people.authority.certificate], f"{tmp_path}/session"
    assert s_client(ports[PLAIN], version, *ca, "-sess_out", session).greeted
    told = s_client(ports[target], version, *ca, "-sess_in", session)
    reused = any(one.startswith("Reused") for one in told.summary)
    # Those two have no checks that would be gone round.
    assert reused == (target in {NARROW, ALPN})
    assert told.greeted == (target != STRICT)
    for _ in range(2):
        beside.next_lines("tidegate")


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_certificate_is_told_alike(beside, people, what):
    for program in PROGRAMS:
        context = client_context(people.authority, version=V12, pair=people.strange[what])
        with connect(beside.ports[program][ANY], context) as sock:
            assert receive(sock, len(GREETING)) == GREETING
    same_lines(beside)

"""Two values of each `ssl_…` behave differently, to clients of Python's own TLS."""

import os
import re
import shutil
import time

import pytest

from lab.certificates import LOCAL_HOST, Authority, new_key, openssl
from lab.sockets import open_raw, receive_all
from lab.tls import V12, V13, client_context, connect, echoes, greets, refusal, resumed
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def servers(lab, server_pair):
    """Servers of one balancer, one for each text of directives; gives their ports."""

    def start(*texts, pair=server_pair, **options):
        node = lab.node()
        certificate, key = pair
        given = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
        ports = [lab.ports.free() for _ in texts]
        blocks = [
            f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
            f"{'' if 'ssl_certificate ' in text else given} {text} }}"
            for port, text in zip(ports, texts, strict=True)
        ]
        start.balancer = lab.balancer("\n".join(blocks), **options)
        return ports

    return start


@pytest.fixture(scope="session")
def rsa_pair(authority):
    return authority.sign("rsa-server", rsa=True, extensions=LOCAL_HOST)


@pytest.fixture(scope="session")
def client_pair(authority):
    return authority.sign("client", subject="/CN=device")


def test_ssl_certificate(servers, authority, server_pair, rsa_pair):
    both = "".join(
        f"ssl_certificate {certificate}; ssl_certificate_key {key};"
        for certificate, key in (server_pair, rsa_pair)
    )
    one, two = servers("", both)
    rsa = client_context(authority, version=V12, ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    ecdsa = client_context(authority, version=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert (greets(one, ecdsa), greets(one, rsa)) == (True, False)
    assert (greets(two, ecdsa), greets(two, rsa)) == (True, True)


def test_ssl_certificate_cache(servers, lab, authority):
    pairs = [authority.sign(name, extensions=LOCAL_HOST) for name in ("old", "new")]

    def put(pair):
        for source, kind in zip(pair, ("pem", "key"), strict=True):
            target = os.path.join(lab.folder, f"localhost.{kind}")
            shutil.copy(source, f"{target}.next")
            os.rename(f"{target}.next", target)

    names = (
        f"ssl_certificate {lab.folder}/$ssl_server_name.pem;"
        f" ssl_certificate_key {lab.folder}/$ssl_server_name.key;"
    )
    ports = servers(
        f"{names} ssl_certificate_cache off;",
        f"{names} ssl_certificate_cache max=10 inactive=1h valid=1h;",
        f"{names} ssl_certificate_cache max=10 inactive=1h valid=0;",
        f"{names} ssl_certificate_cache max=1 inactive=1h valid=1h;",  # the key takes its room
    )
    context = client_context(authority)
    shown = []
    for pair in pairs:
        put(pair)
        for port in ports:
            with connect(port, context, name="localhost") as sock:
                shown.append(sock.getpeercert()["subject"][0][0][1])
    assert shown == ["old"] * 4 + ["new", "old", "new", "new"]


def test_a_chain_goes_with_the_certificate(servers, authority):
    middle = Authority(authority.folder, name="middle", subject="/CN=Middle", parent=authority)
    (port,) = servers("", pair=middle.sign("below", extensions=LOCAL_HOST))
    assert greets(port, client_context(authority))


def test_ssl_password_file(servers, lab, authority):
    key = os.path.join(lab.folder, "locked.key")
    new_key(key, password="open sesame")
    plain = openssl("pkey", "-in", key, "-passin", "pass:open sesame")
    with open(authority.path("locked-server.key"), "w") as file:
        file.write(plain)
    certificate, _ = authority.sign("locked-server", extensions=LOCAL_HOST)
    passwords = os.path.join(lab.folder, "passwords")
    with open(passwords, "w") as file:
        file.write("wrong\nopen sesame\n")
    (port,) = servers(f"ssl_password_file {passwords};", pair=(certificate, key))
    assert greets(port, client_context(authority))


def test_ssl_protocols(servers, authority):
    only_12, only_13 = servers("ssl_protocols TLSv1.2;", "ssl_protocols TLSv1.3;")
    speaks = {
        (port, version): greets(port, client_context(authority, version=version))
        for port in (only_12, only_13)
        for version in (V12, V13)
    }
    assert speaks == {
        (only_12, V12): True,
        (only_12, V13): False,
        (only_13, V12): False,
        (only_13, V13): True,
    }


def test_ssl_ciphers(servers, authority):
    wide, narrow = servers("", "ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;")
    context = client_context(authority, version=V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    assert (greets(wide, context), greets(narrow, context)) == (True, False)


def test_ssl_prefer_server_ciphers(servers, authority):
    ours = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
    theirs = ":".join(reversed(ours.split(":")))
    ports = servers(*(f"ssl_ciphers {ours}; ssl_prefer_server_ciphers {v};" for v in ("on", "off")))
    context = client_context(authority, version=V12, ciphers=theirs)
    chosen = []
    for port in ports:
        with connect(port, context) as sock:
            chosen.append(sock.cipher()[0])
    assert chosen == ours.split(":")


def test_ssl_ecdh_curve(servers, authority):
    auto, narrow = servers("", "ssl_ecdh_curve secp384r1;")
    p256 = client_context(authority, curve="prime256v1")
    p384 = client_context(authority, curve="secp384r1")
    assert [greets(auto, p256), greets(narrow, p256), greets(narrow, p384)] == [True, False, True]


def test_ssl_dhparam(servers, lab, authority, rsa_pair):
    params = os.path.join(lab.folder, "dh.pem")
    openssl(
        "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out", params
    )
    without, with_ = servers("", f"ssl_dhparam {params};", pair=rsa_pair)
    context = client_context(authority, version=V12, ciphers="DHE-RSA-AES128-GCM-SHA256")
    assert (greets(without, context), greets(with_, context)) == (False, True)


def stapled(port, version):
    """What s_client is told about the certificate of a server."""
    said = openssl(
        *("s_client", "-connect", f"127.0.0.1:{port}", "-status", f"-{version}"), text=""
    )
    found = re.search(r"OCSP response: no response sent|Cert Status: \w+", said)
    return found and found[0].partition(": ")[2]


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_ssl_stapling(servers, authority, server_pair, tmp_path, version):
    path = tmp_path / "answer.der"
    authority.answer(server_pair[0], path)
    file = f"ssl_stapling_file {path};"
    ports = servers(f"ssl_stapling on; {file}", f"ssl_stapling off; {file}", file)
    assert [stapled(port, version) for port in ports] == ["good", *["no response sent"] * 2]
    # A file that changes is read anew.
    authority.answer(server_pair[0], path, revoked=True)
    wait_until(lambda: stapled(ports[0], version) == "revoked", "the new answer")


def test_ssl_conf_command(servers, authority):
    suite = "TLS_CHACHA20_POLY1305_SHA256"
    default, commanded = servers("", f"ssl_conf_command Ciphersuites {suite};")
    chosen = []
    for port in (default, commanded):
        with connect(port, client_context(authority, version=V13)) as sock:
            chosen.append(sock.cipher()[0])
    assert chosen[0] != suite
    assert chosen[1] == suite


def test_ssl_verify_client(servers, authority, client_pair, tmp_path):
    ca = f"ssl_client_certificate {authority.certificate};"
    values = ("off", "on", "optional", "optional_no_ca")
    ports = servers(*(f"{ca} ssl_verify_client {value};" for value in values))
    stranger = Authority(str(tmp_path), subject="/CN=Stranger").sign("client")
    let_in = {}
    for value, port in zip(values, ports, strict=True):
        for who, pair in (("none", None), ("ours", client_pair), ("stranger", stranger)):
            let_in[value, who] = greets(port, client_context(authority, pair=pair))
    refused = [case for case, got in let_in.items() if not got]
    assert refused == [("on", "none"), ("on", "stranger"), ("optional", "stranger")]


def test_ssl_trusted_certificate(servers, authority, client_pair, tmp_path):
    other = Authority(str(tmp_path), subject="/CN=Other")
    shared = f"ssl_client_certificate {other.certificate}; ssl_verify_client on;"
    without, with_ = servers(shared, f"{shared} ssl_trusted_certificate {authority.certificate};")
    context = client_context(authority, pair=client_pair)
    assert (greets(without, context), greets(with_, context)) == (False, True)


def test_ssl_crl(servers, tmp_path):
    ours = Authority(str(tmp_path))
    pair = ours.sign("server", extensions=LOCAL_HOST)
    good, bad = ours.sign("good"), ours.sign("bad")
    shared = f"ssl_client_certificate {ours.certificate}; ssl_verify_client on;"
    crl = ours.revoke(bad[0])
    without, with_ = servers(shared, f"{shared} ssl_crl {crl};", pair=pair)
    let_in = [
        greets(port, client_context(ours, pair=pair))
        for port in (without, with_)
        for pair in (good, bad)
    ]
    assert let_in == [True, True, True, False]
    servers.balancer.wait_for_output("certificate verify error: (23:certificate revoked)")


def test_ssl_verify_depth(servers, tmp_path):
    ours = Authority(str(tmp_path))
    first = Authority(str(tmp_path), name="first", subject="/CN=First", parent=ours)
    second = Authority(str(tmp_path), name="second", subject="/CN=Second", parent=first)
    device = second.sign("device")
    shared = f"ssl_client_certificate {ours.certificate}; ssl_verify_client on;"
    pair = ours.sign("server", extensions=LOCAL_HOST)
    ports = servers(*(f"{shared} ssl_verify_depth {depth};" for depth in (1, 2)), pair=pair)
    assert [greets(port, client_context(ours, pair=device)) for port in ports] == [False, True]


def test_ssl_session_tickets(servers, authority):
    on, off = servers("", "ssl_session_tickets off;")
    for version in (V12, V13):
        context = client_context(authority, version=version)
        assert resumed(on, context) == [True, True]
        assert resumed(off, context) == [False, False]


def test_ssl_session_cache(servers, authority):
    none, builtin, shared = servers(
        "ssl_session_tickets off;",
        "ssl_session_tickets off; ssl_session_cache builtin:100;",
        "ssl_session_tickets off; ssl_session_cache shared:SSL:1m;",
    )
    context = client_context(authority, version=V12)
    assert [resumed(port, context) for port in (none, builtin, shared)] == [
        [False, False],
        [True, True],
        [True, True],
    ]


def test_ssl_session_timeout(servers, authority):
    short, long = servers("ssl_session_timeout 1s;", "")
    context = client_context(authority, version=V12)
    sessions = []
    for port in (short, long):
        with connect(port, context) as sock:
            assert echoes(sock)
            sessions.append(sock.session)
    begun = time.time()
    while int(time.time()) - int(begun) < 3:  # OpenSSL counts whole seconds
        time.sleep(0.1)
    reused = []
    for port, session in zip((short, long), sessions, strict=True):
        with connect(port, context, session=session) as sock:
            reused.append(sock.session_reused)
    assert reused == [False, True]


@pytest.mark.parametrize("size", [48, 80])
def test_ssl_session_ticket_key(servers, authority, lab, size):
    keys = []
    for name in ("a", "b"):
        keys.append(os.path.join(lab.folder, name))
        with open(keys[-1], "wb") as file:
            file.write(os.urandom(size))
    old, new = keys
    first, second, third = servers(
        f"ssl_session_ticket_key {old};",
        f"ssl_session_ticket_key {new}; ssl_session_ticket_key {old};",
        f"ssl_session_ticket_key {new};",
    )
    context = client_context(authority, version=V12)
    with connect(first, context) as sock:
        assert echoes(sock)
        session = sock.session
    reused = []
    for port in (first, second, third):
        with connect(port, context, session=session) as sock:
            reused.append(sock.session_reused)
    assert reused == [True, True, False]


def test_ssl_handshake_timeout(servers):
    short, long = servers("ssl_handshake_timeout 300ms;", "")
    with open_raw(short) as silent, open_raw(long) as patient:
        began = time.monotonic()
        for sock in (silent, patient):
            sock.sendall(bytes.fromhex("1603010200"))  # the head of a hello, and then nothing
        assert receive_all(silent) == b""
        assert time.monotonic() - began < 5
        patient.settimeout(0.5)
        with pytest.raises(TimeoutError):
            patient.recv(1)
    servers.balancer.wait_for_output(
        "client timed out (110: Connection timed out) while SSL handshaking"
    )


def test_ssl_alpn(servers, authority):
    without, with_ = servers("", "ssl_alpn mqtt x-amzn-mqtt-ca;")
    chosen = []
    for port in (without, with_):
        with connect(port, client_context(authority, alpn=["h2", "x-amzn-mqtt-ca"])) as sock:
            chosen.append(sock.selected_alpn_protocol())
    assert chosen == [None, "x-amzn-mqtt-ca"]
    wrong = client_context(authority, alpn=["h2"])
    assert "no application protocol" in refusal(with_, wrong)
    assert greets(without, wrong)


def test_ssl_reject_handshake(servers, authority):
    off, on = servers("", "ssl_reject_handshake on;")
    context = client_context(authority)
    assert greets(off, context)
    assert refusal(on, context) == "TLSV1_UNRECOGNIZED_NAME"

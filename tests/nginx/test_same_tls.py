"""The same clients at tidegate and at the installed nginx: the same verdict, the same variables."""

import re
import shutil
import socket
import subprocess

import pytest

from lab.certificates import LOCAL_HOST, Authority
from lab.tls import V12, V13, client_context, connect, echoes, refusal
from lab.tls_beside import PROGRAMS, SAFE, Beside

pytestmark = pytest.mark.needs("nginx", "openssl")


@pytest.fixture
def pair(lab, people):
    server = people.authority.sign("server", extensions=LOCAL_HOST)
    return lambda *texts, **more: Beside(lab, texts, node=lab.node(), pair=server, **more)


@pytest.mark.parametrize("version", [V12, V13])
def test_every_certificate_has_the_same_verdict_and_variables(pair, people, version):
    ours, clients, crl = people.authority, people.pairs, people.crl
    ca = f"ssl_client_certificate {ours.certificate};"
    texts = [
        f"{ca} ssl_verify_client {value}; {more}"
        for value in ("off", "on", "optional", "optional_no_ca")
        for more in ("", "ssl_verify_depth 2;")
    ] + [f"{ca} ssl_verify_client on; ssl_crl {crl};"]
    both = pair(*texts)
    verdicts = {program: {} for program in PROGRAMS}
    for program in PROGRAMS:
        for text, port in zip(texts, both.ports[program], strict=True):
            for who, certificate in clients.items():
                context = client_context(ours, version=version, pair=certificate)
                verdicts[program][text, who] = refusal(port, context)
    assert verdicts["tidegate"] == verdicts["nginx"]
    assert set(verdicts["nginx"].values()) == {"no refusal", "end"}
    count = len(verdicts["nginx"])
    rows = {program: both.rows(program, count) for program in PROGRAMS}
    assert rows["tidegate"] == rows["nginx"]
    assert both.errors("tidegate") == both.errors("nginx")


@pytest.mark.parametrize("version", [V12, V13])
def test_hellos_of_every_kind_have_the_same_answer(pair, people, version):
    ours = people.authority
    texts = [
        "",
        "ssl_alpn mqtt;",
        "ssl_ecdh_curve secp384r1:prime256v1;",
        "ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;",
        "ssl_prefer_server_ciphers on;",
    ]
    hellos = [
        {},
        {"alpn": ["mqtt"]},
        {"alpn": ["h2"]},
        {"curve": "prime256v1"},
        {"curve": "secp521r1"},
        {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"},
        {"ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"},
        {"ciphers": "ECDHE-RSA-AES128-GCM-SHA256"},
    ]
    both = pair(*texts)
    verdicts = {program: [] for program in PROGRAMS}
    for program in PROGRAMS:
        for port in both.ports[program]:
            for hello in hellos:
                context = client_context(ours, version=version, **hello)
                verdicts[program].append(refusal(port, context, name="localhost"))
    assert verdicts["tidegate"] == verdicts["nginx"]
    assert len(set(verdicts["nginx"])) > 1
    rows = {program: both.rows(program, len(verdicts["nginx"])) for program in PROGRAMS}
    assert rows["tidegate"] == rows["nginx"]
    assert both.errors("tidegate") == both.errors("nginx")


NO_TLS = {
    "nothing": b"",
    "HTTP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "MQTT": bytes.fromhex("101000044d5154540402003c000461626364"),
    "SSL 2": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600800700c0"),
    "half a record": bytes.fromhex("16030102000100"),
    "a huge record": bytes.fromhex("160301ffff0100"),
    "an alert": bytes.fromhex("15030300020230"),
    "application data": bytes.fromhex("1703030005") + b"hello",
}


def test_what_is_no_tls_is_answered_and_logged_alike(pair):
    both = pair("", variables=SAFE)
    answers = {program: {} for program in PROGRAMS}
    for program in PROGRAMS:
        for what, data in NO_TLS.items():
            with socket.create_connection(("127.0.0.1", both.ports[program][0]), 10) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                received = b""
                try:
                    while piece := sock.recv(1000):
                        received += piece
                except ConnectionResetError:
                    pass
                answers[program][what] = received
    assert answers["tidegate"] == answers["nginx"]
    rows = {program: both.rows(program, len(NO_TLS)) for program in PROGRAMS}
    assert rows["tidegate"] == rows["nginx"]
    # It is at level info since nginx 1.23.3.
    theirs = [
        ("info" if "packet length too long" in words else level, words)
        for level, words in both.errors("nginx")
    ]
    assert both.errors("tidegate") == theirs


@pytest.mark.parametrize("version", [V12, V13])
def test_sessions_are_taken_up_alike(pair, people, version):
    ours, clients = people.authority, people.pairs
    ca = f"ssl_client_certificate {ours.certificate}; ssl_verify_client on;"
    texts = [
        "",
        "ssl_session_tickets off;",
        "ssl_session_tickets off; ssl_session_cache shared:SSL:1m;",
        f"{ca}",
        f"{ca} ssl_session_cache shared:SSL:1m;",
    ]
    both = pair(*texts)
    reused = {program: [] for program in PROGRAMS}
    for program in PROGRAMS:
        for port in both.ports[program]:
            context = client_context(ours, version=version, pair=clients["ours"])
            session = None
            for _ in range(3):
                with connect(port, context, session=session) as sock:
                    assert echoes(sock)
                    reused[program].append(sock.session_reused)
                    session = sock.session
    assert reused["tidegate"] == reused["nginx"]


@pytest.mark.parametrize("version", [V12, V13])
def test_certificates_that_variables_name_are_shown_or_missed_alike(
    pair, people, version, tmp_path
):
    ours = people.authority
    pairs = {
        name: ours.sign(name, extensions=f"subjectAltName=DNS:{name}\n")
        for name in ("one.example", "two.example")
    }
    pairs["mixed.example"] = pairs["one.example"][0], pairs["two.example"][1]
    for name, (certificate, key) in pairs.items():
        shutil.copy(certificate, tmp_path / f"{name}.pem")
        shutil.copy(key, tmp_path / f"{name}.key")
    for name, nonsense in (("nonsense.example", "pem"), ("nokey.example", "key")):
        for source, kind in zip(pairs["one.example"], ("pem", "key"), strict=True):
            shutil.copy(source, tmp_path / f"{name}.{kind}")
        (tmp_path / f"{name}.{nonsense}").write_text("nonsense")
    named = (
        f"ssl_certificate {tmp_path}/$ssl_server_name.pem;"
        f" ssl_certificate_key {tmp_path}/$ssl_server_name.key;"
    )
    both = pair(named, variables=SAFE)
    names = [*pairs, "nonsense.example", "nokey.example", "gone.example", "one.example"]
    answers = {}
    for program in PROGRAMS:
        context = client_context(ours, version=version)
        (port,) = both.ports[program]
        answers[program] = [refusal(port, context, name=name) for name in names]
    assert answers["tidegate"] == answers["nginx"]
    assert answers["nginx"].count("no refusal") == 3
    rows = {program: both.rows(program, len(names)) for program in PROGRAMS}
    assert rows["tidegate"] == rows["nginx"]
    assert both.errors("tidegate") == both.errors("nginx")


def test_a_client_is_told_of_before_its_handshake_fails(pair):
    both = pair("", variables=SAFE)
    told = {}
    for program in PROGRAMS:
        (port,) = both.ports[program]
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"no TLS at all\r\n")
            assert sock.recv(100) is not None
        both.rows(program, 1)
        found = re.findall(r"\[(\w+)\] \d+#\d+: \*(\d+) (.*)", both.balancers[program].errors())
        told[program] = [
            (level, re.sub(r"127\.0\.0\.1(:\d+)?", "ADDRESS", words))
            for level, number, words in found
            if number == "1"
        ]
    assert told["tidegate"] == told["nginx"]
    assert told["nginx"][0] == ("info", "client ADDRESS connected to ADDRESS")


# --- words of -t ---

FILES = ("server.pem", "server.key", "other.key", "ca.pem", "nonsense")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    ours = Authority(str(tmp_path_factory.mktemp("files")))
    ours.sign("server", extensions=LOCAL_HOST)
    ours.sign("other")
    for name, size in (("nonsense", 20), ("ticket", 48)):
        with open(ours.path(name), "w") as file:
            file.write("x" * size)
    with open(ours.path("empty"), "w"):
        pass
    return ours.folder


OK = "ssl_certificate FOLDER/server.pem; ssl_certificate_key FOLDER/server.key;"
WORDS = {
    "valid": OK,
    "no certificate": "",
    "no key": "ssl_certificate FOLDER/server.pem;",
    "two certificates, one key": f"ssl_certificate FOLDER/server.pem; {OK}",
    "a certificate that is not there": OK.replace("server.pem", "gone.pem"),
    "a certificate that is a folder": OK.replace("server.pem", ""),
    "a certificate that is none": OK.replace("server.pem", "nonsense"),
    "an empty certificate": OK.replace("server.pem", "empty"),
    "a key that is not there": OK.replace("server.key", "gone.key"),
    "a key that is none": OK.replace("server.key", "nonsense"),
    "a key of another": OK.replace("server.key", "other.key"),
    "a key in place of a certificate": OK.replace("server.pem", "server.key"),
    "ciphers that are none": f"{OK} ssl_ciphers nonsense;",
    "a protocol that is none": f"{OK} ssl_protocols TLSv1.4;",
    "curves that are none": f"{OK} ssl_ecdh_curve nonsense;",
    "parameters that are not there": f"{OK} ssl_dhparam FOLDER/gone;",
    "an authority that is not there": (
        f"{OK} ssl_verify_client on; ssl_client_certificate FOLDER/gone;"
    ),
    "verify that is none": f"{OK} ssl_verify_client maybe;",
    "verify twice": f"{OK} ssl_verify_client on; ssl_verify_client off;",
    "depth twice": f"{OK} ssl_verify_depth 2; ssl_verify_depth 1;",
    "depth of letters": f"{OK} ssl_verify_depth x;",
    "a cache that is none": f"{OK} ssl_session_cache nonsense;",
    "a cache without a size": f"{OK} ssl_session_cache shared:SSL;",
    "a cache that is too small": f"{OK} ssl_session_cache shared:SSL:1k;",
    "a valid cache": f"{OK} ssl_session_cache builtin shared:SSL:1m;",
    "a timeout of letters": f"{OK} ssl_session_timeout x;",
    "a ticket key that is not there": f"{OK} ssl_session_ticket_key FOLDER/gone;",
    "a ticket key of a wrong size": f"{OK} ssl_session_ticket_key FOLDER/nonsense;",
    "passwords that are not there": f"{OK} ssl_password_file FOLDER/gone;",
    "a command that is none": f"{OK} ssl_conf_command Nonsense yes;",
    "a command's value that is none": f"{OK} ssl_conf_command Protocol nonsense;",
    "alpn twice": f"{OK} ssl_alpn a; ssl_alpn b;",
    "a flag that is none": f"{OK} ssl_session_tickets maybe;",
    "a broker's key that is missing": (
        f"{OK} proxy_pass 127.0.0.1:1; proxy_ssl on; proxy_ssl_certificate FOLDER/server.pem;"
    ),
    "nobody to trust for brokers": (
        f"{OK} proxy_pass 127.0.0.1:1; proxy_ssl on; proxy_ssl_verify on;"
    ),
    "brokers' ciphers that are none": (
        f"{OK} proxy_pass 127.0.0.1:1; proxy_ssl on; proxy_ssl_ciphers nonsense;"
    ),
    "a broker's certificate that is not there": (
        f"{OK} proxy_pass 127.0.0.1:1; proxy_ssl on; proxy_ssl_certificate FOLDER/gone;"
        " proxy_ssl_certificate_key FOLDER/server.key;"
    ),
}
GONE = (
    "(SSL: error:80000002:system library::No such file or directory:calling fopen(FOLDER/gone, r)"
    " error:10000080:BIO routines::no such file"
)
# What tidegate says otherwise, and why.
OTHERWISE = {
    "verify without an authority": (
        f"{OK} ssl_verify_client on;",
        "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client",
        "no ssl_client_certificate for ssl_verify_client",
        "nginx has these words since 1.27.2",
    ),
    "parameters that are none": (
        f"{OK} ssl_dhparam FOLDER/nonsense;",
        (
            'PEM_read_bio_DHparams("FOLDER/nonsense") failed (SSL: error:1E08010C:DECODER'
            " routines::unsupported:No supported data to decode. Input type: PEM)"
        ),
        (
            'PEM_read_bio_DHparams("FOLDER/nonsense") failed (SSL: error:0480006C:PEM'
            " routines::no start line:Expecting: DH PARAMETERS)"
        ),
        "nginx 1.22 reads them by a function that OpenSSL 3 has on its way out",
    ),
    "a trusted one that is not there": (
        f"{OK} ssl_trusted_certificate FOLDER/gone;",
        (
            f'SSL_CTX_load_verify_locations("FOLDER/gone") failed {GONE} error:05880002:x509'
            " certificate routines::system lib)"
        ),
        "",
        "nginx 1.22 does not read it without ssl_verify_client",
    ),
    "a list that is not there": (
        f"{OK} ssl_crl FOLDER/gone;",
        f'X509_load_crl_file("FOLDER/gone") failed {GONE})',
        "",
        "nginx 1.22 does not read it without ssl_verify_client",
    ),
}


def said(program, folder, files, text):
    more = "" if "proxy_pass" in text else "return x;"
    conf = folder / "test.conf"
    conf.write_text(
        f"events {{}}\nstream {{\n  server {{\n    listen 1883 ssl; {more}\n"
        f"    {text.replace('FOLDER', files)}\n  }}\n}}\n"
    )
    (folder / "logs").mkdir(exist_ok=True)
    if program == "nginx":
        command = ["nginx", "-t", "-p", folder, "-e", folder / "logs/error.log", "-c", conf]
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        command += ["-g", f"load_module {module}; pid {folder}/nginx.pid;"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stderr.splitlines() if "[emerg]" in line]
        return lines[0].removeprefix("nginx: [emerg] ") if lines else "", done.returncode == 0
    from tidegate.config.load import load  # noqa: PLC0415

    loaded = load(str(conf), prefix=str(folder))
    error = loaded.first_error
    return error.words if error else "", loaded.model is not None


@pytest.mark.parametrize("case", WORDS)
def test_a_wrong_file_gets_nginx_words(case, tmp_path, files):
    theirs = said("nginx", tmp_path, files, WORDS[case])
    assert said("tidegate", tmp_path, files, WORDS[case]) == theirs
    assert theirs[1] == ("valid" in case)


@pytest.mark.parametrize("case", OTHERWISE)
def test_a_known_difference_is_still_one(case, tmp_path, files):
    text, ours, theirs, reason = OTHERWISE[case]
    assert reason
    assert said("tidegate", tmp_path, files, text) == (ours.replace("FOLDER", files), False)
    assert said("nginx", tmp_path, files, text) == (theirs.replace("FOLDER", files), not theirs)

"""Variables name the certificate that a client is shown, and the broker that a node has to be."""

import os
import shutil
import signal
import ssl

import pytest

from lab.sockets import open_raw, receive
from lab.tls import V12, V13, SecureNode, client_context, connect, echoes, refusal, server_context

pytestmark = pytest.mark.needs("openssl")

NAMES = ("one.example", "two.example")


class Files:
    """A pair for each name, in a folder of their own; `text` are the directives for them."""

    def __init__(self, folder, authority):
        self.folder = folder
        for name in NAMES:
            self.put(name, authority.sign(name, extensions=f"subjectAltName=DNS:{name}\n"))
        self.text = (
            f"ssl_certificate {folder}/$ssl_server_name.pem;"
            f" ssl_certificate_key {folder}/$ssl_server_name.key;"
        )

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, pair):
        for source, kind in zip(pair, ("pem", "key"), strict=True):
            shutil.copy(source, self.path(f"{name}.{kind}"))


@pytest.fixture
def files(tmp_path, authority):
    return Files(tmp_path, authority)


def front(lab, text, *, workers=1, around=""):
    """A balancer with one server in TLS to an echoing node; gives it and its port."""
    node, port = lab.node(), lab.ports.free()
    balancer = lab.balancer(
        f"{around} server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address}; {text} }}",
        workers=workers,
    )
    return balancer, port


def shown(port, context, name):
    """The common name in the certificate that a client of this name gets."""
    with connect(port, context, name=name) as sock:
        assert echoes(sock)
        ((_key, value),) = sock.getpeercert()["subject"][0]
        return value


@pytest.mark.parametrize("version", [V12, V13])
def test_each_client_is_shown_the_certificate_of_the_name_that_it_asks_for(
    lab, authority, files, version
):
    balancer, port = front(lab, files.text)
    context = client_context(authority, version=version)
    assert [shown(port, context, name) for name in (*NAMES, *NAMES)] == [*NAMES, *NAMES]
    assert refusal(port, context, name="gone.example") == "TLSV1_ALERT_INTERNAL_ERROR"
    balancer.wait_for_output(f'cannot load certificate "{files.folder}/gone.example.pem"')
    assert [shown(port, context, name) for name in NAMES] == [*NAMES]


def test_what_a_client_asks_for_forges_no_line(lab, authority, files):
    balancer, port = front(lab, files.text)
    context = client_context(authority, verify=False)
    assert refusal(port, context, name='x" [emerg] y\\') == "TLSV1_ALERT_INTERNAL_ERROR"
    balancer.wait_for_output(r"/x\x22 [emerg] y\x5C.pem")
    assert all("[emerg]" not in line.split(": ")[0] for line in balancer.errors().splitlines())


def test_a_map_names_the_files(lab, authority, files):
    around = "map $ssl_server_name $pair { hostnames; default two.example; one.* one.example; }"
    around = around.replace("one.example;", f"{files.path('one.example')};")
    around = around.replace("default two.example;", f"default {files.path('two.example')};")
    text = "ssl_certificate $pair.pem; ssl_certificate_key $pair.key;"
    _, port = front(lab, text, around=around)
    context = client_context(authority)
    context.check_hostname = False
    assert shown(port, context, "one.elsewhere") == "one.example"
    assert shown(port, context, "three.elsewhere") == "two.example"


def test_a_variable_may_hold_the_certificate_itself(lab, authority, files):
    with open(files.path("one.example.pem"), encoding="ascii") as file:
        certificate = file.read()
    around = f'map $ssl_server_name $pem {{ default ""; one.example "{certificate}"; }}'
    text = f"ssl_certificate data:$pem; ssl_certificate_key {files.path('one.example.key')};"
    _, port = front(lab, text, around=around)
    context = client_context(authority)
    assert shown(port, context, "one.example") == "one.example"
    assert refusal(port, context, name="two.example") == "TLSV1_ALERT_INTERNAL_ERROR"


def test_a_broken_file_refuses_its_clients_alone(lab, authority, files):
    with open(files.path("two.example.key"), "w", encoding="ascii") as file:
        file.write("nonsense")
    files.put("mixed", (files.path("one.example.pem"), authority.sign("mixed")[1]))
    balancer, port = front(lab, files.text)
    context = client_context(authority, verify=False)
    for name in ("two.example", "mixed"):
        assert refusal(port, context, name=name) == "TLSV1_ALERT_INTERNAL_ERROR"
    balancer.wait_for_output("PEM_read_bio_PrivateKey() failed")
    balancer.wait_for_output("key values mismatch")
    assert shown(port, client_context(authority), "one.example") == "one.example"


def test_sessions_are_taken_up_by_every_worker_and_after_a_reload(lab, authority, files):
    balancer, port = front(lab, files.text, workers=2)
    for version in (V12, V13):
        context = client_context(authority, version=version)
        session = None
        for turn in range(6):
            if turn == 5 and version is V13:
                balancer.send_signal(signal.SIGHUP)
                balancer.wait_for_output("generation 1 → 2")
            with connect(port, context, name="one.example", session=session) as sock:
                assert echoes(sock)
                assert sock.session_reused == (turn > 0)
                session = sock.session


def test_a_client_that_leaves_while_its_certificate_is_sought_harms_nobody(lab, authority, files):
    balancer, port = front(lab, files.text)
    context = client_context(authority)
    for name in (*NAMES, "gone.example") * 5:
        options = {"server_hostname": name, "do_handshake_on_connect": False}
        with context.wrap_socket(open_raw(port), **options) as sock:
            sock.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                sock.do_handshake()
    assert [shown(port, context, name) for name in NAMES] == [*NAMES]
    balancer.wait_sessions(17)


# --- to brokers ---


@pytest.fixture
def secure_node(request, server_pair):
    def start(pair=server_pair, **options):
        node = SecureNode(server_context(pair, **options))
        request.addfinalizer(node.clean_up)
        return node

    return start


def through(lab, node, server_pair, text, around=""):
    """A balancer with TLS on both sides; gives it and its port."""
    port = lab.ports.free()
    balancer = lab.balancer(
        f"{around} server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
        f" ssl_certificate {server_pair[0]}; ssl_certificate_key {server_pair[1]};"
        f" proxy_ssl on; {text} }}"
    )
    return balancer, port


def reaches(port, context, name):
    with connect(port, context, name=name) as sock:
        return echoes(sock)


@pytest.mark.parametrize("version", [V12, V13])
def test_a_broker_has_to_bear_the_name_that_the_client_asks_for(
    lab, authority, server_pair, secure_node, version
):
    node = secure_node(version=version)
    balancer, port = through(
        lab,
        node,
        server_pair,
        "proxy_ssl_verify on; proxy_ssl_server_name on; proxy_ssl_name $ssl_server_name;"
        f" proxy_ssl_trusted_certificate {authority.certificate};",
    )
    context = client_context(authority, verify=False)
    # A session of one name is no way around the check of another.
    names = ["localhost", "elsewhere", "localhost", "localhost", "elsewhere"]
    found = [reaches(port, context, name) for name in names]
    assert found == [True, False, True, True, False]
    assert [client["name"] for client in node.clients if client["reused"]][:2] == ["localhost"] * 2
    balancer.wait_for_output('upstream SSL certificate does not match "elsewhere"')


def test_a_client_without_a_name_reaches_no_broker_that_is_verified(
    lab, authority, server_pair, secure_node
):
    balancer, port = through(
        lab,
        secure_node(),
        server_pair,
        "proxy_ssl_verify on; proxy_ssl_name $ssl_server_name;"
        f" proxy_ssl_trusted_certificate {authority.certificate};",
    )
    context = client_context(authority, verify=False)
    with context.wrap_socket(open_raw(port)) as sock:
        assert not echoes(sock)
    balancer.wait_for_output('upstream SSL certificate does not match ""')
    assert reaches(port, context, "localhost")


def test_variables_choose_who_we_are_to_brokers(lab, authority, server_pair, secure_node, files):
    node = secure_node(authority=authority)
    balancer, port = through(
        lab,
        node,
        server_pair,
        "proxy_ssl_certificate $who;"
        f" proxy_ssl_certificate_key {files.folder}/$ssl_server_name.key;",
        around=(
            "map $ssl_server_name $who { none.example '';"
            f" default {files.folder}/$ssl_server_name.pem; }}"
        ),
    )
    context = client_context(authority, verify=False)
    # Sessions are not those of another.
    names = [*NAMES, *NAMES]
    assert all(reaches(port, context, name) for name in names)
    told = [client["certificate"]["subject"][0][0][1] for client in node.clients]
    assert told == names
    assert not reaches(port, context, "none.example")  # goes without one, as nginx does
    assert not reaches(port, context, "gone.example")
    balancer.wait_for_output(f'cannot load certificate "{files.folder}/gone.example.pem"')


def test_the_next_try_has_the_same_name(lab, authority, server_pair, secure_node):
    node, port = secure_node(), lab.ports.free()
    dead = lab.ports.free()
    lab.balancer(
        "map $ssl_server_name $name { default $ssl_server_name; }"
        f"upstream nodes {{ server 127.0.0.1:{dead} weight=9; server {node.address}; }}"
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass nodes;"
        f" ssl_certificate {server_pair[0]}; ssl_certificate_key {server_pair[1]};"
        " proxy_ssl on; proxy_ssl_server_name on; proxy_ssl_name $name; }"
    )
    assert reaches(port, client_context(authority, verify=False), "broker.example")
    assert [client["name"] for client in node.clients] == ["broker.example"]


@pytest.mark.parametrize("own", ["localhost", "localhost:8883"])
def test_a_name_may_have_a_port_that_does_not_count(lab, authority, secure_node, own):
    node, port = secure_node(), lab.ports.free()
    lab.balancer(
        f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; set $name {own};"
        " proxy_ssl on; proxy_ssl_verify on; proxy_ssl_server_name on; proxy_ssl_name $name;"
        f" proxy_ssl_trusted_certificate {authority.certificate}; }}"
    )
    with open_raw(port) as sock:
        assert echoes(sock)
    assert node.clients[0]["name"] == "localhost"


def test_a_server_of_http_shows_the_certificate_of_the_name_too(lab, authority, files):
    port = lab.ports.free()
    lab.idle_balancer(
        f"daemon off; pid balancer.pid; error_log error.log info; {user()} events {{}}"
        f" http {{ server {{ listen 127.0.0.1:{port} ssl; {files.text} return 204; }} }}"
    ).start().wait_ready([port], 1)
    context = client_context(authority)
    for name in NAMES:
        with connect(port, context, name=name) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 204")
            assert sock.getpeercert()["subject"][0][0][1] == name
    assert refusal(port, context, name="gone.example") == "TLSV1_ALERT_INTERNAL_ERROR"


def user():
    """Workers have to read the files of the test."""
    return "user root;" if os.getuid() == 0 else ""


def test_a_server_with_commands_of_its_own_takes_no_client_that_another_verified(
    lab, authority, server_pair
):
    port = lab.ports.free()
    certificate, key = server_pair
    command = {
        "one": "",
        "same": "",
        "other": "ssl_conf_command ClientSignatureAlgorithms RSA-PSS+SHA256;",
    }
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{port} ssl; server_name {name}.example; {text} return 204; }}"
        for name, text in command.items()
    )
    balancer = lab.idle_balancer(
        "daemon off; pid balancer.pid; error_log error.log info; events {} http {"
        f"ssl_certificate {certificate}; ssl_certificate_key {key};"
        f" ssl_client_certificate {authority.certificate}; ssl_verify_client on;\n{servers} }}"
    )
    balancer.start().wait_ready([port], 1)
    context = client_context(authority, pair=authority.sign("of-commands"), verify=False)

    def answered(host):
        with connect(port, context, name="one.example") as sock:
            sock.sendall(f"GET / HTTP/1.0\r\nHost: {host}.example\r\n\r\n".encode())
            return receive(sock, 12)

    assert [answered(host) for host in command] == [
        b"HTTP/1.1 204",
        b"HTTP/1.1 204",
        b"HTTP/1.1 421",
    ]

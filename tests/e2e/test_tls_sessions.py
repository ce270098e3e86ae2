"""Sessions are taken up at every worker and after a reload, and nowhere else."""

import os
import signal

import pytest

from lab.sockets import receive
from lab.tls import V12, V13, client_context, connect, echoes, resumed
from lab.waiting import wait_until

pytestmark = pytest.mark.needs("openssl")


def taken_from(port, context):
    """A session of that server."""
    with connect(port, context) as sock:
        assert echoes(sock)
        return sock.session


def test_every_worker_takes_up_a_ticket_and_so_do_those_after_a_reload(lab, authority, server_pair):
    node, port = lab.node(), lab.ports.free()
    certificate, key = server_pair
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
        f" ssl_certificate {certificate}; ssl_certificate_key {key}; }}",
        workers=4,
    )
    contexts = [client_context(authority, version=version) for version in (V12, V13)]
    for context in contexts:
        assert resumed(port, context, times=20) == [True] * 20
    sessions = [taken_from(port, context) for context in contexts]
    balancer.send_signal(signal.SIGHUP)
    balancer.wait_for_output("generation 1 → 2")
    for context, session in zip(contexts, sessions, strict=True):
        with connect(port, context, session=session) as sock:
            assert sock.session_reused
            assert echoes(sock)


def shared(node, port, pair):
    """A server whose clients have no tickets, and whose sessions all workers know."""
    certificate, key = pair
    return (
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
        f" ssl_certificate {certificate}; ssl_certificate_key {key};"
        " ssl_session_tickets off; ssl_session_cache shared:SSL:1m; }"
    )


@pytest.mark.parametrize("version", [V12, V13])
def test_every_worker_takes_up_a_shared_session_and_so_do_those_after_a_reload(
    lab, authority, server_pair, version
):
    node, port = lab.node(), lab.ports.free()
    balancer = lab.balancer(shared(node, port, server_pair), workers=4)
    context = client_context(authority, version=version)
    assert resumed(port, context, times=20) == [True] * 20
    session = taken_from(port, context)
    balancer.send_signal(signal.SIGHUP)
    balancer.wait_for_output("generation 1 → 2")
    with connect(port, context, session=session) as sock:
        assert sock.session_reused
        assert echoes(sock)
    # A cache of another size is a new one, as in nginx.
    with open(balancer.conf, encoding="utf-8") as file:
        text = file.read()
    with open(balancer.conf, "w", encoding="utf-8") as file:
        file.write(text.replace("shared:SSL:1m", "shared:SSL:2m"))
    balancer.send_signal(signal.SIGHUP)
    balancer.wait_for_output("generation 2 → 3")
    with connect(port, context, session=session) as sock:
        assert not sock.session_reused
        assert echoes(sock)
    assert resumed(port, context, times=10) == [True] * 10


def test_a_killed_worker_takes_no_shared_session_with_it(lab, authority, server_pair):
    node, port = lab.node(), lab.ports.free()
    balancer = lab.balancer(shared(node, port, server_pair), workers=2)
    context = client_context(authority, version=V12)
    sessions = [taken_from(port, context) for _ in range(8)]
    for worker in balancer.workers():
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda gone=worker: gone not in balancer.workers(), "it is replaced")
        wait_until(lambda: len(balancer.workers()) == 2, "another takes its place")
    for session in sessions:
        with connect(port, context, session=session) as sock:
            assert sock.session_reused
            assert echoes(sock)


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize(
    "cache",
    [
        "",
        "ssl_session_tickets off; ssl_session_cache builtin;",
        "ssl_session_tickets off; ssl_session_cache shared:S:1m;",
    ],
    ids=["tickets", "builtin", "shared"],
)
def test_a_session_is_no_way_around_the_checks_of_another_server(
    lab, authority, server_pair, version, cache, tmp_path
):
    from lab.certificates import Authority  # noqa: PLC0415

    node = lab.node()
    certificate, key = server_pair
    other = Authority(str(tmp_path), subject="/CN=Other")
    client = authority.sign("client-of-sessions")
    rules = [
        "",
        f"ssl_client_certificate {authority.certificate}; ssl_verify_client on;",
        f"ssl_client_certificate {other.certificate}; ssl_verify_client on;",
        f"ssl_client_certificate {authority.certificate}; ssl_verify_client optional;",
    ]
    ports = [lab.ports.free() for _ in rules]
    lab.balancer(
        "\n".join(
            f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address}; {cache} {rule}"
            f" ssl_certificate {certificate}; ssl_certificate_key {key}; }}"
            for port, rule in zip(ports, rules, strict=True)
        )
    )
    context = client_context(authority, version=version, pair=client)
    open_, ours, theirs, _optional = ports
    for source in (open_, ours):
        session = taken_from(source, context)
        for target in ports:
            with connect(target, context, session=session) as sock:
                served = echoes(sock)
                assert sock.session_reused == (target == source)
                assert served == (target != theirs)


def test_a_session_is_forgotten_with_the_keys_of_its_tickets(lab, authority, server_pair):
    node, port = lab.node(), lab.ports.free()
    certificate, key = server_pair
    conf = (
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
        f" ssl_certificate {certificate}; ssl_certificate_key {key}; }}"
    )
    context = client_context(authority, version=V12)
    first = lab.balancer(conf)
    session = taken_from(port, context)
    first.stop()
    lab.balancer(conf)
    wait_until(lambda: taken_from(port, context), "the second instance serves")
    with connect(port, context, session=session) as sock:
        assert not sock.session_reused
        assert echoes(sock)


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_ends_with_the_certificate_that_it_was_made_with(
    lab, authority, server_pair, version
):
    node, port = lab.node(), lab.ports.free()
    certificate, key = server_pair
    balancer = lab.balancer(
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address};"
        f" ssl_client_certificate {authority.certificate}; ssl_verify_client on;"
        f" ssl_certificate {certificate}; ssl_certificate_key {key}; }}"
    )
    lasting, ending = (
        client_context(authority, version=version, pair=authority.sign(name, seconds=seconds))
        for name, seconds in (("lasting", 1000), ("ending", 4))
    )
    sessions = [taken_from(port, context) for context in (lasting, ending)]
    words = "client SSL certificate verify error: (10:certificate has expired)"

    def refused():
        with connect(port, ending, session=sessions[1]) as sock:
            return sock.session_reused and not echoes(sock)

    wait_until(refused, "the session is not enough any more")
    balancer.wait_for_output(words)
    with connect(port, lasting, session=sessions[0]) as sock:
        assert echoes(sock)
        assert sock.session_reused


@pytest.mark.parametrize("version", [V12, V13])
def test_a_session_of_http_ends_with_the_certificate_that_it_was_made_with(
    lab, authority, server_pair, version
):
    port = lab.ports.free()
    certificate, key = server_pair
    balancer = lab.idle_balancer(
        "daemon off; pid balancer.pid; error_log error.log info; events {} http {"
        f"server {{ listen 127.0.0.1:{port} ssl; return 204;"
        f" ssl_client_certificate {authority.certificate}; ssl_verify_client on;"
        f" ssl_certificate {certificate}; ssl_certificate_key {key}; }} }}"
    )
    balancer.start().wait_ready([port], 1)
    lasting, ending = (
        client_context(authority, version=version, pair=authority.sign(name, seconds=seconds))
        for name, seconds in (("lasting", 1000), ("ending", 4))
    )
    reused = []

    def answered(context, session):
        with connect(port, context, session=session) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            status = receive(sock, 12)
            reused.append(sock.session_reused)
            return status, sock.session

    sessions = [answered(context, None)[1] for context in (lasting, ending)]

    def refused():
        # Each session makes the next, and none of them is a way around the end.
        status, sessions[1] = answered(ending, sessions[1])
        return reused[-1] and status == b"HTTP/1.1 400"

    wait_until(refused, "the session is not enough any more")
    assert answered(lasting, sessions[0])[0] == b"HTTP/1.1 204"
    assert reused[-1]


@pytest.mark.parametrize("version", [V12, V13])
def test_servers_of_one_address_may_keep_their_sessions_in_other_ways(
    lab, authority, server_pair, version
):
    port = lab.ports.free()
    certificate, key = server_pair
    ways = {
        "shared": "ssl_session_tickets off; ssl_session_cache shared:A:1m;",
        "none": "ssl_session_tickets off; ssl_session_cache none;",
        "tickets": "ssl_session_cache none;",
    }
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{port} ssl; server_name {name}; {way} return 204; }}"
        for name, way in ways.items()
    )
    balancer = lab.idle_balancer(
        "daemon off; pid balancer.pid; error_log error.log info; events {} http {"
        f"ssl_certificate {certificate}; ssl_certificate_key {key};\n{servers} }}"
    )
    balancer.start().wait_ready([port], 1)
    workers = balancer.workers()
    context = client_context(authority, version=version, verify=False)

    def answered(name, session):
        with connect(port, context, session=session, name=name) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert receive(sock, 12) == b"HTTP/1.1 204"
            return sock.session, sock.session_reused

    for first in ways:
        session, _ = answered(first, None)
        for second in ways:
            # The name that it was made for is in a session: OpenSSL takes it up for no other.
            _, reused = answered(second, session)
            assert not reused or first == second
    assert balancer.workers() == workers

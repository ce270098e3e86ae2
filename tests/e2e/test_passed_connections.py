"""`pass` hands a connection to another `listen` of the configuration, as it is."""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import pytest

from lab.certificates import LOCAL_HOST
from lab.clients import V5, Client, mosquitto_pub
from lab.http import ask, get, split, upgrade
from lab.packets import connect as mqtt_connect
from lab.process import read
from lab.sockets import open_raw, receive, receive_all
from lab.tls import SecureNode, client_context, connect, echoes, hello_of, server_context
from lab.waiting import wait_until

CONNACK_OF_REFUSAL = bytes([0x20, 2, 0, 3])


def start(lab, stream, http="", *, workers=1, **options):
    """A balancer of both; all that listens is awaited."""
    main = f"http {{ access_log off; {http} }}" if http else ""
    return lab.balancer(stream, main=main, workers=workers, **options)


def say(port, data=b"", **options):
    with open_raw(port, **options) as sock:
        sock.sendall(data)
        return receive_all(sock)


def ports(lab, count):
    return [lab.ports.free() for _ in range(count)]


def secure(pair, text=""):
    return f"ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]}; {text}"


def test_pass(lab):
    front, one, two = ports(lab, 3)
    servers = (
        f"server {{ listen 127.0.0.1:{one}; return one; }}"
        f"server {{ listen {two}; return '$server_addr:$server_port $remote_addr'; }}"
    )
    other = lab.ports.free()
    start(
        lab,
        f"{servers} server {{ listen 127.0.0.1:{front}; pass 127.0.0.1:{one}; }}"
        f" server {{ listen 127.0.0.1:{other}; pass 127.0.0.1:{two}; }}",
    )
    assert say(front) == b"one"
    # The client is who it was; where it came to is where it was passed to.
    assert say(other, source="127.0.0.77") == f"127.0.0.1:{two} 127.0.0.77".encode()


def test_a_unix_path(lab):
    front = lab.ports.free()
    path = os.path.join(lab.folder, "inside.sock")
    start(
        lab,
        f"server {{ listen unix:{path}; return '$server_addr $remote_addr'; }}"
        f"server {{ listen 127.0.0.1:{front}; pass unix:{path}; }}",
    )
    assert say(front) == f"unix:{path} 127.0.0.1".encode()


def test_nothing_goes_over_the_network(lab):
    node, front, inside = lab.node(), *ports(lab, 2)
    start(
        lab,
        f"server {{ listen 127.0.0.1:{inside}; proxy_pass {node.address}; deny 127.0.0.1;"
        " allow all; }"
        f"server {{ listen 127.0.0.1:{front}; pass 127.0.0.1:{inside}; }}",
    )
    with open_raw(front, source="127.0.0.77") as sock:
        assert echoes(sock)
    with open_raw(front) as sock:
        assert receive_all(sock) == b""


def test_variables_choose_the_address(lab):
    front, one, two = ports(lab, 3)
    balancer = start(
        lab,
        f"map $remote_addr $way {{ 127.0.0.2 127.0.0.1:{one}; 127.0.0.3 127.0.0.1:{two};"
        " 127.0.0.4 127.0.0.1; 127.0.0.5 127.0.0.1:1; 127.0.0.6 a:b:c; 127.0.0.7 name:1; }"
        f"server {{ listen 127.0.0.1:{one}; return one; }}"
        f"server {{ listen 127.0.0.1:{two}; return two; }}"
        f"server {{ listen 127.0.0.1:{front}; pass $way; }}",
    )
    said = [say(front, source=f"127.0.0.{n}") for n in range(2, 8)]
    assert said == [b"one", b"two", b"", b"", b"", b""]
    rows = balancer.wait_sessions(6)
    assert sorted(row["status"] for row in rows) == ["200", "200", "200", "500", "500", "500"]
    end = f" while passing connection to port, client: 127.0.0.%d, server: 127.0.0.1:{front}"
    for words, number in (
        ('no port in pass "127.0.0.1"', 4),
        ('port not found for "127.0.0.1:1"', 5),
        ('invalid port in pass "a:b:c"', 6),
        ('no addresses in pass "name:1"', 7),
    ):
        assert words + end % number in balancer.errors()


def test_a_cycle_ends(lab):
    one, two = ports(lab, 2)
    balancer = start(
        lab,
        f"map $server_port $way {{ {one} 127.0.0.1:{two}; default 127.0.0.1:{one}; }}"
        f"server {{ listen 127.0.0.1:{one}; pass $way; }}"
        f"server {{ listen 127.0.0.1:{two}; pass $way; }}",
    )
    assert say(one) == b""
    assert balancer.errors().count("stream pass cycle while passing connection to port") == 1
    assert balancer.errors().count(f"connected to 127.0.0.1:{two}") == 5


@pytest.mark.needs("openssl")
class TestTls:
    def test_tls_that_ended_here_goes_on_in_http(self, lab, server_pair, authority):
        front, web = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front} ssl; {secure(server_pair)}"
            f" pass 127.0.0.1:{web}; }}",
            f"server {{ listen {web};"
            " location / { return 200 '$remote_addr $server_port $request_uri'; } }",
        )
        with connect(front, client_context(authority), source="127.0.0.9") as sock:
            for path in ("/one", "/two"):  # the connection is kept for another request
                sock.sendall(get(path).replace(b"Connection: close\r\n", b""))
                wanted = f"127.0.0.9 {web} {path}".encode()
                data = b""
                while not data.endswith(wanted):
                    more = sock.recv(1000)
                    assert more, data
                    data += more

    def test_websocket_goes_on_in_http(self, lab, server_pair, authority):
        broker = lab.mosquitto()
        front, web = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front} ssl; {secure(server_pair)}"
            f" pass 127.0.0.1:{web}; }}",
            f"server {{ listen 127.0.0.1:{web}; location /mqtt {{ mqtt_websocket_to tcp;"
            f" proxy_pass http://{broker.host}:{broker.port}; }} }}",
        )
        with connect(front, client_context(authority)) as sock:
            sock.sendall(upgrade())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            assert split(head)[0] == 101
            packet = mqtt_connect("device-7")
            mask = b"\1\2\3\4"
            body = bytes(one ^ mask[at % 4] for at, one in enumerate(packet))
            sock.sendall(bytes([0x82, 0x80 | len(packet)]) + mask + body)
            assert receive(sock, 6) == b"\x82\4\x20\2\0\0"

    def test_one_port_ends_tls_or_lets_it_pass_by_name(self, lab, authority, server_pair):
        node = SecureNode(server_context(server_pair))
        front, ends, through = ports(lab, 3)
        own = authority.sign("ends", extensions=LOCAL_HOST)
        try:
            start(
                lab,
                f"map $ssl_preread_server_name $way {{ red.example 127.0.0.1:{through};"
                f" default 127.0.0.1:{ends}; }}"
                f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass $way; }}"
                f"server {{ listen 127.0.0.1:{through}; proxy_pass {node.address}; }}"
                f"server {{ listen 127.0.0.1:{ends} ssl; {secure(own)}"
                # Of the bytes those count that TLS had in it.
                " return '$ssl_server_name $ssl_protocol $bytes_received'; }",
            )
            context = client_context(authority, verify=False)
            with connect(front, context, name="red.example") as sock:
                assert echoes(sock)
            with connect(front, context, name="blue.example") as sock:
                assert receive_all(sock) == b"blue.example TLSv1.3 0"
            assert [one["name"] for one in node.clients] == ["red.example"]
        finally:
            node.clean_up()

    @pytest.mark.parametrize("step", [1, 5, 100, 1000])
    def test_a_hello_in_pieces(self, lab, server_pair, step):
        front, ends = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass 127.0.0.1:{ends}; }}"
            f"server {{ listen 127.0.0.1:{ends} ssl; {secure(server_pair)} return x; }}",
        )
        hello = hello_of(name="a.example")
        with open_raw(front) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start_ in range(0, len(hello), step):
                sock.sendall(hello[start_ : start_ + step])
            answer = receive(sock, 6)
            assert answer[0] == 0x16
            assert answer[5] == 2  # a ServerHello

    def test_a_named_server_passes_on(self, lab, server_pair, authority):
        front, web = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front} ssl; {secure(server_pair)} return first; }}"
            f"server {{ listen 127.0.0.1:{front}; server_name web.example;"
            f" pass 127.0.0.1:{web}; }}",
            f"server {{ listen 127.0.0.1:{web}; location / {{ return 200 web; }} }}",
        )
        context = client_context(authority, verify=False)
        with connect(front, context, name="web.example") as sock:
            sock.sendall(get())
            assert receive_all(sock).endswith(b"web")
        with connect(front, context, name="other.example") as sock:
            assert receive_all(sock) == b"first"

    def test_no_tls_in_tls(self, lab, server_pair, authority):
        front, ends = ports(lab, 2)
        balancer = start(
            lab,
            f"map $server_port $way {{ default 127.0.0.1:{ends}; }}"
            f"server {{ listen 127.0.0.1:{front} ssl; {secure(server_pair)} pass $way; }}"
            f"server {{ listen 127.0.0.1:{ends} ssl; {secure(server_pair)} return x; }}",
        )
        context = client_context(authority)
        with connect(front, context) as sock, contextlib.suppress(OSError):
            assert receive_all(sock) == b""
        words = f'cannot pass connection with TLS to "127.0.0.1:{ends}"'
        balancer.wait_until(lambda: words in balancer.errors(), words)

    def test_plain_http_after_a_look_for_tls_is_answered(self, lab, server_pair):
        front, web = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass 127.0.0.1:{web}; }}",
            f"server {{ listen 127.0.0.1:{web} ssl; {secure(server_pair)}"
            " location / { return 200 web; } }",
        )
        answer = ask(front, get())
        assert split(answer)[0] == 400
        assert b"The plain HTTP request was sent to HTTPS port" in answer

    def test_https_after_a_look_at_its_name(self, lab, server_pair, authority):
        front, web = ports(lab, 2)
        start(
            lab,
            f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass 127.0.0.1:{web}; }}",
            f"server {{ listen 127.0.0.1:{web} ssl; {secure(server_pair)}"
            " location / { return 200 '$ssl_server_name $scheme'; } }",
        )
        with connect(front, client_context(authority, verify=False), name="a.example") as sock:
            sock.sendall(get())
            assert receive_all(sock).endswith(b"a.example https")


def test_mqtt_that_was_read_here_is_read_there(lab):
    broker = lab.mosquitto()
    front, odd, even = ports(lab, 3)
    balancer = start(
        lab,
        "log_format who '$server_port $mqtt_preread_clientid $status';"
        "map $mqtt_preread_clientid $way {"
        f" ~[13579]$ 127.0.0.1:{odd}; default 127.0.0.1:{even}; }}"
        f"server {{ listen 127.0.0.1:{front}; mqtt_preread on; pass $way; }}"
        f"server {{ listen 127.0.0.1:{odd}; mqtt_preread on; access_log who.log who;"
        f" proxy_pass {broker.host}:{broker.port}; }}"
        f"server {{ listen 127.0.0.1:{even}; proxy_pass {broker.host}:{broker.port};"
        " access_log who.log who; }",
    )
    for number in (7, 8):
        mosquitto_pub(front, "topic", b"hello", more=["-i", f"device-{number}"])
    with Client(front, "device-9", version=V5) as client:
        client.subscribe("topic")
        client.publish("topic", "hello", qos=1)
        assert client.receive()
    path = os.path.join(balancer.folder, "who.log")
    balancer.wait_until(lambda: read(path).count("\n") == 3, "three lines")
    assert read(path).splitlines() == [
        f"{odd} device-7 200",
        f"{even} - 200",
        f"{odd} device-9 200",
    ]


def test_a_client_of_mqtt_is_told_that_there_is_no_way(lab):
    front = lab.ports.free()
    start(
        lab,
        f"server {{ listen 127.0.0.1:{front}; mqtt_preread on; set $way 127.0.0.1; pass $way; }}",
    )
    with open_raw(front) as sock:
        sock.sendall(mqtt_connect("device-7"))
        assert receive_all(sock) == CONNACK_OF_REFUSAL


def test_a_proxy_header_is_read_where_it_is_asked_for(lab):
    front, inside, early = ports(lab, 3)
    balancer = start(
        lab,
        f"map $server_port $way {{ default 127.0.0.1:{inside}; }}"
        f"server {{ listen 127.0.0.1:{inside} proxy_protocol; set_real_ip_from 127.0.0.1;"
        " return '$remote_addr $proxy_protocol_addr'; }"
        f"server {{ listen 127.0.0.1:{front}; pass $way; }}"
        f"server {{ listen 127.0.0.1:{early}; ssl_preread on; pass $way; }}",
    )
    header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 1883\r\n"
    assert say(front, header) == b"192.0.2.7 192.0.2.7"
    with open_raw(early) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(header)
        assert receive_all(sock) == b""
    words = "cannot pass connection with preread data while passing connection to port"
    balancer.wait_until(lambda: words in balancer.errors(), words)


def test_who_a_proxy_header_named_is_known_behind_the_pass(lab):
    front, inside, web = ports(lab, 3)
    start(
        lab,
        f"server {{ listen 127.0.0.1:{front} proxy_protocol; set_real_ip_from 127.0.0.1;"
        f" pass 127.0.0.1:{inside}; }}"
        f"server {{ listen 127.0.0.1:{inside}; return '$remote_addr $proxy_protocol_addr'; }}",
        f"server {{ listen 127.0.0.1:{web}; location / {{ return 200 x; }} }}",
    )
    header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1000 1883\r\n"
    assert say(front, header) == b"192.0.2.7 192.0.2.7"


@pytest.mark.parametrize("inside", ["own", "other", "http"])
def test_a_passed_connection_counts_until_it_ends(lab, inside):
    node, front, way = lab.node(), *ports(lab, 2)
    limit = "limit_conn all 1;"
    back = f"server {{ listen 127.0.0.1:{way}; proxy_pass {node.address}; %s }}"
    http = ""
    if inside == "http":
        http = f"server {{ listen 127.0.0.1:{way}; location / {{ return 200 x; }} }}"
        back = ""
    elif inside == "own":
        back %= limit.replace("all", "also")
    else:
        back %= ""
    balancer = start(
        lab,
        "limit_conn_zone $remote_addr zone=all:1m; limit_conn_zone $remote_addr zone=also:1m;"
        f"server {{ listen 127.0.0.1:{front}; {limit} pass 127.0.0.1:{way}; }} {back}",
        http,
    )
    for turn in range(3):
        first = wait_until(lambda: held(front, http=http), "a place is free")
        with first, open_raw(front) as second, contextlib.suppress(ConnectionError):
            assert receive_all(second) == b""
        assert balancer.errors().count('limiting connections by zone "all"') >= turn + 1


def held(port, *, http):
    """A connection that is served and stays; None where it was refused."""
    sock = open_raw(port)
    with contextlib.suppress(OSError):
        if http:
            sock.sendall(get().replace(b"Connection: close\r\n", b""))
            if sock.recv(1000):
                return sock
        elif echoes(sock):
            return sock
    return sock.close()


def test_a_reload_changes_the_way(lab):
    front, one, two = ports(lab, 3)
    servers = (
        f"server {{ listen 127.0.0.1:{one}; return one; }}"
        f"server {{ listen 127.0.0.1:{two}; return two; }}"
    )
    balancer = start(lab, f"{servers} server {{ listen 127.0.0.1:{front}; pass 127.0.0.1:{one}; }}")
    assert say(front) == b"one"
    conf = read(balancer.conf)
    with open(balancer.conf, "w") as file:
        file.write(conf.replace(f"pass 127.0.0.1:{one}", f"pass 127.0.0.1:{two}"))
    balancer.send("reload")
    wait_until(lambda: say(front) == b"two", "the new way")


def test_many_passed_connections_over_workers(lab, server_pair, authority):
    node, front, inside = lab.node(), *ports(lab, 2)
    balancer = start(
        lab,
        f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass 127.0.0.1:{inside}; }}"
        f"server {{ listen 127.0.0.1:{inside} ssl; {secure(server_pair)}"
        f" proxy_pass {node.address}; }}",
        workers=2,
    )
    context = client_context(authority)
    with contextlib.ExitStack() as open_ones:
        socks = [open_ones.enter_context(connect(front, context)) for _ in range(40)]
        assert all(echoes(sock, b"x" * 20_000) for sock in socks)
    assert len(balancer.wait_sessions(40)) == 40
    assert {row["status"] for row in balancer.sessions()} == {"200"}


def test_a_client_that_resets_in_between_costs_nothing(lab, server_pair, authority):
    front, inside = ports(lab, 2)
    balancer = start(
        lab,
        f"server {{ listen 127.0.0.1:{front}; ssl_preread on; pass 127.0.0.1:{inside}; }}"
        f"server {{ listen 127.0.0.1:{inside} ssl; {secure(server_pair)} return fine; }}",
    )
    hello = hello_of(name="a.example")
    for cut in (1, len(hello) // 2, len(hello)):
        sock = open_raw(front)
        sock.sendall(hello[:cut])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with open_raw(front) as sock:
        sock.sendall(hello[:-1])
    with connect(front, client_context(authority)) as sock:
        assert receive_all(sock) == b"fine"
    assert "Traceback" not in balancer.errors()

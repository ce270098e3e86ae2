"""Each setting of http changes what clients and brokers see, and as it does with nginx."""

from __future__ import annotations

import os
import re

import pytest

from lab import http
from lab.http import END, ask, get, split

pytestmark = pytest.mark.needs("nginx")


def keep(path="/", *fields):
    """A request whose connection may stay."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a.example", *fields, "", ""]).encode()


def post(path, size):
    return get(path, f"Content-Length: {size}", method="POST") + b"x" * size


# Two values of a directive, each in a location of its own, and a request for a path below it. NODE
# is a broker, DEAD an address where nobody listens, FOLDER has files.
IN_LOCATIONS = {
    "client_max_body_size": ("client_max_body_size 10;", "client_max_body_size 0;", "POST"),
    "keepalive_timeout": (
        "keepalive_timeout 5s; return 204;",
        "keepalive_timeout 5s 30s; return 204;",
        "KEEP",
    ),
    "keepalive_requests": (
        "keepalive_requests 1; return 204;",
        "keepalive_requests 2; return 204;",
        "KEEP",
    ),
    "default_type": ("default_type a/b; return 200 x;", "default_type c/d; return 200 x;", ""),
    "return": ("return 200 a;", "return 301 https://b.example/;", ""),
    "set": ("set $v 1; return 200 $v;", "set $v 2; return 200 $v;", ""),
    "absolute_redirect": ("return 301 /x;", "absolute_redirect off; return 301 /x;", ""),
    "port_in_redirect": ("return 301 /x;", "port_in_redirect off; return 301 /x;", ""),
    "server_name_in_redirect": ("return 301 /x;", "server_name_in_redirect on; return 301 /x;", ""),
    "internal": ("root FOLDER;", "root FOLDER; internal;", ""),
    "add_header": (
        'add_header A "1"; return 404 x;',
        'add_header A "1" always; return 404 x;',
        "",
    ),
    "error_page": ("return 410 x;", "error_page 410 =200 /else; return 410;", ""),
    "allow": (
        "allow 127.0.0.1; deny all; return 200 x; root FOLDER;",
        "deny all; root FOLDER;",
        "",
    ),
    "set_real_ip_from": (
        "PASS TELL",
        "set_real_ip_from 127.0.0.0/8; PASS TELL",
        "X-Real-IP: 1.2.3.4",
    ),
    "real_ip_header": (
        "TRUST PASS TELL",
        "TRUST real_ip_header X-Forwarded-For; PASS TELL",
        "X-Forwarded-For: 1.2.3.4, 5.6.7.8",
    ),
    "real_ip_recursive": (
        "TRUST real_ip_header X-Forwarded-For; PASS TELL",
        "TRUST real_ip_header X-Forwarded-For; real_ip_recursive on; PASS TELL",
        "X-Forwarded-For: 1.2.3.4, 5.6.7.8",
    ),
    "root": ("root FOLDER;", "root FOLDER/other;", ""),
    "alias": ("root FOLDER;", "alias FOLDER/other/;", ""),
    "index": ("alias FOLDER/other/; index b.txt;", "alias FOLDER/other/; index c.html;", ""),
    "try_files": ("root FOLDER; try_files $uri =404;", "root FOLDER; try_files $uri /else;", ""),
    "autoindex": ("alias FOLDER/bare/;", "alias FOLDER/bare/; autoindex on;", ""),
    "types": (
        "alias FOLDER/other/; index b.txt; types { a/b txt; }",
        "alias FOLDER/other/; index b.txt; types { c/d txt; }",
        "",
    ),
    "proxy_pass": ("proxy_pass http://NODE;", "proxy_pass http://NODE/other/;", ""),
    "proxy_http_version": ("PASS", "proxy_pass http://NODE; proxy_http_version 1.0;", ""),
    "proxy_set_header": ("PASS", "PASS proxy_set_header A $uri; proxy_set_header Host h;", "A: 2"),
    "proxy_pass_request_headers": ("PASS", "PASS proxy_pass_request_headers off;", "A: 1"),
    "proxy_pass_request_body": (
        "PASS",
        'PASS proxy_pass_request_body off; proxy_set_header Content-Length "";',
        "POST",
    ),
    "proxy_hide_header": ("PASS", "PASS proxy_hide_header X-One;", ""),
    "proxy_pass_header": ("PASS", "PASS proxy_pass_header X-Pad;", ""),
    "proxy_redirect": ("PASS", "PASS proxy_redirect http://old.example/ /new/;", "moved"),
    "proxy_intercept_errors": (
        "PASS error_page 503 /else;",
        "PASS error_page 503 /else; proxy_intercept_errors on;",
        "busy",
    ),
    "proxy_buffer_size": ("PASS", "PASS proxy_buffer_size 16k; proxy_buffers 8 16k;", "long"),
    "proxy_next_upstream": (
        "proxy_pass http://pair;",
        "proxy_pass http://pair2; proxy_next_upstream off;",
        "",
    ),
    "proxy_next_upstream_tries": (
        "proxy_pass http://pair3;",
        "proxy_pass http://pair4; proxy_next_upstream_tries 1;",
        "",
    ),
    "proxy_bind": ("PASS", "PASS proxy_bind 127.0.0.9;", "source"),
}

# Two servers by name, each with a value, and what they are asked.
IN_SERVERS = {
    "merge_slashes": ("merge_slashes on;", "merge_slashes off;", get("/a//b")),
    "underscores_in_headers": (
        "underscores_in_headers off;",
        "underscores_in_headers on;",
        get("/", "a_b: 1"),
    ),
    "large_client_header_buffers": (
        "large_client_header_buffers 4 2k;",
        "large_client_header_buffers 4 8k;",
        get("/" + "x" * 5000),
    ),
    "client_header_buffer_size": (
        "large_client_header_buffers 4 2k;",
        "large_client_header_buffers 4 2k; client_header_buffer_size 8k;",
        get("/" + "x" * 5000),
    ),
    "ignore_invalid_headers": (
        "ignore_invalid_headers on;",
        "ignore_invalid_headers off;",
        get("/", "a_b: 1"),
    ),
}

ANSWERS = {
    b"/moved": b"HTTP/1.1 302 Found\r\nLocation: http://old.example/x\r\nContent-Length: 0\r\n\r\n",
    b"/busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
    b"/long": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 6000 + b"\r\nContent-Length: 0\r\n\r\n",
}


class Node(http.Broker):
    """Answers by the path, and tells in its body who came and how."""

    async def __call__(self, session):
        """Serve one connection."""
        data = b""
        while END not in data:
            more = await session.recv()
            if not more:
                return
            data += more
        for ending, answer in ANSWERS.items():
            if data.split()[1].endswith(ending):
                await session.send(answer)
                return
        source = session.sock.getpeername()[0] if b"/source " in data else ""
        told = data + source.encode()
        head = f"HTTP/1.1 200 OK\r\nX-One: 1\r\nX-Pad: 2\r\nContent-Length: {len(told)}\r\n\r\n"
        await session.send(head.encode() + told)


def request_for(path, more):
    """The request of a case."""
    if more == "POST":
        return post(path, 50)
    if more == "KEEP":
        return keep(path)
    if ":" in more:
        return get(path, more)
    return get(path + more)


def host_of(name, side):
    """An address for each server: what is read before the name is known is the default server's."""
    return f"127.0.1.{1 + 2 * list(IN_SERVERS).index(name) + 'ab'.index(side)}"


class Side:
    """One program with all the cases."""

    def __init__(self, lab, program, folder):
        self.node = lab.node(Node())
        self.port = lab.ports.free()
        self.program = program
        dead = f"127.0.0.1:{lab.ports.free()}"
        groups = " ".join(
            f"upstream pair{number} {{ server {dead} weight=9; server NODE; }}"
            for number in ("", 2, 3, 4)
        )
        locations = "".join(
            f"location /{name}/{side}/ {{ {text} }}\n"
            for name, (*texts, _more) in IN_LOCATIONS.items()
            for side, text in zip("ab", texts, strict=True)
        )
        servers = "".join(
            f"server {{ listen {host_of(name, side)}:{self.port}; server_name {name}.{side}; {text}"
            " location / { proxy_pass http://NODE/; } }\n"
            for name, (*texts, _request) in IN_SERVERS.items()
            for side, text in zip("ab", texts, strict=True)
        )
        text = (
            f"{groups} proxy_http_version 1.1; server {{ listen 127.0.0.1:{self.port};"
            f" server_name named.example; {locations} location /else {{ return 200 else; }} }}"
            f"{servers}"
        )
        text = text.replace("TELL", "proxy_set_header X-Told $remote_addr;")
        text = text.replace("TRUST", "set_real_ip_from 127.0.0.0/8; set_real_ip_from 5.6.7.8;")
        text = text.replace("PASS", "proxy_pass http://NODE;").replace("NODE", self.node.address)
        text = text.replace("FOLDER", str(folder))
        self.balancer = http.balancer(lab, text, program=program)

    def hears(self, data, *, host="127.0.0.1"):
        """Status, fields without what has to differ, and body."""
        answer = ask(self.port, data, host=host, end=b"Connection: close" not in data)
        assert answer, (self.program, data)
        status, fields, body = split(answer)
        found = {name.lower(): value for name, value in fields}
        kind = found.get("content-type", "")
        for name in ("date", "server", "etag", "last-modified", "accept-ranges"):
            found.pop(name, None)
        if found.pop("transfer-encoding", None):
            body = re.sub(rb"[0-9a-f]+\r\n(.+?)\r\n0\r\n\r\n", rb"\1", body, flags=re.DOTALL)
        if b"<html>" in body.lower():
            found.pop("content-length", None)
            body = re.sub(rb"<center>(nginx|tidegate)[^<]*", b"<center>S", body)
        plain = str(found).replace(str(self.port), "PORT").replace(self.node.address, "NODE")
        body = body.replace(self.node.address.encode(), b"NODE")
        return status, kind, plain, body.replace(str(self.port).encode(), b"PORT")


@pytest.fixture
def sides(lab, tmp_path):
    tmp_path.chmod(0o755)
    for name in ("other", "bare", *(f"{one}/{side}" for one in IN_LOCATIONS for side in "ab")):
        os.makedirs(tmp_path / name, exist_ok=True)
        (tmp_path / name / "index.html").write_text(f"index of {name}")
        os.makedirs(tmp_path / "other" / name, exist_ok=True)
        (tmp_path / "other" / name / "index.html").write_text(f"other index of {name}")
    (tmp_path / "bare" / "index.html").unlink()
    (tmp_path / "bare" / "a.txt").write_text("a")
    (tmp_path / "other" / "b.txt").write_text("b")
    (tmp_path / "other" / "c.html").write_text("c")
    os.utime(tmp_path / "bare" / "a.txt", (1_700_000_000, 1_700_000_000))
    return [Side(lab, program, tmp_path) for program in ("tidegate", "nginx")]


def test_each_setting_changes_what_is_seen_as_in_nginx(sides):
    ours, nginx = sides
    alike, different = {}, {}
    for name, (_one, _other, more) in IN_LOCATIONS.items():
        found = [request_for(f"/{name}/{side}/", more) for side in "ab"]
        heard = [ours.hears(data) for data in found]
        said = [nginx.hears(data) for data in found]
        if heard != said:
            different[name] = (heard, said)
        told = [
            str(one).replace(f"/{name}/a/", "PATH").replace(f"/{name}/b/", "PATH") for one in heard
        ]
        if told[0] == told[1]:
            alike[name] = heard
    assert different == {}
    assert alike == {}


def test_each_setting_of_a_server_changes_what_is_seen_as_in_nginx(sides):
    ours, nginx = sides
    for name, (_one, _other, request) in IN_SERVERS.items():
        hosts = [host_of(name, side) for side in "ab"]
        heard = [ours.hears(request, host=host) for host in hosts]
        assert heard == [nginx.hears(request, host=host) for host in hosts], name
        assert heard[0] != heard[1], name


NAMES = (
    ("exact.example",),
    ("*.example", "*.b.example", ".dot.example"),
    ("www.*", "a.b.*"),
    (r"~^(?<first>r\d+)\.example$", r"~^r(?<digits>\d+)\."),
    ("second.example", r"~EXACT\.EXAMPLE", "UPPER.example"),
    ('""',),
)
HOSTS = (
    *("exact.example", "EXACT.example:80", "exact.example.", "a.example", "a.b.example", "example"),
    *(
        "dot.example",
        "x.dot.example",
        "www.org",
        "www.b.example",
        "a.b.c",
        "r12.example",
        "r12.org",
    ),
    *("second.example", "upper.example", "nobody.org", "127.0.0.1", "a.b.exact.example", "[::1]"),
    *("r1.example", "xr12.example"),
)

LOCATIONS = (
    *("= /exact", "/exact", "/pre", "^~ /pre/fix", "/pre/fix/longer", "/dir/", "= /", '"/a b"'),
    *(r"~ ^/pre/(?<rest>\w+)\.php$", r"~ \.php$", r"~* \.JPG$", "/UPPER"),
)
NESTED = "location /nest { location ~ ^/nest/(a|b)$ { TELL } location = /nest/exact { TELL } TELL }"
PATHS = (
    *("/", "/exact", "/exact/", "/exact/x", "/pre", "/pre/x.php", "/pre/fix/x.php", "/prefix"),
    *(
        "/pre/fix/longer/x.php",
        "/pre/fix/longer/x",
        "/pre/fix",
        "/x.jpg",
        "/X.JPG",
        "/x.PHP",
        "/dir",
        "/dir/",
        "/dir/x",
    ),
    *("/a%20b", "/a b".replace(" ", "%20") + "/c", "/upper", "/UPPER", "//exact", "/./exact"),
    *("/x/../exact", "/%65xact", "/nest", "/nest/a", "/nest/ab", "/nest/exact", "/nest/exact/"),
    *("/nest/x.php", "/nowhere", "/exact?x=.php", "/pre/x.php?a", "/pre//fix/x.php"),
)


@pytest.fixture
def both(lab):
    """Make both programs, with a configuration in which PORT is to be listened on."""

    def make(text):
        found = []
        for program in ("tidegate", "nginx"):
            port = lab.ports.free()
            http.balancer(lab, text.replace("PORT", f"127.0.0.1:{port}"), program=program)
            found.append(port)
        return found

    return make


def body_for(port, request):
    """Status and body of an answer; pages of errors name their program."""
    status, _fields, body = split(ask(port, request))
    return status, body if status == 200 else b""


def test_a_name_leads_to_the_same_server(both):
    servers = "".join(
        f"server {{ listen PORT; server_name {' '.join(names)};"
        f' return 200 "{number} $server_name $host $first"; }}\n'
        for number, names in enumerate(NAMES)
    )
    ours, nginx = both(f"server {{ listen PORT; server_name none; return 200 x; }} {servers}")
    requests = {host: get().replace(b"a.example", host.encode()) for host in HOSTS}
    requests["nobody"] = b"GET / HTTP/1.0\r\n\r\n"
    heard = {host: body_for(ours, data) for host, data in requests.items()}
    assert heard == {host: body_for(nginx, data) for host, data in requests.items()}
    assert len({body[:1] for _status, body in heard.values()}) > len(NAMES)


def test_a_path_leads_to_the_same_location(both):
    locations = "".join(
        f'location {words} {{ return 200 "{number} $uri"; }}\n'
        for number, words in enumerate(LOCATIONS)
    )
    nested = NESTED
    for number in range(3):
        nested = nested.replace("TELL", f'return 200 "nested {number} $uri";', 1)
    ours, nginx = both(f"server {{ listen PORT; {locations} {nested} }}")
    requests = {path: get(path) for path in PATHS}
    heard = {path: body_for(ours, data) for path, data in requests.items()}
    assert heard == {path: body_for(nginx, data) for path, data in requests.items()}
    found = {body.split()[0] for _status, body in heard.values() if body}
    assert found == {str(number).encode() for number in range(len(LOCATIONS))} | {b"nested"}

"""What brokers and clients of `http {}` see is what they see with the installed nginx.

Where nginx 1.31, whose behaviour is followed, differs from the installed 1.22, or we mean to
differ, the case stands in DIFFERENT with the reason.
"""

from __future__ import annotations

import re

import pytest

from lab import http
from lab.http import END, ask, get, upgrade

pytestmark = pytest.mark.needs("nginx")

# The page's block, and what its neighbours in other manuals write.
PAGE = """
proxy_pass http://{node}{uri}; proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade";
proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
proxy_set_header REMOTE-HOST $remote_addr;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_buffering off; proxy_connect_timeout 10s; proxy_read_timeout 3600s;
"""
LOCATIONS = """
location /page {{ {page} }}
location /page/uri {{ {page_uri} }}
location /plain {{ proxy_pass http://{node}; proxy_http_version 1.1; }}
location /old {{ proxy_pass http://{node}; proxy_http_version 1.0; }}
location /base/ {{ proxy_pass http://{node}/other/; proxy_http_version 1.1; }}
location /cut {{ proxy_pass http://{node}/; proxy_http_version 1.1; }}
location ~ ^/regex/(\\d+)$ {{ proxy_pass http://{node}; proxy_http_version 1.1;
    proxy_set_header X-Match $1; }}
location /variable {{ set $to /said/$arg_to; proxy_http_version 1.1;
    proxy_pass http://{node}$to?$args; }}
location /names {{ proxy_pass http://{node}; proxy_http_version 1.1;
    proxy_set_header A "$scheme|$server_name|$server_protocol|$request_method|$host|$http_host";
    proxy_set_header B "$uri|$request_uri|$args|$is_args|$arg_a|$cookie_c|$http_x_y|$content_type";
    proxy_set_header C "$proxy_host|$proxy_port|$remote_user|$content_length|$request_uri";
    proxy_set_header D "$http_none"; proxy_set_header Host $http_host;
    proxy_set_header Accept-Encoding ""; proxy_set_header E "$document_uri|$query_string"; }}
location /quiet {{ proxy_pass http://{node}; proxy_pass_request_headers off;
    proxy_set_header Content-Length ""; proxy_pass_request_body off; proxy_http_version 1.1; }}
location = /exact {{ proxy_pass http://{node}/was-exact; proxy_http_version 1.1; }}
location /inside {{ error_page 418 = @named; return 418; }}
location @named {{ proxy_pass http://{node}; proxy_http_version 1.1; }}
location /text {{ default_type text/plain; return 200 "a $uri b"; }}
location /empty {{ return 204; }}
location /moved {{ return 301 https://b.example$request_uri; }}
location /moved/here {{ return 302 /there; }}
location /gone {{ return 410; }}
location /shown {{ error_page 404 /text; return 404; }}
location /added {{ add_header X-A "$uri"; add_header X-B b always; return 404 "no"; }}
location /added/ok {{ add_header X-A "$uri"; return 200 "ok"; }}
location /secret {{ internal; return 200 secret; }}
location /denied {{ deny all; proxy_pass http://{node}; }}
location /dead {{ proxy_pass http://127.0.0.1:1; }}
location /small {{ client_max_body_size 10; proxy_pass http://{node}; proxy_http_version 1.1; }}
location /slash/ {{ proxy_pass http://{node}; }}
location / {{ return 200 "rest $uri"; }}
"""


class Side:
    """One program with all locations, in front of one broker."""

    def __init__(self, lab, program, *answers, more=""):
        self.program = program
        self.broker = http.Broker(*answers)
        self.node = lab.node(self.broker)
        self.port = lab.ports.free()
        self.other = lab.ports.free()
        page = PAGE.format(node=self.node.address, uri="")
        page_uri = PAGE.format(node=self.node.address, uri="/mqtt")
        locations = LOCATIONS.format(page=page, page_uri=page_uri, node=self.node.address)
        text = (
            f"server {{ listen 127.0.0.1:{self.other} default_server; listen {self.port};"
            f" return 404; }}"
            f"server {{ listen 127.0.0.1:{self.port}; server_name a.example;"
            f" keepalive_timeout 5s; {more} {locations} }}"
        )
        self.balancer = http.balancer(
            lab, text.replace(f"listen {self.port}; return", "return"), program=program
        )

    def hears(self, data, **options):
        """The answer, and what the broker was asked for it."""
        before = len(self.broker.requests)
        answer = ask(self.port, data, **options)
        return self.alike(answer), [self.alike(one) for one in self.broker.requests[before:]]

    def alike(self, data):
        """Without what has to differ: the time, our names and ports."""
        data = re.sub(rb"(?m)^Date: .*\r$", b"Date: D\r", data)
        data = re.sub(rb"(?m)^Server: (nginx|tidegate)[^\r]*", b"Server: S", data)
        data = re.sub(rb"<center>(nginx|tidegate)[^<]*", b"<center>S", data)
        # Pages name their program, and so do not have the same length.
        data = re.sub(rb"(Content-Type: text/html\r\nContent-Length:) \d+", rb"\1 P", data)
        return (
            data.replace(str(self.port).encode(), b"PORT")
            .replace(self.node.address.encode(), b"NODE")
            .replace(str(self.node.address.rpartition(":")[2]).encode(), b"NODEPORT")
        )


@pytest.fixture
def sides(lab):
    """Make both sides."""
    return lambda *answers, **options: [
        Side(lab, program, *answers, **options) for program in ("nginx", "tidegate")
    ]


def differences(ours, nginx, cases, side):
    """What each of two says where they do not say the same; `side` 0 is the client's."""
    found = {
        name: (ours.hears(data)[side], nginx.hears(data)[side]) for name, data in cases.items()
    }
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def post(path, body, *fields):
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body


HEADS = {
    "the page": upgrade("/page/mqtt"),
    "the page with a query": upgrade("/page/mqtt?a=b%20c"),
    "the page, replaced": upgrade("/page/uri"),
    "the page, replaced, and more": upgrade("/page/uri/x%2Fy?q"),
    "forwarded before": upgrade("/page", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8"),
    "fields of ours": upgrade("/page", "X-Real-IP: 6.6.6.6", "remote-host: x", "HOST2: y"),
    "no upgrade": get("/page/x", "Keep-Alive: 300", "TE: trailers", "Expect: x"),
    "plain": get("/plain/a?b=c#d", "User-Agent: t", "Accept: */*", "X-Empty:", "x-Lower: A b  "),
    "old": get("/old", "Proxy-Connection: x"),
    "escapes": get("/plain/%41%20/../%2e%2e//x//y"),
    "a base": get("/base/a%20b/../c%3Fd?e=f"),
    "a base, plain": get("/base/a/./b//c"),
    "cut": get("/cut/x?y"),
    "cut at its end": get("/cut"),
    "a regex": get("/regex/42?x"),
    "a variable": get("/variable?to=1&x=2"),
    "variables": get(
        "/names/%7Ex?a=1&b", "Cookie: b=2; c=3", "X-Y: z", "Authorization: Basic dTpw"
    ),
    "variables, a body": post("/names", b"12345", "Content-Type: text/x"),
    "quiet": post("/quiet", b"12345", "X: y"),
    "exact": get("/exact?x"),
    "not exact": get("/exact/"),
    "inside": get("/inside/a?b=c"),
    "a body": post("/plain", b"hello world"),
    "an empty body": post("/plain", b""),
    "names that are left out": get("/plain", "a_b: 1", "a-b: 2"),
    "an unknown method": get("/plain", method="FROB"),
    "a whole URL": get("http://a.example/plain/x?y", method="GET"),
    "options": get("/plain", method="OPTIONS"),
    "head": get("/plain", method="HEAD"),
}


# Told apart from the installed nginx's on purpose: (what our broker is asked, what the client gets)
# begin so.
DIFFERENT = {
    # A body in chunks could not be passed on to a client that knows none.
    "HTTP/1.0 goes on as such": (
        get("/plain", version="1.0"),
        b"GET /plain HTTP/1.0\r\n",
        b"HTTP/1.1 200",
    ),
    # nginx takes it for HTTP/0.9 and passes it on.
    "no HTTP": (get("/plain/+OK"), b"GET /plain/+OK HTTP/1.1\r\n", b"HTTP/1.1 502"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_we_mean_to_be_different(lab, name):
    data, asked, answered = DIFFERENT[name]
    answer = b"+OK hello\r\n\r\n" if name == "no HTTP" else http.HELLO
    ours = Side(lab, "tidegate", answer)
    told, (request,) = ours.hears(data)
    assert request.startswith(asked)
    assert told.startswith(answered)


def test_the_broker_is_asked_in_the_same_bytes(sides):
    nginx, ours = sides(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert differences(ours, nginx, HEADS, 1) == {}


ANSWERS = {
    "text": get("/text/x"),
    "text, HTTP/1.0": get("/text/x", version="1.0"),
    "text to HEAD": get("/text/x", method="HEAD"),
    "text with an extension": get("/text/x.html"),
    "nothing": get("/empty"),
    "elsewhere": get("/moved/x?y"),
    "here": get("/moved/here"),
    "gone": get("/gone"),
    "gone, HEAD": get("/gone", method="HEAD"),
    "another page": get("/shown"),
    "fields": get("/added"),
    "fields, 200": get("/added/ok"),
    "inside only": get("/secret"),
    "denied": get("/denied"),
    "dead": get("/dead"),
    "too large": post("/small", b"12345678901"),
    "small enough": post("/small", b"1234567890"),
    "a slash": get("/slash?x=y"),
    "the rest": get("/%2e/a//b/../c"),
    "not below the root": get("/../x"),
    "a zero": get("/a%00b"),
    "a bad escape": get("/a%zz"),
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "no host, HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    "a bad host": b"GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
    "another host": b"GET / HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
    "its name with a dot": b"GET /x HTTP/1.1\r\nHost: A.Example.:80\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "a long line": get("/" + "x" * 9000),
    "a long field": get("/", "X: " + "x" * 9000),
    "many fields": get("/", *[f"X: {'x' * 4000}"] * 10),
    "trace": get("/", method="TRACE"),
    "HTTP/2.0": get("/", version="2.0"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "garbage": b"hello\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "two answers": b"GET /text HTTP/1.1\r\nHost: a.example\r\n\r\n" + get("/text"),
    "keep alive, 1.0": b"GET /text HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n"
    + get("/text"),
}


def test_a_client_is_answered_in_the_same_bytes(sides):
    nginx, ours = sides()
    assert differences(ours, nginx, ANSWERS, 0) == {}


RESPONSES = {
    "plain": b"HTTP/1.1 200 OK\r\nServer: b\r\nDate: x\r\nX-Pad: y\r\nX-Accel-Buffering: no\r\n"
    b"Content-Type: a/b\r\nX-One: 1\r\nContent-Length: 5\r\nSet-Cookie: a\r\n"
    b"Set-Cookie: b\r\n\r\nhello",
    "its own words": b"HTTP/1.1 299 Just So\r\nContent-Length: 0\r\n\r\n",
    "switching": http.SWITCH,
    "no content": b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "modified": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nLast-Modified: "
    b"Sun, 22 Nov 2026 10:00:00 GMT\r\n\r\n",
    "an error": b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nRetry-After: 1\r\n\r\nbusy",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://NODE/x\r\nContent-Length: 0\r\n\r\n",
    "nothing": b"",
    "a big head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n",
}


def read_whole(answer):
    """An answer whose body goes on to its end, or comes in chunks."""
    head, _, body = answer.partition(END)
    if b"Transfer-Encoding: chunked" in head:
        body = re.sub(rb"[0-9a-f]+\r\n(.*?)\r\n", rb"\1", body, flags=re.DOTALL).removesuffix(
            b"\r\n"
        )
    return head, body


@pytest.mark.parametrize("name", RESPONSES)
def test_a_broker_is_quoted_in_the_same_bytes(sides, name):
    nginx, ours = sides(RESPONSES[name])
    for side in (nginx, ours):
        node = side.node.address.encode()
        side.broker.answers = [RESPONSES[name].replace(b"NODE", node)]
    # Of clients that end their side nginx may think that they have left; a tunnel has no other end.
    end = name == "switching"
    for data in (get("/plain/x"), get("/base/x"), upgrade("/page", "Connection: close")):
        assert read_whole(ours.hears(data, end=end)[0]) == read_whole(nginx.hears(data, end=end)[0])


def test_an_answer_before_the_answer_is_dropped(sides):
    """The installed nginx takes it for the answer."""
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    _nginx, ours = sides(early)
    ours.broker.answers = [early]
    head, body = read_whole(ours.hears(get("/plain/x"))[0])
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b"ok"


def test_a_request_that_came_with_the_one_before_is_told(lab):
    told = []
    for program in ("nginx", "tidegate"):
        port = lab.ports.free()
        server = f'server {{ listen 127.0.0.1:{port}; return 200 "<$request_uri $pipe>"; }}'
        http.balancer(lab, server, program=program)
        asked = b"".join(
            b"GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n" % (at, b"Connection: close\r\n" * (at == 3))
            for at in (1, 2, 3)
        )
        told.append(re.findall(rb"<(/.*?)>", ask(port, asked)))
    assert told == [[b"/1 .", b"/2 p", b"/3 p"]] * 2

"""Files with http in them get all the words of the installed nginx, warnings too."""

import pytest

from lab.words import said_of

pytestmark = pytest.mark.needs("nginx")

# UNIX is an address to listen on that no other test has.

# What stands in a location.
WRONG_IN_LOCATIONS = [
    "proxy_pass x;",
    "proxy_pass http://;",
    "proxy_pass http:///x;",
    "proxy_pass http://127.0.0.1:x/;",
    "proxy_pass http://nothing.invalid/x;",
    "proxy_pass http://127.0.0.1; proxy_pass http://127.0.0.1;",
    "proxy_pass unix:/x;",
    "proxy_pass http://unix:;",
    "proxy_pass http://[::1/;",
    "proxy_pass http://127.0.0.1:0;",
    "proxy_pass http://127.0.0.1:70000;",
    "proxy_pass;",
    "proxy_pass http://$;",
    "return;",
    "return x;",
    "return 1000;",
    "return 200 a b;",
    "return /x;",
    "return x y;",
    "root a; root b;",
    "alias a; alias b;",
    "root a; alias b;",
    "alias a; root b;",
    "root $document_root;",
    "alias ${realpath_root};",
    'index "";',
    "try_files a =x;",
    "try_files a =1000;",
    "try_files a b; try_files a b;",
    "try_files a;",
    "internal; internal;",
    "internal x;",
    "autoindex maybe;",
    "proxy_redirect default; proxy_pass http://127.0.0.1;",
    "proxy_pass http://$host; proxy_redirect default;",
    "proxy_pass http://127.0.0.1; proxy_redirect off; proxy_redirect x;",
    "proxy_redirect ~( x;",
    "proxy_pass http://127.0.0.1; proxy_redirect off; proxy_redirect a b;",
    "proxy_redirect a b; proxy_redirect off;",
    "set x y;",
    "set $remote_addr y;",
    "set $ y;",
    "set $x;",
    "stub_status x y;",
    "proxy_ssl_verify on; proxy_pass https://127.0.0.1;",
    "proxy_ssl_certificate x; proxy_pass https://127.0.0.1;",
    "proxy_ssl_certificate x; proxy_ssl_certificate_key y; proxy_pass https://127.0.0.1;",
]
VALID_IN_LOCATIONS = [
    "proxy_pass http://unix:/x:/y;",
    "proxy_pass http://$host$request_uri;",
    "return http://a;",
    "index /a b;",
    "index a /b;",
    "proxy_pass http://127.0.0.1; proxy_redirect default; proxy_redirect default;",
    "stub_status; stub_status;",
    "deny all; allow all;",
    "proxy_ssl_verify on; proxy_pass http://127.0.0.1;",
]

# What stands in a server.
WRONG_IN_SERVERS = [
    "ssl_certificate x;",
    "server_name *a;",
    "server_name *;",
    "server_name .;",
    "server_name ~;",
    "server_name ~(;",
    "server_name;",
    "location ~~ x { }",
    "location = /a { location /a/b { } }",
    "location @a { location /b { } }",
    "location /a { location @b { } }",
    "location /a { location /b { } }",
    "location /a { } location ^~ /a { }",
    "location = /a { } location = /a { }",
    "location ~ ( { }",
    "location a b c { }",
    "location { }",
    "location /;",
    "location ~ a { location /b { } }",
    "location /a { location ~ b { location /c { } } }",
    "location ~ ^/a { location /b { } location = /c { } }",
    "location ~ /a { proxy_pass http://127.0.0.1/; }",
    "location @a { proxy_pass http://127.0.0.1/x; }",
    "location ~ /a { proxy_pass http://127.0.0.1?x; }",
    "proxy_pass http://127.0.0.1;",
    "location @a { alias x; }",
    "alias x;",
    "client_header_timeout 1; client_header_timeout 2;",
]
VALID_IN_SERVERS = [
    "server_name a/b;",
    "server_name a..b;",
    "server_name a.*.b;",
    "location /a { } location = /a { }",
    "location @a { } location @a { }",
    "location x { }",
    "location ^~ /a { location /a/b { } }",
    "location ~ /a { proxy_pass http://127.0.0.1; }",
    "return 301 $scheme://a; return 200;",
    "stub_status;",
]

# What stands in http; FILE:3 is its first line.
WRONG_IN_HTTP = [
    "server { listen 80 fast; }",
    "server { listen 80; listen *:80; }",
    "server { listen 80 default_server; }\nserver { listen 80 default_server; }",
    "server { listen 80 backlog=1; }\nserver { listen 80 backlog=1; }",
    "server { listen 0; }",
    "server { listen 80 backlog=x; }",
    "server { listen 80 ipv6only=x; }",
    "server { listen [::1]:80 ipv6only=maybe; }",
    "server { listen 80 so_keepalive=::; }",
    "server { listen 80 rcvbuf=1g; }",
    "server { listen 80 fastopen=x; }",
    "server { listen :80; }",
    "server { listen 80/x; }",
    "server { listen nothing.invalid; }",
    "server { listen; }",
    "server { listen unix:; }",
    "server { listen [::1; }",
    "server { listen UNIX ssl; }",
    "server { listen UNIX ssl; ssl_certificate x; }",
    "server { listen UNIX ssl; ssl_reject_handshake on; }\nserver { listen UNIX; server_name a; }",
    "server { listen UNIX ssl; ssl_certificate x; ssl_certificate_key y; }",
    "server { listen UNIX; server_name a..b; }\nserver { listen UNIX; }",
    "server { listen UNIX; location /a { }\nlocation /a { } }",
    "upstream a { server 127.1; }\nserver { listen UNIX; location / { proxy_pass http://a:1/; } }",
    "server { listen UNIX; location / { proxy_pass http://a:1/; } }\nupstream a { server 127.1; }",
    (
        "server { listen UNIX; location / { proxy_pass http://a; } location /b {"
        " proxy_pass https://a; } }\nupstream a { server 127.0.0.1; }"
    ),
    "upstream a { }",
    "upstream a { server 127.0.0.1; server 127.0.0.1 weight=0; }",
    "upstream a { server 127.0.0.1 backup; }",
    "upstream a { server 127.0.0.1; }\nupstream A { server 127.0.0.1; }",
    "upstream a { ip_hash; server 127.0.0.1 backup; }",
    "upstream a { server 127.0.0.1:x; }",
    "types { a/b x {} }",
    "error_page 200 /x;",
    "error_page 499 /x;",
    "error_page x /x;",
    "error_page =200 /x;",
    "error_page 404 =x /x;",
    "error_page 404;",
    "error_page 600 /x;",
    "keepalive_timeout x;",
    "keepalive_timeout 1 x;",
    "keepalive_timeout 1 2 3;",
    "keepalive_timeout 1; keepalive_timeout 2;",
    "keepalive_requests x;",
    "large_client_header_buffers 4 0;",
    "large_client_header_buffers 0 1k;",
    "large_client_header_buffers x 1k;",
    "client_header_buffer_size x;",
    "client_max_body_size x;",
    "client_max_body_size 1g; client_max_body_size 2g;",
    "server_tokens maybe;",
    "satisfy x;",
    "limit_conn_status 200;",
    "limit_conn_status 600;",
    "limit_conn_status x;",
    "proxy_http_version 2;",
    "proxy_http_version 1.0; proxy_http_version 1.1;",
    "proxy_next_upstream x;",
    "proxy_set_header a;",
    "add_header a b c;",
    "add_header a b always c;",
    "proxy_redirect x;",
    "proxy_redirect default;",
    "proxy_connect_timeout 1y;",
    "proxy_buffer_size 1g;",
    "proxy_read_timeout 1; proxy_read_timeout 1;",
    "proxy_bind x;",
    "proxy_bind 127.0.0.1 x;",
    "log_format a;",
    "log_format combined x;",
    "access_log logs/a combined x;",
    "access_log logs/a nothing;",
    "access_log off x;",
    "access_log logs/a.log combined buffer=1k flush=1s; access_log logs/a.log combined buffer=2k;",
    "real_ip_header a b;",
    "real_ip_header a; real_ip_header b;",
    "real_ip_recursive x;",
    "set_real_ip_from 10.0.0.0/33;",
    "set_real_ip_from nobody.invalid;",
    "limit_conn_zone $remote_addr zone=x;",
    "limit_conn_zone $pid zone=x:1m; server { listen UNIX; location / { limit_conn x 0; } }",
    "allow x;",
    "split_clients a $x { 60 a; }",
    "stub_status;",
    "server_nam x;",
    "listen 80;",
    "server { server { } }",
    "location / { }",
    "sendfile maybe;",
    "default_type a b;",
    "default_type a; default_type b;",
    "client_header_timeout x;",
    "server { listen UNIX ssl; ssl_verify_client on; ssl_certificate x; ssl_certificate_key x; }",
    "http { }",
    "events { }",
    "server { listen 80 default; listen 80 default; }",
]
VALID_IN_HTTP = [
    "server { listen UNIX ipv6only=on; }",
    "server { listen UNIX; server_name a b; }\nserver { listen UNIX; server_name b; }",
    "server { listen UNIX; }\nserver { listen UNIX; }",
    "server { listen UNIX; server_name .a; }\nserver { listen UNIX; server_name a; }",
    "server { listen UNIX; server_name A.b a.B; }\nserver { listen UNIX; }",
    "server { listen UNIX; server_name a.*; }\nserver { listen UNIX; server_name a.*; }",
    "server { listen UNIX; server_name *.a; }\nserver { listen UNIX; server_name .a; }",
    "types { a/b x; c/d x; } server { listen UNIX; }",
    "types { a/b; } server { listen UNIX; }",
    "error_page 404 = @x; server { listen UNIX; }",
    "limit_conn_status 429; server { listen UNIX; }",
    "proxy_next_upstream off off; server { listen UNIX; }",
    "proxy_next_upstream error off; server { listen UNIX; }",
    "access_log logs/a; server { listen UNIX; }",
    "access_log off; server { listen UNIX; }",
    "set_real_ip_from 10.0.0.1/8; server { listen UNIX; }",
    "map a $http_x { }",
    "map a $arg_x { } server { listen UNIX; }",
    "log_format f $remote_user$request_id$ssl_cipher; server { listen UNIX; }",
    "server { listen UNIX default_server; server_name a; }\nserver { listen UNIX; server_name a; }",
]


# Our lines, its lines, and the reason.
DIFFERENT = {
    "a variable for a whole URL": (
        "server { listen UNIX; location / { proxy_pass $arg_x; } }",
        ['a variable for the scheme of "proxy_pass" is not supported yet in FILE:3'],
        [],
        "the scheme says whether there is TLS, for which files are read beforehand",
    ),
    "a condition": (
        "server { listen UNIX; location / { if ($arg_x) { } } }",
        ['"if" directive is not supported yet in FILE:3'],
        [],
        "a location for each case does it",
    ),
    "connections kept for later": (
        "upstream a { server 127.0.0.1; keepalive 16; } server { listen UNIX; }",
        [
            (
                '"keepalive" directive is ignored: each request has a connection of its own'
                " to a broker in FILE:3"
            )
        ],
        [],
        "a tunnel takes its connection along",
    ),
    "small header buffers": (
        "large_client_header_buffers 4 256;\nserver { listen UNIX; }",
        [
            (
                'the "large_client_header_buffers" size must be equal to or greater than'
                ' "connection_pool_size" in FILE:3'
            )
        ],
        [
            (
                'the "large_client_header_buffers" size must be equal to or greater than'
                ' "connection_pool_size" in FILE:5'
            )
        ],
        "nginx names the end of the block",
    ),
    "an unknown variable": (
        "server { listen UNIX; location / { return 200 $nothing; } }",
        ['unknown "nothing" variable in FILE:3'],
        ['unknown "nothing" variable'],
        "nginx does not say where",
    ),
    "a limit of no zone": (
        "server { listen UNIX; location / { limit_conn y 1; } }",
        ['zero size shared memory zone "y" in FILE:3'],
        ['zero size shared memory zone "y"'],
        "nginx does not say where",
    ),
    "an argument without a name": (
        "server { listen UNIX; location / { return 200 $arg_; } }",
        ['unknown "arg_" variable in FILE:3'],
        [],
        "nginx takes it, and it is always empty",
    ),
    "a cycle": (
        "map $x $x { } server { listen UNIX; }",
        ['cycle while evaluating variable "x" in FILE:3'],
        [],
        "nginx says so for each request",
    ),
    "what does nothing": (
        "sendfile on; sendfile on;",
        [
            '"sendfile" directive is ignored: it has no effect here in FILE:3',
            '"sendfile" directive is duplicate in FILE:3',
        ],
        ['"sendfile" directive is duplicate in FILE:3'],
        "there is no such setting here",
    ),
    "two protocols for one address": (
        (
            "server { listen UNIX proxy_protocol; }"
            "\nserver { listen UNIX ssl; ssl_reject_handshake on; }"
        ),
        [
            "protocol options redefined for unix:FOLDER/sock in FILE:4",
            'no "ssl_certificate" is defined for the "listen ... ssl" directive in FILE:3',
        ],
        ['no "ssl_certificate" is defined for the "listen ... ssl" directive in FILE:3'],
        "nginx warns since 1.25",
    ),
    "proxies of a geo": (
        "geo $x { proxy 10.0.0.0/8; default a; } server { listen UNIX; }",
        ['"proxy" of "geo" is not supported yet in FILE:3'],
        [],
        "set_real_ip_from says it once, for all variables",
    ),
    "HTTP/2": (
        "server { listen UNIX http2; }",
        [
            (
                'the "listen ... http2" directive is deprecated, use the "http2" directive instead'
                " in FILE:3"
            )
        ],
        [],
        "nginx warns since 1.25",
    ),
    "a second http": (
        "}\nhttp {",
        ['"http" directive is duplicate, merged into the one in FILE:2 in FILE:4'],
        ['"http" directive is duplicate in FILE:4'],
        "the page appends its blocks to the stock file, so they are merged",
    ),
    "an address of the client that can be forged": (
        (
            "server { listen UNIX; location / { proxy_pass http://127.0.0.1;"
            " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }"
        ),
        [
            (
                'with "$proxy_add_x_forwarded_for" clients can forge the address that brokers see'
                " in FILE:3"
            )
        ],
        [],
        "EMQX takes the left-most address",
    ),
    "an idle limit that nobody wrote": (
        (
            "server { listen UNIX; location /mqtt { proxy_pass http://127.0.0.1;"
            " proxy_set_header Upgrade $http_upgrade; } }"
        ),
        [
            (
                'no "proxy_read_timeout" in location "/mqtt":'
                " the idle limit of MQTT sessions is that of their keep alive in FILE:3"
            )
        ],
        [],
        "nginx ends sessions after a minute of silence",
    ),
}


@pytest.fixture
def said(tmp_path):
    (tmp_path / "logs").mkdir()

    def said(text):
        """What both say of an `http {}`."""
        text = text.replace("UNIX", f"unix:{tmp_path}/sock")
        return said_of(tmp_path, f"events {{}}\nhttp {{\n{text}\n}}\n")

    return said


@pytest.mark.parametrize("text", WRONG_IN_LOCATIONS)
def test_a_wrong_location_gets_nginx_words(said, text):
    ours, theirs, passes = said(f"server {{ listen UNIX; location / {{ {text} }} }}")
    assert ours == theirs
    assert not passes


@pytest.mark.parametrize("text", VALID_IN_LOCATIONS)
def test_a_valid_location_is_taken(said, text):
    ours, theirs, passes = said(f"server {{ listen UNIX; location / {{ {text} }} }}")
    assert ours == theirs
    assert passes


@pytest.mark.parametrize("text", WRONG_IN_SERVERS)
def test_a_wrong_server_gets_nginx_words(said, text):
    ours, theirs, passes = said(f"server {{ listen UNIX; {text} }}")
    assert ours == theirs
    assert not passes


@pytest.mark.parametrize("text", VALID_IN_SERVERS)
def test_a_valid_server_is_taken(said, text):
    ours, theirs, passes = said(f"server {{ listen UNIX; {text} }}")
    assert ours == theirs
    assert passes


@pytest.mark.parametrize("text", WRONG_IN_HTTP)
def test_a_wrong_http_gets_nginx_words(said, text):
    ours, theirs, passes = said(text)
    assert ours == theirs
    assert not passes


@pytest.mark.parametrize("text", VALID_IN_HTTP)
def test_a_valid_http_is_taken(said, text):
    ours, theirs, passes = said(text)
    assert ours == theirs
    assert passes


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_known_difference_is_still_one(said, case):
    text, our_words, their_words, reason = DIFFERENT[case]
    assert reason
    ours, theirs, _passes = said(text)
    assert (ours, theirs) == (our_words, their_words)

"""`http {}` is read and held to the grammar, though it is not served yet."""

STOCK = """
user root;
events { worker_connections 768; }
http {
    sendfile on; tcp_nopush on; types_hash_max_size 2048;
    types { text/html html htm; }
    default_type application/octet-stream;
    log_format main '$remote_addr "$request"';
    access_log logs/access.log main;
    gzip on; gzip_types text/plain text/css;
    keepalive_timeout 65;
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    upstream ws { ip_hash; server emqx1:8083; keepalive 16; }
    server {
        listen 80 default_server; server_name _;
        ssl_protocols TLSv1.2;
        location / { root html; index index.html; try_files $uri =404; }
        location = /mqtt {
            proxy_pass http://ws; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            if ($request_method = POST) { return 405; }
            limit_except GET { deny all; }
        }
        location /status { stub_status on; access_log off; }
        error_page 500 502 /50x.html;
    }
}
"""


def test_a_stock_file_passes_with_one_warning(folder):
    loaded = folder.load(STOCK)
    assert loaded.first_error is None
    assert [problem.message for problem in loaded.problems if "user" not in problem.message] == [
        '"http" directive is not supported yet: its contents are checked, but not served'
    ]
    assert loaded.model.http.line == 4


def test_a_second_http_is_merged_with_a_warning_that_names_both_lines(folder):
    loaded = folder.load("events {}\nhttp {}\nhttp { server { listen 1; } }")
    name = f"{folder.path}/tidegate.conf"
    assert loaded.problems[-1].words == (
        f'"http" directive is duplicate, merged into the one in {name}:2 in {name}:3'
    )


def test_mistakes_inside_are_found(folder):
    assert folder.errors(
        "events {} http { server_nam x; listen 80; sendfile maybe;"
        " server { location { } location / { proxy_pass; stream {} } } }"
    ) == [
        'unknown directive "server_nam"',
        '"listen" directive is not allowed here',
        'invalid value "maybe" in "sendfile" directive, it must be "on" or "off"',
        'invalid number of arguments in "location" directive',
        'invalid number of arguments in "proxy_pass" directive',
        '"stream" directive is not allowed here',
    ]

"""The files that nginx comes with are read, alone and with each block of the page behind them."""

import re
import socket
from pathlib import Path

import pytest

from lab.certificates import Authority
from tidegate.config.model_http import Files, HttpProxy, StubStatus
from tidegate.wire.address import Address

PAGE = Path(__file__).parents[1] / "page"
BLOCKS = sorted(path.stem for path in PAGE.glob("[0-9][0-9].conf"))

# What the packages of nginx.org install: the same directives with the same values.
NGINX_ORG = """
worker_processes auto;
error_log {folder}/logs/error.log notice;
pid {folder}/nginx.pid;

events {{
    worker_connections 1024;
}}

http {{
    include mime.types;
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for"';
    access_log {folder}/logs/access.log main;
    sendfile on;
    #tcp_nopush on;
    keepalive_timeout 65;
    #gzip on;
    include conf.d/*.conf;
}}
"""
DEFAULT_CONF = """
server {
    listen 80;
    server_name localhost;

    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }

    error_page 500 502 503 504 /50x.html;
    location = /50x.html {
        root /usr/share/nginx/html;
    }
}
"""
MIME_TYPES = """
types {
    text/html html htm shtml;
    text/css css;
    image/jpeg jpeg jpg;
    application/javascript js;
}
"""

# What is built from source installs, its comments left out.
SOURCE = """
worker_processes 1;

events {{
    worker_connections 1024;
}}

http {{
    include mime.types;
    default_type application/octet-stream;
    sendfile on;
    keepalive_timeout 65;

    server {{
        listen 80;
        server_name localhost;

        location / {{
            root html;
            index index.html index.htm;
        }}
        error_page 500 502 503 504 /50x.html;
        location = /50x.html {{
            root html;
        }}
    }}
}}
"""

DEBIAN = Path("/etc/nginx/nginx.conf")


def anybody(host, port):
    """A name server that knows every name."""
    del host
    return [Address(family=socket.AF_INET, host="10.0.0.1", port=port)]


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    made = Authority(str(tmp_path_factory.mktemp("certificates")))
    made.sign("emqx")
    return made


@pytest.fixture
def stock(folder):
    folder.write(MIME_TYPES, "mime.types")
    folder.write(DEFAULT_CONF, "conf.d/default.conf")
    return {
        "nginx.org": NGINX_ORG.format(folder=folder.path),
        "source": SOURCE.format(),
    }


def block(number, authority):
    """A block of the page, without what the stock file has already; its files are ours."""
    text = (PAGE / f"{number}.conf").read_text()
    for name in ("events", "user", "worker_processes", "error_log", "pid"):
        text = re.sub(rf"^{name}\b[^;{{]*(;|\{{[^}}]*\}})", "", text, flags=re.MULTILINE)
    text = re.sub(r"/\S*/certs/(emqx|cert)\.pem", authority.path("emqx.pem"), text)
    text = re.sub(r"/\S*/certs/(emqx\.key|key\.pem)", authority.path("emqx.key"), text)
    return re.sub(r"/\S*/certs/ca\.\w+", authority.certificate, text)


def read(folder, text):
    loaded = folder.load(text, resolve=anybody)
    assert loaded.first_error is None, loaded.first_error.headline
    return loaded


@pytest.mark.parametrize("name", ["nginx.org", "source"])
def test_a_stock_file_serves_its_files(folder, stock, name):
    loaded = read(folder, stock[name])
    (server,) = loaded.model.http.servers
    assert server.names == ("localhost",)
    root, error = server.locations
    assert isinstance(root.content, Files)
    assert root.keepalive_timeout_ms == 65_000
    assert dict(root.types)["css"] == "text/css"
    assert [one.code for one in root.error_pages] == [500, 502, 503, 504]
    assert (error.match, error.text) == ("=", "/50x.html")
    assert [problem.message for problem in loaded.problems] == [
        '"sendfile" directive is ignored: it has no effect here'
    ]


@pytest.mark.parametrize("number", BLOCKS)
@pytest.mark.parametrize("name", ["nginx.org", "source"])
def test_the_pages_blocks_may_stand_behind_a_stock_file(folder, stock, authority, name, number):
    loaded = read(folder, stock[name] + block(number, authority))
    assert served(loaded.model)
    merged = [one.message for one in loaded.problems if "directive is duplicate" in one.message]
    assert len(merged) == ("http {" in block(number, authority))


@pytest.mark.needs("nginx")
def test_debians_file_is_read_with_all_that_it_includes(folder):
    loaded = read(folder, DEBIAN.read_text())
    names = {Path(source.path).name for source in loaded.files}
    assert {"mime.types", "default"} <= names
    locations = [one for server in loaded.model.http.servers for one in server.locations]
    assert any(isinstance(one.content, Files) for one in locations)
    known = ("load_module", "sendfile", "tcp_nopush", "types_hash_max_size", "gzip", "user")
    told = [one.message for one in loaded.problems]
    assert all(message.startswith(("the ", *(f'"{name}"' for name in known))) for message in told)


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("number", BLOCKS)
def test_the_pages_blocks_may_stand_behind_debians_file(folder, authority, number):
    assert served(read(folder, DEBIAN.read_text() + block(number, authority)).model)


def served(model):
    """Whether the block of the page leads somewhere: to brokers, or to the status page."""
    locations = [one for server in model.http.servers for one in server.locations]
    found = [one for one in locations if isinstance(one.content, HttpProxy | StubStatus)]
    return bool(found or (model.stream and model.stream.servers))


def test_the_quick_start_leads_to_brokers_and_to_the_status_page(folder, authority):
    loaded = read(folder, "events {}\n" + block("00", authority))
    assert len(loaded.model.stream.servers) == 2
    assert len(loaded.model.http.servers) == 3
    status, plain, secured = loaded.model.http.servers
    assert status.locations[0].content == StubStatus()
    assert plain.locations[0].content.upstream == "emqxws"
    assert str(plain.locations[0].content.uri) == "/mqtt"
    assert secured.tls is not None
    assert secured.listens[0].listen.ssl
    idle = [one for one in loaded.problems if "idle limit" in one.message]
    assert len(idle) == 2

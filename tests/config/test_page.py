"""The page's configurations for choosing a node are read as they stand there."""

import pytest

from tidegate.config.model import Hash, IpHash, LeastConn

PAGE = """
events {
    worker_connections 1024;
}

stream {
  %s

  upstream backend_servers {
    %s
    server emqx1:1883;
    server emqx2:1883;
    server both:1883;
  }

  server {
    listen 1883;
    proxy_pass backend_servers;
  }
}
"""

# On the page a certificate's serial number stands for the client identifier.
CLIENT_ID = """
events {
    worker_connections 1024;
}

stream {
  mqtt on;

  server {
    listen 1883%s;
    proxy_pass 10.0.0.113:1883;
    proxy_connect_timeout 1s;

    mqtt_set_connect clientid %s;
  }
}
"""


@pytest.mark.parametrize(
    ("line", "method"), [("ip_hash;", IpHash()), ("least_conn;", LeastConn())], ids=["07", "08"]
)
def test_07_and_08_choose_by_address_and_by_load(folder, line, method):
    loaded = folder.load(PAGE % ("", line))
    assert loaded.problems == ()
    (group,) = loaded.model.stream.upstreams
    assert group.method == method
    assert len(group.peers) == 4


def test_09_chooses_by_client_identifier(folder):
    loaded = folder.load(PAGE % ("mqtt_preread on;", "hash $mqtt_preread_clientid consistent;"))
    assert loaded.problems == ()
    (group,), (server,) = loaded.model.stream.upstreams, loaded.model.stream.servers
    assert isinstance(group.method, Hash)
    assert (str(group.method.key), group.method.consistent) == ("$mqtt_preread_clientid", True)
    assert server.mqtt.preread
    assert server.mqtt.keepalive_factor == 1.5


def test_10_wants_a_certificate_alone(folder):
    assert folder.errors(CLIENT_ID % (" ssl", "$ssl_client_serial")) == [
        'no "ssl_certificate" is defined for the "listen ... ssl" directive'
    ]
    loaded = folder.load(CLIENT_ID % ("", "$remote_addr"))
    assert loaded.problems == ()
    (server,) = loaded.model.stream.servers
    assert server.mqtt.rewrite
    assert [(one.field, str(one.value)) for one in server.mqtt.set_connect] == [
        ("clientid", "$remote_addr")
    ]

"""Devices in TLS at the front, mosquitto in mutual TLS behind, each known by its certificate."""

import subprocess

import pytest

from lab.certificates import LOCAL_HOST
from lab.clients import mosquitto_pub

pytestmark = pytest.mark.needs("mosquitto", "openssl")


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_mutual_tls_on_both_sides(lab, authority, server_pair, version):
    certificate, key = authority.sign("broker", extensions=LOCAL_HOST)
    ours = authority.sign("front", subject="/CN=front")
    device = authority.sign("device", subject="/CN=device-7")
    broker = lab.mosquitto(
        extra=(
            f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
            "require_certificate true\nuse_identity_as_username true\n"
        )
    )
    port = lab.ports.free()
    lab.balancer(
        "mqtt on;"
        f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {broker.address};"
        f" ssl_certificate {server_pair[0]}; ssl_certificate_key {server_pair[1]};"
        f" ssl_client_certificate {authority.certificate}; ssl_verify_client on;"
        " mqtt_set_connect clientid $ssl_client_s_dn_cn;"
        " proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name localhost;"
        f" proxy_ssl_trusted_certificate {authority.certificate};"
        f" proxy_ssl_certificate {ours[0]}; proxy_ssl_certificate_key {ours[1]}; }}"
    )
    more = ["--cafile", authority.certificate, "--tls-version", version]
    mosquitto_pub(port, "a", b"b", more=[*more, "--cert", device[0], "--key", device[1]])
    assert broker.clients() == ["device-7"]
    assert "u'front'" in broker.output()
    with pytest.raises(subprocess.CalledProcessError):
        mosquitto_pub(port, "a", b"b", more=more)

"""MQTT clients of different makers prove by certificate who they are, and reach a broker in TLS."""

import contextlib
import os
import subprocess

import pytest

from lab.certificates import LOCAL_HOST, Authority
from lab.clients import V5, V31, V311, Client
from lab.fixtures import Lab
from lab.mqttjs import mqttjs
from lab.process import read
from lab.tls import V12, V13, client_context
from lab.waiting import PATIENCE, wait_until

# One world is made, so all of it is for one process.
pytestmark = [
    pytest.mark.needs("mosquitto", "openssl"),
    pytest.mark.xdist_group("mqtt_clients_with_certificates"),
]

SERIAL = 0x5EC0DE
TLS = {V12: "TLSv1.2", V13: "TLSv1.3"}
MQTT = {V31: "31", V311: "311", V5: "5"}


class World:
    """Devices, two workers in front, and a broker that only talks to the balancer."""

    def __init__(self, lab, authority, server_pair, strangers):
        self.authority = authority
        self.device = authority.sign("device", subject="/O=Fleet/CN=device-7", serial=SERIAL)
        self.stranger = strangers.sign("stranger", subject="/CN=device-7", serial=SERIAL)
        certificate, key = authority.sign("broker", extensions=LOCAL_HOST)
        ours = authority.sign("front", subject="/CN=front")
        self.broker = lab.mosquitto(
            extra=(
                f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\n"
                "require_certificate true\nuse_identity_as_username true\n"
            )
        )
        self.ports = {version: lab.ports.free() for version in TLS}
        servers = "\n".join(
            f"server {{ listen 127.0.0.1:{port} ssl; ssl_protocols {TLS[version]};"
            f" proxy_pass {self.broker.address};"
            " mqtt_set_connect clientid $ssl_client_serial; }"
            for version, port in self.ports.items()
        )
        self.balancer = lab.balancer(
            "log_format tls '$ssl_protocol $ssl_client_verify $ssl_client_serial"
            " $mqtt_preread_clientid $status'; access_log tls.log tls; mqtt on;"
            f" ssl_certificate {server_pair[0]}; ssl_certificate_key {server_pair[1]};"
            f" ssl_client_certificate {authority.certificate}; ssl_verify_client on;"
            " proxy_ssl on; proxy_ssl_verify on; proxy_ssl_name localhost;"
            f" proxy_ssl_trusted_certificate {authority.certificate};"
            f" proxy_ssl_certificate {ours[0]}; proxy_ssl_certificate_key {ours[1]};\n"
            f"{servers}",
            workers=2,
        )

    def lines(self):
        """What has been logged of sessions."""
        return read(os.path.join(self.balancer.folder, "tls.log")).splitlines()


@pytest.fixture(scope="module")
def world(ports, authority, server_pair, tmp_path_factory):
    """One world for all tests of this file."""
    lab = Lab(ports)
    strangers = Authority(str(tmp_path_factory.mktemp("strangers")), subject="/CN=Strangers")
    with contextlib.closing(lab):
        yield World(lab, authority, server_pair, strangers)


@pytest.fixture
def told(world):
    """What broker and log have learnt during the test."""
    clients, lines = len(world.broker.clients()), len(world.lines())

    def since(count):
        wait_until(lambda: len(world.lines()) >= lines + count, f"{count} sessions are logged")
        return world.broker.clients()[clients:], world.lines()[lines:]

    return since


def paho(world, tls, mqtt, pair):
    context = client_context(world.authority, version=tls, pair=pair)
    with Client(world.ports[tls], "claimed", version=mqtt, tls=context) as client:
        client.subscribe("paho/#", 2)
        payloads = [os.urandom(size) for size in (0, 1, 16_384, 300_000)]
        for number, payload in enumerate(payloads):
            client.publish(f"paho/{number}", payload, qos=number % 3)
        messages = [client.receive() for _ in payloads]
        got = {message.topic: message.payload for message in messages}
        assert got == {f"paho/{number}": payload for number, payload in enumerate(payloads)}


def mosquitto(world, tls, mqtt, pair):
    # `--tls-version` would be the lowest, not the only one.
    more = ["--cafile", world.authority.certificate]
    if pair is not None:
        more += ["--cert", pair[0], "--key", pair[1]]
    argv = [
        "mosquitto_rr",
        "-h",
        "127.0.0.1",
        "-p",
        str(world.ports[tls]),
        "-V",
        f"mqttv{MQTT[mqtt]}",
    ]
    # It answers itself: what it asks for goes to where it listens.
    argv += ["-i", "claimed", "-q", "1", "-t", "rr", "-e", "rr", "-m", "question", "-W", "10"]
    done = subprocess.run([*argv, *more], timeout=PATIENCE, check=True, capture_output=True)
    assert done.stdout == b"question\n"


def mqtt_js(world, tls, mqtt, pair):
    options = {"ca": world.authority.certificate}
    options |= dict.fromkeys(("minVersion", "maxVersion"), TLS[tls])
    if pair is not None:
        options |= {"cert": pair[0], "key": pair[1]}
    messages = [[f"{number}", number % 3] for number in range(9)]
    answer = mqttjs(world.ports[tls], "claimed", version=int(mqtt), messages=messages, **options)
    if "error" in answer:
        raise ConnectionError(answer["error"])
    assert sorted(answer["got"]) == sorted(messages)


CLIENTS = [
    pytest.param(paho, id="paho"),
    pytest.param(mosquitto, id="mosquitto"),
    pytest.param(mqtt_js, id="mqtt.js", marks=pytest.mark.needs("mqttjs")),
]


@pytest.mark.parametrize("talk", CLIENTS)
@pytest.mark.parametrize("tls", TLS, ids=TLS.get)
@pytest.mark.parametrize("mqtt", MQTT, ids=MQTT.get)
def test_a_device_is_known_by_its_certificate(world, told, talk, tls, mqtt):
    talk(world, tls, mqtt, world.device)
    clients, lines = told(1)
    assert clients == [f"{SERIAL:X}"]
    assert lines == [f"{TLS[tls]} SUCCESS {SERIAL:X} claimed 200"]
    assert "u'front'" in world.broker.output()


@pytest.mark.parametrize("talk", CLIENTS)
@pytest.mark.parametrize("tls", TLS, ids=TLS.get)
@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_nobody_else_reaches_the_broker(world, told, talk, tls, who):
    pair = world.stranger if who == "stranger" else None
    with pytest.raises((AssertionError, OSError, subprocess.CalledProcessError)):
        talk(world, tls, V311, pair)
    clients, lines = told(1)
    assert clients == []
    verdict = "FAILED:unable to verify the first certificate" if pair else "NONE"
    shown = f"{SERIAL:X}" if pair else "-"
    assert lines == [f"{TLS[tls]} {verdict} {shown} - 500"]

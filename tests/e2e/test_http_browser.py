"""A real browser, on a page that we serve, publishes and receives through us, by ws and by wss."""

from __future__ import annotations

import os
import shutil

import pytest

from lab import http, mqttjs
from lab.clients import Client

pytestmark = [
    pytest.mark.needs("mosquitto", "mqttjs", "chromium", "openssl"),
    pytest.mark.timeout(180),
]

PATIENCE_MS = 60_000
LAB = os.path.dirname(mqttjs.__file__)
PAGE = """
location /mqtt { proxy_pass http://brokers; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade"; }
location / { root PLACE; index browser.html; }
"""


@pytest.fixture
def place(tmp_path):
    """The page and the library, where a worker's user can read them."""
    folder = tmp_path / "html"
    folder.mkdir()
    shutil.copy(os.path.join(LAB, "browser.html"), folder)
    bundle = os.path.join(mqttjs.MODULES, "mqtt", "dist", "mqtt.min.js")
    shutil.copy(bundle, folder / "client.js")
    return str(folder)


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_page_talks_mqtt(lab, authority, server_pair, place, secure):
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 only where there is a browser

    del authority
    listener, port = lab.ports.free(), lab.ports.free()
    lab.mosquitto(extra=f"listener {listener} 127.0.0.1\nprotocol websockets\n")
    pair = f"ssl_certificate {server_pair[0]}; ssl_certificate_key {server_pair[1]};"
    http.balancer(
        lab,
        "types { text/html html; text/javascript js; }"
        f"upstream brokers {{ server 127.0.0.1:{listener}; }}"
        f"server {{ listen 127.0.0.1:{port}{' ssl' if secure else ''}; {pair if secure else ''}"
        f" {PAGE.replace('PLACE', place)} }}",
    )
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"{'https' if secure else 'http'}://127.0.0.1:{port}/")
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}/mqtt"
        page.evaluate("([url, name]) => talk(url, name)", [url, "a-browser"])
        page.wait_for_function("got.length > 0 || failed", timeout=PATIENCE_MS)
        assert page.evaluate("[failed, got]") == ["", [["browser", "hello from a page"]]]
        if not secure:
            with Client(port, "paho", path="/mqtt") as client:
                client.publish("browser", b"hello from paho", qos=1)
            page.wait_for_function("got.length > 1", timeout=PATIENCE_MS)
            assert page.evaluate("got[1]") == ["browser", "hello from paho"]
        browser.close()

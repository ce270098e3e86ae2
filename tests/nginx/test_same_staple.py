"""`ssl_stapling_file` hands out what the installed nginx does; it knows that in http alone."""

from __future__ import annotations

import re

import pytest

from lab import http
from lab.certificates import LOCAL_HOST, openssl
from lab.waiting import wait_until
from lab.words import said_of

pytestmark = pytest.mark.needs("nginx", "openssl")


def told(port, version):
    """What s_client is told of the certificate: all of the answer, or that there is none."""
    said = openssl(
        *("s_client", "-connect", f"127.0.0.1:{port}", "-status", f"-{version}"), text=""
    )
    return re.search(r"OCSP response:.*?(?=\n---|\n======\n---|depth=|$)", said, re.DOTALL)[0]


@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_a_client_is_handed_the_same_answer(lab, authority, tmp_path, version):
    certificate, key = authority.sign("stapled", extensions=LOCAL_HOST)
    path = tmp_path / "answer.der"
    authority.answer(certificate, path)
    answers = []
    for program in ("tidegate", "nginx"):
        for flag in ("on", "off"):
            port = lab.ports.free()
            http.balancer(
                lab,
                f"server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {certificate};"
                f" ssl_certificate_key {key}; ssl_stapling {flag}; ssl_stapling_file {path};"
                " ssl_protocols TLSv1.2 TLSv1.3; return 200; }",
                program=program,
            )
            answers.append(wait_until(lambda port=port: told(port, version), "an answer"))
    assert answers[:2] == answers[2:]
    assert "Cert Status: good" in answers[0]
    assert "no response sent" in answers[1]


@pytest.mark.parametrize("name", ["gone", "nonsense", "empty"])
def test_a_file_that_is_no_answer_is_told_of_alike(authority, tmp_path, name):
    certificate, key = authority.sign("stapled", extensions=LOCAL_HOST)
    (tmp_path / "nonsense").write_text("nonsense")
    (tmp_path / "empty").write_text("")
    (tmp_path / "logs").mkdir()
    ours, theirs, _taken = said_of(
        tmp_path,
        f"events {{}} http {{ server {{ listen 127.0.0.1:1 ssl; ssl_certificate {certificate};"
        f" ssl_certificate_key {key}; ssl_stapling on; ssl_stapling_file {tmp_path}/{name}; }} }}",
    )
    assert ours == theirs

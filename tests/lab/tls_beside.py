"""The same TLS servers twice, at tidegate and at the installed nginx, and what each logs."""

import os
import re
import time

from lab.certificates import Authority
from lab.waiting import wait_until

PROGRAMS = ("tidegate", "nginx")
VARIABLES = (
    "ssl_protocol",
    "ssl_cipher",
    "ssl_ciphers",
    "ssl_curve",
    "ssl_curves",
    "ssl_server_name",
    "ssl_session_reused",
    "ssl_alpn_protocol",
    "ssl_client_verify",
    "ssl_client_serial",
    "ssl_client_s_dn",
    "ssl_client_i_dn",
    "ssl_client_fingerprint",
    "ssl_client_v_start",
    "ssl_client_v_end",
    "ssl_client_v_remain",
    "ssl_client_cert",
    "ssl_client_raw_cert",
    "status",
    "bytes_received",
    "bytes_sent",
)
# The workers of nginx 1.22 crash on this one where a handshake failed.
DANGEROUS = "ssl_curve"
SAFE = tuple(name for name in VARIABLES if name != DANGEROUS)
# Ends a line, for there are variables with lines of their own.
END = "<end>"
ESCAPES = ("json", "default", "none")


class Beside:
    """`texts` are of a server each; `ports` are by program, in that order."""

    def __init__(self, lab, texts, *, node, pair, variables=VARIABLES):
        self.variables = variables
        log = "|".join(f"${name}" for name in variables) + END
        self.balancers, self.ports = {}, {}
        for program in PROGRAMS:
            ports = [lab.ports.free() for _ in texts]
            stream = [
                *(f"log_format {one} escape={one} '{log}';" for one in ESCAPES),
                *(f"access_log {one}.log {one};" for one in ESCAPES),
                f"ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};",
                "ssl_protocols TLSv1.2 TLSv1.3;",
                *(
                    f"server {{ listen 127.0.0.1:{port} ssl; proxy_pass {node.address}; {text} }}"
                    for port, text in zip(ports, texts, strict=True)
                ),
            ]
            self.balancers[program] = lab.balancer("\n".join(stream), program=program)
            self.ports[program] = ports
        self._seen = dict.fromkeys(PROGRAMS, 0)

    def next_lines(self, program) -> dict[str, bytes]:
        """The next line that each kind of escape gives, as it stands there."""
        self._seen[program] += 1
        found = {one: self._lines(program, one, self._seen[program])[-1] for one in ESCAPES}
        # We escape line ends there, too, so that nobody forges a line.
        found["none"] = found["none"].replace(b"\\x0A", b"\n")
        return found

    def rows(self, program, count) -> list[dict[str, str]]:
        """The first lines by variable."""
        lines = (line.decode() for line in self._lines(program, "json", count))
        return [dict(zip(self.variables, line.split("|"), strict=True)) for line in lines]

    def _lines(self, program, escape, count):
        path = os.path.join(self.balancers[program].folder, f"{escape}.log")

        def enough():
            with open(path, "rb") as file:
                found = [line[1:] for line in (b"\n" + file.read()).split(END.encode())[:-1]]
            return found if len(found) >= count else None

        return wait_until(enough, f"{count} lines of {program}")[:count]

    def errors(self, program):
        """What the error log says of TLS, without what differs from run to run."""
        text = self.balancers[program].errors()
        found = re.findall(r"\[(\w+)\] \d+#\d+: \*\d+ (.*while SSL handshaking.*)", text)
        # What a refused client sent meanwhile makes nginx's goodbye fail, at level crit; and it
        # finds what was left behind by a check that it let pass.
        return [
            (level, re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", words))
            for level, words in found
            if not words.startswith(("SSL_shutdown() failed", "ignoring stale global SSL error"))
        ]


FRESH_SECONDS = 2


class People:
    """Certificates of clients of every kind: `pairs` by name, `strange` by what is strange."""

    def __init__(self, folder, elsewhere):
        """Two empty folders, of two authorities."""
        self.authority = ours = Authority(folder)
        stranger = Authority(elsewhere, subject="/O=Elsewhere/CN=Stranger")
        first = Authority(folder, name="first", subject="/CN=First", parent=ours)
        second = Authority(folder, name="second", subject="/CN=Second", parent=first)
        self.pairs = {
            "none": None,
            "ours": ours.sign("ours", subject="/CN=device-1"),
            "umlaut": ours.sign(
                "umlaut",
                subject='/C=DE/O=Müller, Söhne \\+ "Co"/OU=テスト/CN=gerät #7',
                serial=0xFE01,
            ),
            "long": ours.sign("long", subject="/CN=long", serial=int("7f" * 20, 16)),
            "expired": ours.sign("expired", days=-1),
            "revoked": ours.sign("revoked"),
            "stranger": stranger.sign("stranger"),
            "deep": second.sign("deep"),
            "rsa": ours.sign("rsa", rsa=True),
        }
        self.crl = ours.revoke(self.pairs["revoked"][0])
        self._key = ours.path("ours.key")
        self.strange = {
            name: ours.sign(f"strange-{number}", key=self._key, **options)
            for number, (name, options) in enumerate(STRANGE.items())
        }
        # In its first second a certificate has a whole day more, and two programs look in turn.
        made = time.monotonic()
        wait_until(lambda: time.monotonic() - made > FRESH_SECONDS, "no certificate is fresh")


STRANGE = {
    "several values in one RDN": {"subject": "/O=Fleet/CN=a+UID=b+OU=ü/CN=last"},
    "what RFC 2253 escapes": {"subject": '/CN= #a,b;c<d>e="f\\\\ g '},
    "control characters": {"subject": "/CN=a\x01b\tc\nd\x7f"},
    "an attribute that nobody knows": {"subject": "/unheard=hey/CN=x"},
    "no name": {"subject": "/"},
    "BMPString": {"subject": "/CN=gerät", "strings": "MASK:0x800"},
    "T61String": {"subject": "/CN=gerät", "strings": "MASK:0x4"},
    "UniversalString": {"subject": "/CN=gerät", "strings": "MASK:0x100"},
    "300 units": {"subject": "".join(f"/OU=unit {number:03}" for number in range(300))},
    "a negative serial number": {"serial": -5},
    "the serial number 0": {"serial": 0},
    "a serial number of one bit more": {"serial": 0x80},
    "a century": {"days": 36_500},
    "one day": {"days": 1},
}

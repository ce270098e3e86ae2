"""`openssl s_client` as a client of a node that greets it, and what it tells."""

import re
import select
import subprocess
import time
from dataclasses import dataclass, field

from lab.waiting import PATIENCE

GREETING = b"welcome\n"
# Messages that come to us.
MESSAGE = re.compile(
    r"^<<< (?:TLS|SSL)[^,]*, (Handshake|Alert|ChangeCipherSpec) \[length \w+\](?:, (.*))?$",
    re.MULTILINE,
)
SUMMARY = re.compile(
    r"^ *(New|Reused|ALPN protocol|No ALPN negotiated|Secure Renegotiation.*|Protocol *: .*"
    r"|Server Temp Key: .*|Peer signing digest: .*|Peer signature type: .*|Early data was .*"
    r"|Acceptable client certificate CA names|No client certificate CA names sent"
    r"|Requested Signature Algorithms: .*|Max Early Data: .*"
    r"|Verification.*|Extended master secret: .*|TLS session ticket lifetime hint: .*).*$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What one run of s_client has told: what came from the server, in order, and the outcome."""

    messages: tuple[str, ...]
    summary: tuple[str, ...]
    greeted: bool
    output: str = field(compare=False, repr=False)

    @property
    def alerts(self):
        """What the server complained about, or its goodbye."""
        return [one.removeprefix("Alert ") for one in self.messages if one.startswith("Alert")]


def s_client(port, *arguments, say=(), until=()) -> Told:
    """Connect, wait for the greeting, `say` lines and wait for what stands in `until` after each.

    `say` may have s_client's own letters, as "R". A refusal ends it before.
    """
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-msg", *map(str, arguments)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out = bytearray()
    try:
        greeted = _read_until(process.stdout, out, b"\n" + GREETING)
        for line, answer in zip(say if greeted else (), until, strict=False):
            try:
                process.stdin.write(line.encode() + b"\n")
            except BrokenPipeError:
                break
            if not _read_until(process.stdout, out, answer.encode()):
                break
        process.stdin.close()
        _read_until(process.stdout, out, None)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return _told(out.decode(errors="replace"), greeted=greeted)


def _read_until(stream, out, words) -> bool:
    """Read on until `words` came, or the end; whether they did."""
    deadline = time.monotonic() + PATIENCE
    # What was found before is not found again.
    begun = max(0, len(out) - len(words or b"") + 1)
    while words is None or words not in out[begun:]:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([stream], [], [], max(0, left))
        assert ready, f"s_client says no more:\n{out.decode(errors='replace')[-3000:]}"
        data = stream.read(65_536)
        if not data:
            return False
        out += data
    return True


def _told(text, *, greeted) -> Told:
    assert "CONNECTED(" in text, text
    found = [f"{kind} {what}".strip() for kind, what in MESSAGE.findall(text)]
    # How many tickets one gets is nobody's promise.
    messages = [one for at, one in enumerate(found) if at == 0 or found[at - 1] != one]
    summary = dict.fromkeys(match[0].strip() for match in SUMMARY.finditer(text))
    return Told(messages=tuple(messages), summary=tuple(summary), greeted=greeted, output=text)

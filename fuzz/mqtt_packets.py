"""Fuzz target: whatever a client or a node sends first, the MQTT codec reads or refuses it.

    pip install atheris && python fuzz/mqtt_packets.py -max_total_time=600 fuzz/mqtt_corpus

`make test` feeds it with the corpus and some mutations of each file, without atheris. What breaks
it goes into the corpus, as small as it can be made, with the fault in its name.
"""

from __future__ import annotations

import sys

from tidegate.mqtt.connack import parse_connack
from tidegate.mqtt.connect import Connect
from tidegate.mqtt.disconnect import parse_disconnect
from tidegate.mqtt.errors import Fault, MqttError
from tidegate.mqtt.fixed_header import Need
from tidegate.mqtt.parse_connect import parse_connect
from tidegate.mqtt.rewrite import rewrite

LIMIT = 1 << 16
ROOM = 2 * LIMIT  # a rewritten packet may be longer than the client's
VERSIONS = (3, 4, 5)
CLIENT_FAULTS = {
    Fault.NOT_CONNECT,
    Fault.UNSUPPORTED_VERSION,
    Fault.MALFORMED,
    Fault.OVERSIZE,
    Fault.TRUNCATED,
}


def one_input(data: bytes) -> None:
    """Try `data` on every parser; raises AssertionError, or what no parser may raise."""
    check_connect(data)
    for version in VERSIONS:
        for parse in (parse_connack, parse_disconnect):
            try:
                found = parse(data, version=version, limit=LIMIT)
            except MqttError:
                continue
            assert found.size <= LIMIT
            assert isinstance(found, Need) == (found.size > len(data))


def check_connect(data: bytes) -> None:
    """What holds for every CONNECT, read or refused."""
    found = outcome(data)
    if isinstance(found, Connect):
        check_read(found, data)
    elif isinstance(found, Need):
        assert len(data) < found.size <= LIMIT
        ended = outcome(data, ended=True)
        assert isinstance(ended, str)
        assert ended.startswith(Fault.TRUNCATED)
    # Pieces: every prefix wants more, or says already what the whole says.
    for have in {0, 1, 2, 5, 9, len(data) // 2, max(len(data) - 1, 0)}:
        part = outcome(data[:have])
        assert isinstance(part, Need) or part == found


def outcome(data: bytes, *, ended: bool = False) -> Connect | Need | str:
    """What `parse_connect` makes of `data`; a fault as its word and message."""
    try:
        return parse_connect(data, limit=LIMIT, ended=ended)
    except MqttError as error:
        fault = error
    assert fault.fault in CLIENT_FAULTS
    assert fault.version in {None, *VERSIONS}
    assert fault.message.isprintable()
    return f"{fault.fault}: {fault.message}"


def check_read(found: Connect, data: bytes) -> None:
    """Offsets and values agree, and rewriting changes what it should."""
    assert data.startswith(found.packet)
    assert rewrite(found) == found.packet
    spans = [found.client_id_at, found.will_at, found.username_at, found.password_at]
    assert sorted([*spans, len(found.packet)]) == [*spans, len(found.packet)]
    again = parse_connect(
        rewrite(found, client_id="other", username="u", password=b"\0"), limit=ROOM
    )
    assert isinstance(again, Connect)
    assert (again.client_id, again.username, again.password) == ("other", "u", b"\0")
    assert (again.will_payload, again.properties) == (found.will_payload, found.properties)
    bare = parse_connect(rewrite(found, username=None, password=None), limit=LIMIT)
    assert isinstance(bare, Connect)
    assert (bare.client_id, bare.username, bare.password) == (found.client_id, None, None)


def main() -> None:
    """Let atheris drive."""
    try:
        import atheris  # noqa: PLC0415 - only who fuzzes needs it
    except ImportError:
        sys.exit("atheris is missing: pip install atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

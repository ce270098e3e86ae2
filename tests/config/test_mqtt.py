"""The directives that look into MQTT become what a server does with it."""

import pytest

from tidegate.config.model import MqttNextUpstream

STREAM = "events {{}} stream {{ {} server {{ listen 1; return x; {} }} }}"


def mqtt(folder, own, around=""):
    (server,) = folder.stream(f"{around} server {{ listen 1; return x; {own} }}").servers
    return server.mqtt


def errors(folder, own, around=""):
    return folder.errors(STREAM.format(around, own))


def warnings(folder, own, around=""):
    text = STREAM.format(around, own)
    assert folder.errors(text) == []
    return folder.warnings(text)


class TestWhoLooks:
    @pytest.mark.parametrize(
        "own",
        [
            "",
            "mqtt_preread off; mqtt off; mqtt_require off; mqtt_next_upstream off;",
            "mqtt_buffers 10 4k; mqtt_connack_timeout 1s; mqtt_keepalive_timeout 2;",
            "preread_buffer_size 1k; preread_timeout 1s;",
        ],
    )
    def test_a_server_that_does_not_look_has_none(self, folder, own):
        assert mqtt(folder, own) is None

    def test_preread_has_these_defaults(self, folder):
        found = mqtt(folder, "mqtt_preread on;")
        assert (found.preread, found.rewrite, found.require) == (True, False, False)
        assert (found.buffer_size, found.connack_timeout_ms) == (16 << 10, 10_000)
        assert (found.set_connect, found.next_upstream) == ((), None)
        assert found.keepalive_factor == 1.5

    def test_each_of_the_others_looks_too(self, folder):
        rewriting = mqtt(folder, "mqtt on;")
        assert (rewriting.preread, rewriting.rewrite) == (False, True)
        assert rewriting.keepalive_factor == 1.5
        requiring = mqtt(folder, "mqtt_require on;")
        assert (requiring.require, requiring.preread, requiring.rewrite) == (True, False, False)
        assert requiring.keepalive_factor is None
        retrying = mqtt(folder, "mqtt_next_upstream 3;")
        assert (retrying.require, retrying.preread, retrying.rewrite) == (False, False, False)
        assert retrying.keepalive_factor is None

    def test_a_server_inherits_and_may_say_otherwise(self, folder):
        around = (
            "mqtt_preread on; mqtt on; mqtt_require on; mqtt_next_upstream 3 error;"
            "mqtt_keepalive_timeout 3; mqtt_connack_timeout 4s; mqtt_buffers 2 64k;"
        )
        found = mqtt(folder, "", around)
        assert (found.preread, found.rewrite, found.require) == (True, True, True)
        assert (found.keepalive_factor, found.connack_timeout_ms) == (3.0, 4_000)
        assert found.buffer_size == 128 << 10
        assert found.next_upstream == MqttNextUpstream(
            codes=frozenset({3}), error=True, timeout=False
        )
        own = mqtt(
            folder,
            "mqtt off; mqtt_require off; mqtt_next_upstream off; mqtt_keepalive_timeout off;"
            "mqtt_connack_timeout 5s;",
            around,
        )
        assert (own.preread, own.rewrite, own.require) == (True, False, False)
        assert (own.next_upstream, own.keepalive_factor) == (None, None)
        assert (own.buffer_size, own.connack_timeout_ms) == (16 << 10, 5_000)

    def test_what_stands_behind_a_server_counts_for_it_too(self, folder):
        (server,) = folder.stream("server { listen 1; return x; } mqtt_preread on;").servers
        assert server.mqtt.preread

    @pytest.mark.parametrize("name", ["mqtt_preread", "mqtt", "mqtt_require"])
    def test_a_switch_is_on_or_off(self, folder, name):
        assert errors(folder, f"{name} maybe;") == [
            f'invalid value "maybe" in "{name}" directive, it must be "on" or "off"'
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "mqtt_preread on;",
            "mqtt on;",
            "mqtt_require on;",
            "mqtt_next_upstream off;",
            "mqtt_set_connect clientid x;",
            "preread_timeout 1s;",
        ],
    )
    @pytest.mark.parametrize(
        "place",
        [
            "{}",
            "http {{ upstream b {{ {} }} }}",
            "stream {{ upstream a {{ server emqx1:1; {} }} }}",
        ],
    )
    def test_outside_of_stream_the_error_says_where_it_belongs(self, folder, line, place):
        loaded = folder.load(f"events {{}} {place.format(line)}")
        error = loaded.first_error
        assert error.message == f'"{line.split()[0]}" directive is not allowed here'
        assert 'in "server {}" of "stream {}"' in error.hint

    def test_beside_an_upstream_is_inside_stream(self, folder):
        (server,) = folder.stream(
            "mqtt_preread on; upstream a { hash $mqtt_preread_clientid; server emqx1:1; }"
            "server { listen 1; proxy_pass a; }"
        ).servers
        assert server.mqtt.preread


class TestPreread:
    def test_size_and_time_are_nginx_s(self, folder):
        server = folder.server("listen 1; return x;")
        assert (server.preread_buffer_size, server.preread_timeout_ms) == (16 << 10, 30_000)

    def test_size_and_time_are_inherited(self, folder):
        text = "preread_buffer_size 4k; preread_timeout 5s; server { listen 1; return x; %s }"
        (server,) = folder.stream(text % "").servers
        assert (server.preread_buffer_size, server.preread_timeout_ms) == (4 << 10, 5_000)
        (server,) = folder.stream(text % "preread_buffer_size 8k; preread_timeout 0;").servers
        assert (server.preread_buffer_size, server.preread_timeout_ms) == (8 << 10, 0)

    @pytest.mark.parametrize("value", ["0", "x", "1g", "-1"])
    def test_a_size_is_no_less_than_a_byte(self, folder, value):
        assert errors(folder, f"preread_buffer_size {value};") == [
            '"preread_buffer_size" directive invalid value'
        ]


class TestBufferSize:
    @pytest.mark.parametrize(
        ("own", "size"),
        [
            ("mqtt_preread on;", 16 << 10),
            ("mqtt_preread on; mqtt_buffers 1000 1k;", 16 << 10),
            ("mqtt_preread on; preread_buffer_size 2k;", 2 << 10),
            ("mqtt on;", 100 << 10),
            ("mqtt on; mqtt_buffers 3 2k;", 16 << 10),
            ("mqtt on; mqtt_buffers 20 4k;", 80 << 10),
            ("mqtt on; preread_buffer_size 200k;", 200 << 10),
            ("mqtt on; mqtt_buffers 1 1k; mqtt_rewrite_buffer_size 32k;", 32 << 10),
            ("mqtt on; mqtt_buffers 999999999 999999999m;", 5 + 268_435_455),
            ("mqtt_preread on; preread_buffer_size 999999999m;", 5 + 268_435_455),
        ],
    )
    def test_with_mqtt_on_the_largest_counts(self, folder, own, size):
        assert mqtt(folder, own).buffer_size == size

    @pytest.mark.parametrize("value", ["0 1k", "10 0", "x 1k", "10 x", "1k 10", "10 1g"])
    def test_buffers_are_a_number_and_a_size(self, folder, value):
        assert errors(folder, f"mqtt_buffers {value};") == [
            '"mqtt_buffers" directive invalid value'
        ]

    def test_the_old_size_is_deprecated(self, folder):
        assert warnings(folder, "mqtt_rewrite_buffer_size 4k;") == [
            (
                'the "mqtt_rewrite_buffer_size" directive is deprecated,'
                ' use the "mqtt_buffers" directive instead'
            )
        ]
        assert errors(folder, "mqtt_rewrite_buffer_size 0;") == [
            '"mqtt_rewrite_buffer_size" directive invalid value'
        ]
        assert errors(folder, "", "mqtt_rewrite_buffer_size 4k;") == [
            '"mqtt_rewrite_buffer_size" directive is not allowed here'
        ]


class TestSetConnect:
    def test_every_field_may_be_set_once(self, folder):
        found = mqtt(
            folder,
            "mqtt on; mqtt_set_connect clientid dev-$remote_addr if_empty=keep;"
            'mqtt_set_connect username "a b"; mqtt_set_connect password "";',
        ).set_connect
        assert [(one.field, str(one.value), one.keep_if_empty) for one in found] == [
            ("clientid", "dev-$remote_addr", True),
            ("username", "a b", False),
            ("password", "", False),
        ]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("clientID x", 'invalid field "clientID"'),
            ("topic x", 'invalid field "topic"'),
            ("clientid x if_empty=drop", 'invalid parameter "if_empty=drop"'),
            ("clientid a b", 'invalid parameter "b"'),
            ("clientid", 'invalid number of arguments in "mqtt_set_connect" directive'),
            ("clientid $nothing", 'unknown "nothing" variable'),
            ("clientid a$", "invalid variable name"),
            ('clientid ""', 'empty "mqtt_set_connect clientid"'),
            (
                'username "a\\nb"',
                (
                    'invalid value in "mqtt_set_connect username":'
                    " the user name holds the control character U+000A"
                ),
            ),
        ],
    )
    def test_a_wrong_one_is_an_error(self, folder, words, message):
        assert errors(folder, f"mqtt on; mqtt_set_connect {words};") == [message]

    def test_bytes_that_are_no_utf_8_are_an_error(self, folder):
        text = STREAM.format("", "mqtt on; mqtt_set_connect clientid \xff;").encode("latin-1")
        assert folder.errors(text) == [
            'invalid value in "mqtt_set_connect clientid": the client identifier is no valid UTF-8'
        ]

    def test_an_empty_client_identifier_may_keep_the_client_s(self, folder):
        (one,) = mqtt(folder, 'mqtt on; mqtt_set_connect clientid "" if_empty=keep;').set_connect
        assert one.keep_if_empty

    def test_a_field_is_set_once(self, folder):
        lines = "mqtt_set_connect clientid a; mqtt_set_connect clientid b;"
        assert errors(folder, f"mqtt on; {lines}") == ['duplicate "mqtt_set_connect clientid"']

    def test_it_stands_in_a_server(self, folder):
        assert errors(folder, "", "mqtt_set_connect clientid a;") == [
            '"mqtt_set_connect" directive is not allowed here'
        ]

    def test_without_mqtt_on_it_does_nothing_and_says_so(self, folder):
        own = "mqtt_preread on; mqtt_set_connect clientid a;"
        assert warnings(folder, own) == ['"mqtt_set_connect" has no effect without "mqtt on"']
        assert mqtt(folder, own).set_connect == ()
        assert warnings(folder, "mqtt_set_connect clientid a;", "mqtt on;") == []

    def test_mqtt_on_may_come_later(self, folder):
        text = "server { listen 1; return x; mqtt_set_connect clientid a; } mqtt on;"
        assert folder.warnings(f"events {{}} stream {{ {text} }}") == []


class TestKeepalive:
    @pytest.mark.parametrize(
        ("value", "factor"), [("1", 1.0), ("1.25", 1.25), ("100", 100.0), ("off", None)]
    )
    def test_a_factor_or_off(self, folder, value, factor):
        own = f"mqtt on; mqtt_keepalive_timeout {value};"
        assert mqtt(folder, own).keepalive_factor == factor

    def test_a_factor_counts_without_mqtt_and_preread_too(self, folder):
        own = "mqtt_require on; mqtt_keepalive_timeout 2;"
        assert mqtt(folder, own).keepalive_factor == 2.0

    @pytest.mark.parametrize(
        "value", ["0", "0.5", "0.999", "100.1", "1e1", "nan", "inf", "x", "-2", "1.", "1,5", "on"]
    )
    def test_what_is_no_sane_factor_is_an_error(self, folder, value):
        assert errors(folder, f"mqtt_keepalive_timeout {value};") == [
            '"mqtt_keepalive_timeout" directive invalid value'
        ]

    def test_a_server_that_does_not_look_says_so(self, folder):
        assert warnings(folder, "mqtt_keepalive_timeout 2;") == [
            '"mqtt_keepalive_timeout" has no effect without "mqtt_preread on"'
        ]
        assert warnings(folder, "mqtt_keepalive_timeout off;") == []
        assert warnings(folder, "mqtt_require on; mqtt_keepalive_timeout 2;") == []


class TestNextUpstream:
    def next_upstream(self, folder, words):
        return mqtt(folder, f"mqtt_preread on; mqtt_next_upstream {words};").next_upstream

    def test_codes_of_both_versions(self, folder):
        found = self.next_upstream(folder, "0x9C 0x88 3 0x9d 0x97 timeout error")
        assert found.codes == {0x9C, 0x88, 3, 0x9D, 0x97}
        assert (found.error, found.timeout) == (True, True)

    def test_each_may_stand_alone(self, folder):
        assert self.next_upstream(folder, "off") is None
        assert self.next_upstream(folder, "error") == MqttNextUpstream(
            codes=frozenset(), error=True, timeout=False
        )
        assert self.next_upstream(folder, "timeout").timeout

    @pytest.mark.parametrize(
        "word",
        ["0", "0x00", "6", "156", "0x9", "0xA0", "9C", "0x9Cx", "errors", "on", "Error", "off"],
    )
    def test_what_is_no_refusal_is_an_error(self, folder, word):
        assert errors(folder, f"mqtt_next_upstream 3 {word};") == [f'invalid value "{word}"']

    @pytest.mark.parametrize(
        "word", ["0x84", "0x85", "0x86", "0x87", "0x8A", "0x8C", "1", "2", "4", "5"]
    )
    def test_a_refusal_for_the_client_s_sake_is_an_error_that_says_so(self, folder, word):
        (message,) = errors(folder, f"mqtt_next_upstream {word};")
        assert message.startswith(f'invalid value "{word}", "')
        assert message.endswith('" is the fault of the client')

    def test_a_value_written_twice_is_warned_of(self, folder):
        own = "mqtt_next_upstream 3 0x9c error 0x9C error;"
        assert warnings(folder, own) == ['duplicate value "0x9C"', 'duplicate value "error"']

    def test_the_wait_for_connack_needs_it(self, folder):
        for around in ("mqtt_preread on;", "mqtt_next_upstream 3 error;"):
            assert warnings(folder, "mqtt_connack_timeout 1s;", around) == [
                '"mqtt_connack_timeout" has no effect without "mqtt_next_upstream timeout"'
            ]
        assert warnings(folder, "mqtt_connack_timeout 1s;", "mqtt_next_upstream 3 timeout;") == []
        assert errors(folder, "mqtt_connack_timeout 0;") == [
            '"mqtt_connack_timeout" directive invalid value'
        ]


class TestNoOtherNode:
    """`mqtt_next_upstream` that can never ask a second node is warned of where it stands."""

    TEXT = """\
events {{}}
stream {{
    {around}
    upstream many {{ server emqx1:1; server emqx2:1; }}
    upstream one {{ server emqx1:1; server emqx2:1 down; }}
    upstream two {{ server pair:1; }}
    server {{
        listen 1;
        {own}
    }}
    server {{
        listen 2;
        {other}
    }}
}}
"""

    def problems(self, folder, own, *, around="", other="return x;"):
        loaded = folder.load(self.TEXT.format(own=own, around=around, other=other))
        assert loaded.first_error is None
        return [(problem.line, problem.span.column, problem.message) for problem in loaded.problems]

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ("proxy_pass many; proxy_next_upstream off;", '"proxy_next_upstream off"'),
            ("proxy_pass many; proxy_next_upstream_tries 1;", '"proxy_next_upstream_tries 1"'),
            ("proxy_pass one;", 'one server in upstream "one"'),
            ("proxy_pass emqx1:1883;", 'one server in upstream "emqx1:1883"'),
        ],
    )
    def test_the_reason_is_told(self, folder, more, reason):
        message = f'"mqtt_next_upstream" asks no other node with {reason}'
        own = f"mqtt_next_upstream 3; {more}"
        assert self.problems(folder, own) == [(9, 9, message)]

    @pytest.mark.parametrize(
        "more",
        [
            "proxy_pass many;",
            "proxy_pass many; proxy_next_upstream_tries 2;",
            "proxy_pass two;",
            "proxy_pass pair:1;",
            "return x;",
        ],
    )
    def test_else_nothing_is_said(self, folder, more):
        assert self.problems(folder, f"mqtt_next_upstream 3 error; {more}") == []
        assert self.problems(folder, f"mqtt_next_upstream off; {more}") == []

    def test_what_is_inherited_must_serve_one_server(self, folder):
        around = "mqtt_next_upstream 3;"
        no = "proxy_pass one;"
        assert self.problems(folder, no, around=around, other="proxy_pass many;") == []
        message = '"mqtt_next_upstream" asks no other node with one server in upstream "one"'
        found = self.problems(folder, no, around=around, other="proxy_pass one;")
        assert found == [(3, 5, message)]
        own = "mqtt_next_upstream off; proxy_pass many;"
        assert self.problems(folder, no, around=around, other=own) == [(3, 5, message)]

    def test_what_stands_behind_counts(self, folder):
        own = "proxy_pass many; mqtt_next_upstream 3;"
        found = self.problems(
            folder, own, other="return x; } proxy_next_upstream off; server { listen 3; return x;"
        )
        assert [message for _, _, message in found] == [
            '"mqtt_next_upstream" asks no other node with "proxy_next_upstream off"'
        ]


@pytest.mark.parametrize(
    "line",
    [
        "mqtt on;",
        "mqtt_preread on;",
        "mqtt_buffers 1 1k;",
        "mqtt_rewrite_buffer_size 1k;",
        "mqtt_keepalive_timeout 2;",
        "mqtt_next_upstream 3;",
        "mqtt_connack_timeout 1s;",
        "mqtt_require on;",
        "preread_buffer_size 1k;",
        "preread_timeout 1s;",
    ],
)
def test_a_setting_written_twice_is_an_error(folder, line):
    assert errors(folder, line + line) == [f'"{line.split()[0]}" directive is duplicate']

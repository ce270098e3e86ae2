"""Variables are known by name when the configuration is read, and so is where they are empty."""

import pytest

from tidegate.variables import names

ADD = 'add "mqtt_preread on;" to the server, or to "stream {}"'
LATE = "it comes with a node's answer, and this is needed before a node has answered"


def problems(folder, text):
    return folder.load(f"events {{}}\nstream {{\n{text}\n}}").problems


def empty(name, where):
    return f'the "{name}" variable is always empty in "{where}"'


@pytest.mark.parametrize("name", [*names.STREAM, "mqtt_user_property_a", "mqtt_user_property_a_1"])
def test_a_variable_may_be_logged(folder, name):
    text = (
        f"log_format f ${name}; access_log l f; mqtt on; ssl_preread on;"
        " server { listen 1 proxy_protocol; return x; mqtt_set_connect clientid y; }"
    )
    assert problems(folder, text) == ()


@pytest.mark.parametrize("name", ["mqtt_user_property_", "mqtt_user_properties", "mqtt_clientid"])
def test_a_name_that_there_is_not_is_an_error(folder, name):
    (error,) = problems(folder, f"server {{ listen 1; return ${name}; mqtt on; }}")
    assert error.message == f'unknown "{name}" variable'


class TestOfMqttWhereNoServerLooks:
    @pytest.mark.parametrize(
        "name", ["mqtt_preread_clientid", "mqtt_keepalive", "mqtt_user_property_region"]
    )
    def test_in_a_hash_key(self, folder, name):
        group = f"upstream a {{ hash ${name}; server emqx1:1; server emqx2:1; }}"
        text = f"{group} server {{ listen 1; proxy_pass a; "
        (warning,) = problems(folder, text + "}")
        assert (warning.message, warning.fatal) == (empty(name, "hash"), False)
        assert (warning.span.line, warning.hint) == (3, ADD)
        for line in ("mqtt_preread on;", "mqtt on;", "mqtt_require on;", "mqtt_next_upstream 3;"):
            assert problems(folder, f"{text}{line} }}") == ()
            assert problems(folder, f"{text}}} {line}") == ()

    def test_one_server_that_looks_is_enough_for_a_group(self, folder):
        group = "upstream a { hash $mqtt_will_topic; server emqx1:1; }"
        plain = "server { listen 1; proxy_pass a; }"
        looking = "server { listen 2; proxy_pass a; mqtt_preread on; }"
        other = "server { listen 2; return x; mqtt_preread on; }"
        assert problems(folder, group) == ()
        assert problems(folder, group + plain + looking) == ()
        (warning,) = problems(folder, group + plain + other)
        assert warning.message == empty("mqtt_will_topic", "hash")

    def test_in_a_server_only_that_server_counts(self, folder):
        looking = "server { listen 1; return x; mqtt_preread on; }"
        text = f"{looking} server {{ listen 2; return $mqtt_clean_start; }}"
        (warning,) = problems(folder, text)
        assert warning.message == empty("mqtt_clean_start", "return")

    def test_in_a_log_format_the_servers_that_log_so_count(self, folder):
        form = "log_format f $mqtt_connack_code; log_format g $status;"
        text = "server { listen 1; return x; access_log l f; %s }"
        other = "server { listen 2; return x; access_log l g; mqtt on; }"
        assert problems(folder, f"{form} {other}") == ()
        assert problems(folder, f"{form} {text % 'mqtt on;'} {other}") == ()
        (warning,) = problems(folder, f"{form} {text % ''} {other}")
        assert warning.message == empty("mqtt_connack_code", "log_format")

    def test_each_name_is_told_once(self, folder):
        text = "server { listen 1; return $mqtt_keepalive$mqtt_keepalive$mqtt_will_topic; }"
        assert [problem.message for problem in problems(folder, text)] == [
            empty("mqtt_keepalive", "return"),
            empty("mqtt_will_topic", "return"),
        ]

    def test_what_was_set_needs_to_be_set(self, folder):
        text = "server { listen 1; return $mqtt_set_clientid; mqtt_preread on; %s }"
        for own in ("", "mqtt on;", "mqtt on; mqtt_set_connect username x;"):
            (warning,) = problems(folder, text % own)
            assert warning.message == empty("mqtt_set_clientid", "return")
        assert problems(folder, text % "mqtt on; mqtt_set_connect clientid x;") == ()


@pytest.mark.parametrize("name", list(names.CONNACK))
def test_a_node_is_not_chosen_by_its_answer(folder, name):
    text = f"mqtt on; upstream a {{ hash x${name} consistent; server emqx1:1; }}"
    (warning,) = problems(folder, text)
    assert (warning.message, warning.hint) == (empty(name, "hash"), LATE)
    (warning,) = problems(
        folder, f"mqtt on; server {{ listen 1; return x; mqtt_set_connect username ${name}; }}"
    )
    assert warning.message == empty(name, "mqtt_set_connect")

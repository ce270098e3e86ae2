"""`sticky learn` is read as Angie reads it, and wrong ones are told of in nginx's words."""

import os

import pytest

KEY = "$mqtt_preread_clientid"
LEARN = f"sticky learn lookup={KEY} create={KEY} zone=clients:1m"
CONFLICT = (
    'the size 2097152 of shared memory zone "clients" conflicts with already declared size 1048576'
)
SERVER = "server { listen 1; mqtt_preread on; proxy_pass a; }"


def around(text, more=""):
    return f"events {{}} stream {{\nupstream a {{ server emqx1:1;\n{text}\n}}\n{SERVER} {more} }}"


def sticky(folder, text):
    return folder.model(around(text)).stream.upstreams[0].sticky


def told(folder, text, more=""):
    loaded = folder.load(around(text, more))
    return [(problem.severity.name.lower(), problem.message) for problem in loaded.problems]


def test_an_upstream_without_it_has_none(folder):
    assert sticky(folder, "") is None


def test_what_is_not_said_has_a_default(folder):
    found = sticky(folder, f"{LEARN};")
    assert [*map(str, found.lookup)] == [*map(str, found.create)] == [KEY]
    assert (found.zone, found.size, found.timeout) == ("clients", 1 << 20, 3600)
    assert found.state == os.path.join(folder.path, "clients.sticky")
    assert found.refresh


def test_everything_may_be_said(folder):
    found = sticky(
        folder,
        "sticky learn zone=z:32k create=$mqtt_assigned_clientid create=$mqtt_preread_clientid"
        " lookup=$mqtt_preread_clientid lookup=$remote_addr timeout=2m norefresh"
        " state=/var/lib/table;",
    )
    assert [*map(str, found.create)] == ["$mqtt_assigned_clientid", KEY]
    assert [*map(str, found.lookup)] == [KEY, "$remote_addr"]
    assert (found.zone, found.size, found.timeout) == ("z", 32768, 120)
    assert (found.state, found.refresh) == ("/var/lib/table", False)


def test_it_goes_with_any_method_and_is_not_one(folder):
    assert told(folder, f"least_conn; {LEARN};") == []
    assert told(folder, f"{LEARN}; hash $remote_addr consistent;") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sticky learn;", 'invalid number of arguments in "sticky" directive'),
        ("sticky cookie srv_id;", '"cookie" of "sticky" is not supported yet'),
        ("sticky route $ssl_server_name;", '"route" of "sticky" is not supported yet'),
        ("sticky stone zone=a:1m;", 'unknown sticky mode "stone"'),
        (f"{LEARN}; {LEARN};", '"sticky" directive is duplicate'),
        (f"{LEARN} sync;", 'parameter "sync" of "sticky" is not supported yet'),
        (f"{LEARN} connect;", 'parameter "connect" of "sticky" is not supported yet'),
        (f"{LEARN} timeot=1h;", 'invalid parameter "timeot=1h"'),
        (f"{LEARN} timeout=0;", 'invalid parameter "timeout=0"'),
        (f"{LEARN} timeout=soon;", 'invalid parameter "timeout=soon"'),
        (f"{LEARN} state=;", 'invalid parameter "state="'),
        (f"{LEARN} lookup=;", 'invalid parameter "lookup="'),
        (f"{LEARN} lookup=name;", 'invalid variable name "name"'),
        (f"{LEARN} create=$nothing;", 'unknown "nothing" variable'),
        (f"{LEARN} create=${{x;", 'the closing bracket in "x" variable is missing'),
        (f"sticky learn lookup={KEY} zone=a:1m;", '"sticky" must have "create" parameter'),
        (f"sticky learn create={KEY} zone=a:1m;", '"sticky" must have "lookup" parameter'),
        (f"sticky learn create={KEY} lookup={KEY};", '"sticky" must have "zone" parameter'),
    ],
)
def test_a_wrong_one_is_an_error(folder, text, message):
    assert told(folder, text) == [("emerg", message)]


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("clients", 'invalid zone size "zone=clients"'),
        ("clients:", 'invalid zone size "zone=clients:"'),
        ("clients:many", 'invalid zone size "zone=clients:many"'),
        ("clients:31k", 'zone "zone=clients:31k" is too small'),
        ("clients:1025m", 'zone "zone=clients:1025m" is too large'),
        (":1m", 'invalid zone name ""'),
        ("../clients:1m", 'invalid zone name "../clients"'),
    ],
)
def test_a_zone_has_a_name_and_a_size(folder, zone, message):
    text = f"sticky learn create={KEY} lookup={KEY} zone={zone};"
    assert told(folder, text) == [("emerg", message)]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("zone=clients:1m", 'duplicate zone "clients"'),
        ("zone=clients:2m", CONFLICT),
        ("zone=other:1m state=clients.sticky", 'duplicate file "{path}/clients.sticky"'),
    ],
)
def test_two_upstreams_have_tables_of_their_own(folder, other, message):
    more = f"upstream b {{ server emqx1:1; sticky learn create={KEY} lookup={KEY} {other}; }}"
    assert told(folder, f"{LEARN};", more) == [("emerg", message.format(path=folder.path))]


def test_a_zone_has_one_use(folder):
    message = 'the shared memory zone "clients" is already declared for a different use'
    assert told(folder, f"zone clients 1m; {LEARN};") == [("emerg", message)]


def test_what_a_node_says_later_may_be_learned_and_not_looked_up(folder):
    text = f"sticky learn create=$mqtt_assigned_clientid lookup={KEY} zone=z:1m"
    assert told(folder, f"{text};") == []
    assert told(folder, f"{text} lookup=$mqtt_assigned_clientid;") == [
        (
            "warn",
            'the "mqtt_assigned_clientid" variable is always empty in "lookup" of "sticky"',
        )
    ]


def test_a_variable_of_mqtt_that_nobody_reads_is_warned_of(folder):
    loaded = folder.load(around(f"{LEARN};").replace("mqtt_preread on;", ""))
    (warning,) = loaded.problems
    message = 'the "mqtt_preread_clientid" variable is always empty in "sticky"'
    assert warning.message == message


def test_an_error_names_its_place(folder):
    loaded = folder.load(around(f"{LEARN} timeout=soon;"))
    (error,) = loaded.problems
    assert error.span.line == 3
    assert error.span.column == len(f"{LEARN} ") + 1


def test_http_has_none(folder):
    text = f"events {{}} http {{ upstream a {{ server emqx1:1; {LEARN}; }} }}"
    (message,) = folder.errors(text)
    assert '"sticky" directive is not supported' in message

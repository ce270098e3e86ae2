"""What a new configuration replaces goes at once, without a search for garbage."""

from __future__ import annotations

import contextlib
import gc
import socket
from weakref import ref

import pytest

from tidegate.balance.placement import allot
from tidegate.config.load import load
from tidegate.scoreboard.cache import Cache
from tidegate.scoreboard.zone import Zone

TEXT = """
map $mqtt_preread_clientid $kind {{ default x; ~^(?<name>.*)y$ $name; }}
limit_conn_zone $binary_remote_addr zone=z:64k;
log_format f '$kind $status'; access_log /dev/null f;
upstream u {{ hash $kind consistent; server 127.0.0.1:1 weight={weight}; server 127.0.0.1:2; }}
upstream v {{
    server 127.0.0.1:3 weight={weight};
    sticky learn zone=t:64k lookup=$kind create=$kind;
}}
server {{ listen 127.0.0.1:4; proxy_pass u; mqtt_preread on; limit_conn z 5; }}
server {{
    listen 127.0.0.1:6 ssl; proxy_pass u; ssl_session_cache shared:c:64k;
    ssl_certificate /nowhere/$ssl_server_name; ssl_certificate_key /nowhere/$ssl_server_name;
    proxy_ssl on; proxy_ssl_name $ssl_server_name; proxy_ssl_certificate $kind;
    proxy_ssl_certificate_key $kind;
}}
server {{ listen 127.0.0.1:5; set $to v; proxy_pass $to; deny 10.0.0.0/8; allow all; }}
"""


@pytest.fixture
def entrances():
    """Make listening sockets for what was prepared."""
    with contextlib.ExitStack() as stack:

        def make(prepared):
            return {
                address: [stack.enter_context(socket.create_server(("127.0.0.1", 0))).fileno()]
                for address, _port in prepared.ports
            }

        yield make


def test_what_a_reload_replaces_is_in_no_circle(stream, entrances, tmp_path):
    rig = stream(TEXT.format(weight=1))
    rig.runtime.commit(rig.prepared, entrances(rig.prepared), shared=False)
    conf = tmp_path / "new.conf"
    conf.write_text(f"events {{}} stream {{ {TEXT.format(weight=2)} }}")
    model = load(str(conf), prefix=str(tmp_path)).model
    placement = allot(model, rig.board, None)
    zones = {name: Zone.attach(zone.fd, worker=0) for name, zone in rig.zones.items()}
    caches = {"c": Cache.create(65536)}
    prepared = rig.runtime.prepare(
        model.stream, placement, zones, caches, tables=rig.tables, generation=2
    )
    gone = [ref(upstream) for _model, upstream in rig.prepared.upstreams.values()]
    gc.collect()
    gc.disable()
    try:
        rig.prepared = prepared
        rig.runtime.commit(prepared, entrances(prepared), shared=False)
        assert [one() for one in gone] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()

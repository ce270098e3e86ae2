"""A context of TLS lives as long as anybody has it, and is made anew only where it is another."""

from __future__ import annotations

import pytest

from lab.certificates import Authority
from tidegate.balance.placement import allot
from tidegate.config.load import load

TEXT = """
upstream u {{ server 127.0.0.1:1 weight={weight}; }}
ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};
server {{ listen 127.0.0.1:2 ssl; proxy_pass u; proxy_ssl on; }}
server {{ listen 127.0.0.1:3 ssl; proxy_pass u; ssl_session_cache shared:c:64k; }}
server {{ listen 127.0.0.1:4 ssl; proxy_pass u; ssl_session_tickets {tickets}; }}
"""


@pytest.fixture
def again(stream, tmp_path):
    """What listens shake hands with, in turn, in a worker that takes on one text after another."""
    authority = Authority(tmp_path)
    pairs = [authority.sign(name) for name in ("one", "two")]
    rigs = []

    def take(*, weight=1, pair=0, tickets="on"):
        text = TEXT.format(weight=weight, pair=pairs[pair], tickets=tickets)
        if not rigs:
            rigs.append(stream(text))
        else:
            conf = tmp_path / "next.conf"
            conf.write_text(f"events {{}} stream {{ {text} }}")
            model = load(str(conf), prefix=str(tmp_path)).model
            (rig,) = rigs
            placement = allot(model, rig.board, None)
            rig.prepared = rig.runtime.prepare(model.stream, placement, {}, rig.caches)
        (rig,) = rigs
        return [port.tls for _address, port in rig.prepared.ports]

    return take


def test_what_is_equal_is_the_same_over_changes_of_nodes(again):
    before = again()
    assert before[0] is not before[1]
    assert again(weight=2) == before


def test_what_is_changed_is_another(again):
    first, cached, third = again()
    assert again(tickets="off")[:2] == [first, cached]
    assert again(tickets="off")[2] is not third
    assert not {*again(pair=1)} & {first, cached, third}

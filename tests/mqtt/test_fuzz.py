"""The fuzz target holds for its corpus and for what a few changes make of it."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent.parent / "fuzz"
CORPUS = sorted((FUZZ / "mqtt_corpus").iterdir())
MUTATIONS = 100  # of each file
TELLING = (0x00, 0x01, 0x02, 0x04, 0x10, 0x26, 0x7F, 0x80, 0xC2, 0xFF)


def load():
    spec = importlib.util.spec_from_file_location("mqtt_packets", FUZZ / "mqtt_packets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


target = load()


def mutated(data: bytes, dice: random.Random) -> bytes:
    """`data` with up to four bytes changed, cut out or put in."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(changed))
        byte = dice.choice(TELLING) if dice.random() < 0.7 else dice.randrange(256)
        changed[at : at + dice.randint(0, 2)] = bytes([byte] * dice.randint(0, 2))
    return bytes(changed)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_target_holds_for_the_corpus_and_its_mutations(path):
    data = path.read_bytes()
    target.one_input(data)
    dice = random.Random(path.name)
    for _ in range(MUTATIONS):
        target.one_input(mutated(data, dice))


def test_files_are_named_after_what_comes_of_them():
    words = {
        "connect": "Connect",
        "need": "Need",
        "malformed": "malformed",
        "oversize": "oversize",
        "unsupported": "unsupported_version",
        "not": "not_connect",
    }
    seen = set()
    for path in CORPUS:
        word = path.name.split("-")[0]
        if word in words:
            found = target.outcome(path.read_bytes())
            kind = found.split(":")[0] if isinstance(found, str) else type(found).__name__
            assert kind == words[word], path.name
            seen.add(word)
    assert seen == words.keys()

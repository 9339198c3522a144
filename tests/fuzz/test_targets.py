"""What reads bytes of strangers takes anything: seeds, what lies near them, and noise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_SEEDS = seeds()
_MUTATED = 150


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Returns bytes near others: some changed, some gone, some twice."""
    found = bytearray(data[:4000])
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randint(0, len(found)), chance.randint(1, 8)
        match chance.randint(0, 3):
            case 0:
                found[at : at + size] = chance.randbytes(size)
            case 1:
                del found[at : at + size]
            case 2:
                found[at:at] = found[at : at + size * 4]
            case _:
                found[at : at + 1] = bytes([chance.choice(b"\x00\x7f\x80\xff\"'{[,. 09-")])
    return bytes(found)


def test_every_target_has_seeds():
    assert set(_SEEDS) == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_what_lies_near_them(name):
    for seed in _SEEDS[name]:
        TARGETS[name](seed)
    chance = random.Random(f"near the seeds of {name}")
    for _ in range(_MUTATED):
        TARGETS[name](mutated(chance.choice(_SEEDS[name]), chance))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=50)
@given(data=st.binary(max_size=200))
def test_a_target_takes_noise(name, data):
    TARGETS[name](data)

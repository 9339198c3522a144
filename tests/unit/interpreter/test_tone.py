"""Words of tone go in the direction that listeners agree on."""

from __future__ import annotations

import pytest

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.golden import mean_gain_db
from services.interpreter.intent import Context

# word: signs below 250 Hz, at 1-4 kHz, at 4-8 kHz, above 8 kHz
SIGNS = {
    "warmer": "+-- ", "brighter": "-++ ", "darker": "+-- ", "muddier": "+ --", "crisper": "-+++",
    "airier": "- ++", "thinner": "-+++", "tinnier": "-+++", "punchier": "+ --", "heavier": "+ --",
    "boomier": "+ --", "fatter": "+ --", "mellower": "+-  ", "softer": "+-  ", "harsher": " ++ ",
    "more sibilant": " ++ ",
}  # fmt: skip
REGIONS = ("<250", "1000-4000", "4000-8000", ">8000")


def gains(prompt: str) -> list[float]:
    found = BuiltinEngine().interpret(prompt, Context())
    return [mean_gain_db(found.mix["vocals"].eq, region) for region in REGIONS]


@pytest.mark.parametrize("word", SIGNS)
def test_a_word_of_tone_has_its_direction(word: str) -> None:
    for gain, sign in zip(gains(f"make the vocals {word}"), SIGNS[word], strict=True):
        assert sign == " " or (gain > 0.2) == (sign == "+")
        assert sign == " " or abs(gain) > 0.2


@pytest.mark.parametrize("word", ["bright", "muddy", "harsh", "boomy", "tinny", "punchy"])
def test_less_reverses_and_amounts_scale(word: str) -> None:
    plain = gains(f"make the vocals {word}")
    assert gains(f"make the vocals less {word}") == pytest.approx([-g for g in plain], abs=0.35)
    small, large = gains(f"make the vocals a bit {word}"), gains(f"make the vocals a lot {word}")
    for a, b, c in zip(small, plain, large, strict=True):
        assert abs(a) <= abs(b) + 0.05
        assert abs(b) <= abs(c) + 0.05

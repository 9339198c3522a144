"""The work that a prompt makes grows with its length, not with the square of it."""

from __future__ import annotations

from cProfile import Profile

import pytest

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.intent import Context

SHORT, LONG = 500, 2000
"""Lengths in characters."""


def _calls(prompt: str) -> int:
    """Returns how many functions are called to understand a prompt."""
    engine = BuiltinEngine()
    engine.interpret(prompt, Context())  # what is read once and kept is no work of the prompt
    profile = Profile()
    profile.runcall(engine.interpret, prompt, Context())
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize(
    "words",
    [
        "drums ", "not ", "on the ", "1 ", "i ", "so ", "if ", "but ", "pull it ", "louder ",
        "the drums are too loud. ", "it's muddy. fix it. ", "vocals up 3 and ", '"a ',
    ],
)  # fmt: skip
def test_a_prompt_four_times_as_long_makes_about_four_times_the_work(words: str) -> None:
    short, long = ((words * length)[:length] for length in (SHORT, LONG))

    assert _calls(long) < 6 * _calls(short)

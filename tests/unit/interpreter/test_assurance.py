"""What only tells, asks, quotes or supposes is not carried out; it is asked whether it is meant."""

from __future__ import annotations

import pytest

from mixdown.mix import Mix
from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.intent import Clarification, Context, Remix, Separation


def _understood(prompt: str) -> Remix | Separation | Clarification:
    intent = BuiltinEngine().interpret(prompt, Context()).intent
    assert isinstance(intent, Remix | Separation | Clarification)
    return intent


@pytest.mark.parametrize(
    "prompt",
    [
        "my neighbour keeps turning his bass up at night",
        "the last engineer cut all the highs",
        "every time I boost the bass my speakers rattle",
        "some say the vocals should be louder",
        "nobody asked for more bass",
        "he yelled turn it down at me",
        "louder vocals would be a mistake",
        "wow, that reverb on the vocals is huge",
        "it's fine that the drums are loud",
        "now I can finally hear the vocals",
        "good job muting the bass",
        "I will mute the drums later",
        "would you say the bass is too loud?",
        "only if it doesn't hurt the vocals, raise the bass",
        'she texted me: "turn the bass up"',
        "the vocals give me goosebumps",
        "that voice cuts right through",
        "turn down for what?",
        "only I can hear the drums",
        "can you turn the lights down",
    ],
)
def test_a_prompt_that_asks_for_nothing_changes_nothing(prompt: str) -> None:
    assert isinstance(_understood(prompt), Clarification)


@pytest.mark.parametrize(
    "prompt",
    [
        "could you like turn the bass down",
        "I practise along to this, so could you take the guitar out and the bass too",
        "my wife says the bass is too boomy",
        "an instrumental would be great",
        "now they're too loud",
        "pich the vocals down 5 semitones",
        "how about we lose the bass",
        "the drums bug me, can you just get rid of them",
        "put the drums back the way they were originally and raise the vocals",
        'please "vocals louder"',
    ],
)
def test_a_request_is_carried_out_whatever_stands_around_it(prompt: str) -> None:
    assert not isinstance(_understood(prompt), Clarification)


def test_a_yes_carries_out_what_was_only_supposed() -> None:
    engine = BuiltinEngine()
    asked = engine.interpret("some say the vocals should be louder", Context())
    assert asked.proposal is not None

    agreed = engine.interpret("yes", Context(proposal=asked.proposal))

    assert agreed.mix["vocals"].gain_db == 3.0
    assert "vocals up 3 dB" in asked.reply


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("how loud are the vocals?", "Set so far: vocals up 3 dB."),
        ("did you change the bass?", "Nothing is changed on the bass so far."),
        ("tell me which stem the violin is in", "The other stem"),
        ("I love the bass", "I leave the bass alone"),
        ("make the vocals purple", "“purple”"),
        ("either mute the drums or the bass, whichever sounds better", "the drums or the bass?"),
        ("make the drums louder than the bass", "By how many dB should the drums go"),
        ("the drummer came in late and quit", "something with the drums"),
        ("don't touch the drums", "I leave the drums as they are."),
    ],
)
def test_an_answer_speaks_of_what_was_said(prompt: str, told: str) -> None:
    context = Context(mix=Mix().change("vocals", gain_db=3.0))

    reply = BuiltinEngine().interpret(prompt, context).reply

    assert told.lower() in reply.lower()


def test_a_yes_carries_out_what_was_only_wondered() -> None:
    asked = BuiltinEngine().interpret("I wonder if the drums are too loud", Context())
    assert asked.proposal is not None

    agreed = BuiltinEngine().interpret("yes", Context(proposal=asked.proposal))

    assert agreed.mix["drums"].gain_db == -3.0

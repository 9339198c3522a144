"""The same request in other words means the same; no text breaks the interpreter."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import EqBand, Filter, Mix, Passage, TargetSettings
from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.golden import Outcome, outcome_of
from services.interpreter.intent import Context, Exchange, Proposal, Separation
from services.interpreter.language.vocabulary import vocabulary

ENGINE = BuiltinEngine()
SIX_STEMS = ("vocals", "drums", "bass", "other", "guitar", "piano")

PLAIN = st.sampled_from(
    [
        "make the vocals louder",
        "turn the drums down by 4 dB",
        "mute the bass",
        "add a little reverb to the vocals",
        "pan the drums hard left",
        "pitch the vocals up 3 semitones",
        "compress the bass",
        "boost 3 kHz by 5 dB on the drums",
        "lowpass the drums at 800 Hz",
        "isolate the vocals",
        "remove the drums",
        "make the drums brighter",
    ]
)
OPENERS = st.sampled_from(
    [
        "",
        "please ",
        "could you please ",
        "can you ",
        "hey, ",
        "ok, now ",
        "um, ",
        "I'd like you to ",
    ]
)
CLOSERS = st.sampled_from(["", " please", "!", "...", ", thanks", " for me", " now", "?"])
CASES = st.sampled_from([str.lower, str.upper, str.title, str.capitalize])


def outcome(prompt: str, context: Context | None = None) -> Outcome:
    return outcome_of(ENGINE.interpret(prompt, context or Context()))


@given(PLAIN, OPENERS, CLOSERS)
def test_politeness_and_fillers_change_nothing(prompt: str, opener: str, closer: str) -> None:
    assert outcome(opener + prompt + closer) == outcome(prompt)


@given(PLAIN, CASES, st.integers(1, 4))
def test_case_and_spaces_change_nothing(prompt: str, case: object, spaces: int) -> None:
    assert callable(case)
    assert outcome(case(prompt).replace(" ", " " * spaces)) == outcome(prompt)


NUMBERS = {
    1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 8: "eight", 10: "ten",
    12: "twelve", 15: "fifteen", 20: "twenty",
}  # fmt: skip


@given(
    st.sampled_from(sorted(NUMBERS)), st.sampled_from(["dB", " dB", "db", " decibels", " Decibel"])
)
def test_numbers_are_the_same_in_digits_and_in_words(number: int, unit: str) -> None:
    expected = outcome(f"turn the drums down by {number} dB")
    assert expected["mix"]["drums"]["gain_db"] == -number
    assert outcome(f"turn the drums down by {number}{unit}") == expected
    assert outcome(f"turn the drums down by {NUMBERS[number]} {unit.strip()}") == expected
    assert outcome(f"drums -{number}{unit}") == expected
    assert outcome(f"drums minus {NUMBERS[number]} {unit.strip()}") == expected


@given(
    st.sampled_from(
        ["3k", "3 k", "3kHz", "3 kHz", "3000 Hz", "3,000 Hz", "three kilohertz", "3000 hertz"]
    )
)
def test_frequencies_are_the_same_in_every_spelling(frequency: str) -> None:
    assert outcome(f"boost {frequency} by 5 dB on the drums") == outcome(
        "boost 3 kHz by 5 dB on the drums"
    )


@given(
    st.permutations(
        ["vocals up 3 dB", "drums down 2 dB", "mute the bass", "reverb on the other stem"]
    )
)
def test_the_order_of_independent_instructions_changes_nothing(parts: list[str]) -> None:
    assert outcome(", ".join(parts))["mix"] == {
        "vocals": {"gain_db": 3.0},
        "drums": {"gain_db": -2.0},
        "bass": {"muted": True},
        "other": {"reverb": 0.3},
    }


@given(
    st.sampled_from(["vocals", "drums", "bass", "other stem"]),
    st.sampled_from(["{} up 3 dB", "turn {} up by 3 dB", "turn up {} by 3 dB", "by 3 dB turn up {}",
                     "{}: +3 dB", "raise the level of {} by 3 dB", "{} 3 dB louder"]),
)  # fmt: skip
def test_the_order_of_words_changes_nothing(stem: str, pattern: str) -> None:
    found = outcome(pattern.format(f"the {stem}"))
    assert found == {"type": "remix", "mix": {stem.split(maxsplit=1)[0]: {"gain_db": 3.0}}}


@given(st.sampled_from(["drums", "vocals", "reverb", "louder"]), st.data())
def test_one_swapped_pair_of_letters_changes_nothing(word: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(word) - 2))
    typo = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    prompt = {
        "drums": "mute the drums",
        "vocals": "mute the vocals",
        "reverb": "add reverb to the bass",
        "louder": "make the bass louder",
    }[word]
    assert outcome(prompt.replace(word, typo)) == outcome(prompt)


@given(
    st.sampled_from(
        ["brass", "viola", "lute", "harp", "flute", "organ", "tuba", "boss", "drugs", "mass"]
    )
)
def test_a_typing_error_is_never_corrected_to_another_instrument(word: str) -> None:
    assert outcome(f"mute the {word}")["type"] == "clarification"


SETTINGS = st.builds(
    TargetSettings,
    gain_db=st.floats(-60, 24),
    muted=st.booleans(),
    pan=st.floats(-1, 1),
    reverb=st.floats(0, 1),
    pitch_semitones=st.floats(-24, 24),
    compression=st.sampled_from(["none", "low", "medium", "high"]),
    eq=st.sampled_from(
        [(), (EqBand("peak", 3000, 20.0),), (EqBand("low_shelf", 100, -20.0, 2.0),)]
    ),
    filters=st.sampled_from([(), (Filter("lowpass", 1000.0),)]),
    echo=st.floats(0, 1),
    distortion=st.floats(0, 1),
    width=st.floats(0, 2),
    fade_out_s=st.floats(0, 600),
    passages=st.sampled_from([(), (Passage(10.0, 20.0, TargetSettings(muted=True)),)]),
)
MIXES = st.dictionaries(st.sampled_from([*SIX_STEMS, "mix"]), SETTINGS, max_size=3).map(Mix)
WORDS = st.one_of(
    st.sampled_from(sorted(vocabulary().words)),
    st.sampled_from(
        [
            "vocals",
            "drums",
            "louder",
            "not",
            "no",
            ",",
            "3",
            "-5 dB",
            "3k",
            "it",
            "and",
            "from 1:10",
            "to 1:20",
            "in the last 5 seconds",
            "300 ms",
        ]
    ),
)


@settings(max_examples=400)
@given(st.lists(WORDS, max_size=14).map(" ".join), MIXES)
def test_no_row_of_words_makes_a_mix_out_of_range(prompt: str, mix: Mix) -> None:
    context = Context(
        mix=mix,
        history=(Exchange("make the vocals louder with reverb", "remix", ("vocals",)),),
        proposal=Proposal(Separation(("other",)), mix),
        stems=SIX_STEMS,
    )
    found = ENGINE.interpret(prompt, context)
    found.mix.check(SIX_STEMS)
    if found.proposal:
        found.proposal.mix.check(SIX_STEMS)
    assert found.reply
    assert 0 <= found.confidence <= 1


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_no_text_at_all_breaks_the_interpreter(prompt: str) -> None:
    found = ENGINE.interpret(prompt, Context())
    found.mix.check(Context().stems)


REPAIRS = st.sampled_from(
    ["no wait, ", "sorry, ", "I mean ", "no, ", "scratch that, ", "make that "]
)


@given(REPAIRS, st.sampled_from(["3", "4 dB", "2.5 dB"]), st.sampled_from(["6", "6 dB"]))
def test_a_number_taken_back_is_not_used(repair: str, first: str, second: str) -> None:
    assert outcome(f"drums down {first}... {repair}{second}") == outcome("drums down 6 dB")


@given(REPAIRS, st.sampled_from(["vocals", "drums", "bass"]), st.sampled_from(["vocals", "bass"]))
def test_a_part_taken_back_is_left_alone(repair: str, first: str, second: str) -> None:
    assert outcome(f"mute the {first}, {repair}the {second}") == outcome(f"mute the {second}")


@given(
    st.sampled_from(["I love the {}, but ", "the {} are fine, but ", "happy with the {}. ",
                     "my wife likes it. ", "the {} were recorded at home. "]),
    st.sampled_from(["vocals", "bass", "other stem"]),
    st.sampled_from(["the drums are too loud", "turn the drums down", "mute the drums"]),
)  # fmt: skip
def test_praise_and_stories_change_nothing(story: str, stem: str, prompt: str) -> None:
    assert outcome(story.format(stem) + prompt) == outcome(prompt)


@given(
    st.sampled_from(["vocals", "drums", "bass"]),
    st.sampled_from(["turn the {} down 3 semitones left", "reverb on the {} by 5 semitones",
                     "pan the {} left 3 kHz", "lowpass the {} by 5 semitones"]),
)  # fmt: skip
def test_what_a_reading_leaves_over_is_asked_about(stem: str, pattern: str) -> None:
    assert outcome(pattern.format(stem))["type"] == "clarification"


@given(PLAIN)
def test_the_same_prompt_gets_the_same_answer(prompt: str) -> None:
    assert ENGINE.interpret(prompt, Context()) == ENGINE.interpret(prompt, Context())

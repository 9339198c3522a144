"""Changes that hold for a stretch of the track."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdown.mix import Mix, Passage, TargetSettings
from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.edits import apply_edits, difference
from services.interpreter.golden import outcome_of
from services.interpreter.intent import (
    Adjustment,
    Clearing,
    Context,
    Edit,
    Exchange,
    Remix,
    TimeRange,
)
from services.interpreter.messages import intent_from_message, intent_to_message

ENGINE = BuiltinEngine()

AMOUNTS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
PLAIN = st.builds(
    TargetSettings,
    gain_db=st.sampled_from([-6.0, 0.0, 3.0]),
    muted=st.booleans(),
    reverb=AMOUNTS,
    echo=AMOUNTS,
    chorus=AMOUNTS,
    distortion=AMOUNTS,
    width=st.sampled_from([0.0, 1.0, 1.5]),
    fade_in_s=st.sampled_from([0.0, 2.0]),
    fade_out_s=st.sampled_from([0.0, 5.0]),
)


@st.composite
def settings_in_time(draw: st.DrawFn) -> TargetSettings:
    outside = draw(PLAIN)
    borders = sorted(draw(st.sets(st.integers(0, 300), max_size=6)))
    pairs = list(zip(borders[::2], borders[1::2], strict=False))
    passages = tuple(Passage(float(a), float(b), draw(PLAIN)) for a, b in pairs)
    return TargetSettings(**{**vars(outside), "passages": passages})


@given(settings_in_time(), settings_in_time())
def test_the_difference_of_two_mixes_turns_one_into_the_other(
    old: TargetSettings, new: TargetSettings
) -> None:
    before, after = Mix({"drums": old}), Mix({"drums": new})

    assert apply_edits(before, difference(before, after)).mix == after


def test_a_change_everywhere_reaches_every_passage() -> None:
    mix = apply_edits(
        Mix(),
        [
            Edit("drums", "gain_db", Adjustment(-3, True), TimeRange(10, 20)),
            Edit("drums", "gain_db", Adjustment(2, True)),
        ],
    ).mix

    assert mix["drums"].gain_db == 2
    assert mix["drums"].passages[0].settings.gain_db == -1


def test_passages_can_be_taken_back() -> None:
    edits = [
        Edit("drums", "muted", True, TimeRange(10, 20)),
        Edit("drums", "clear", Clearing("passages")),
    ]

    assert apply_edits(Mix(), edits).mix.is_neutral


def test_a_stretch_that_is_clamped_in_every_passage_is_told_once() -> None:
    mix = Mix({"drums": TargetSettings(passages=(Passage(1, 2, TargetSettings(muted=True)),))})

    applied = apply_edits(mix, [Edit("drums", "gain_db", Adjustment(40, True))])

    assert len(applied.limitations) == 1


@given(
    st.sampled_from(["gain_db", "echo", "echo_time_ms", "chorus", "width", "fade_out_s"]),
    st.booleans(),
    st.sampled_from([None, TimeRange(1.5, 70.0), TimeRange(0.0), TimeRange(30.0)]),
)
def test_edits_keep_their_stretch_in_messages(
    setting: str, relative: bool, stretch: TimeRange | None
) -> None:
    intent = Remix((Edit("vocals", setting, Adjustment(2.0, relative), stretch),))  # type: ignore[arg-type]

    assert intent_from_message(intent_to_message(intent)) == intent


TIMES = st.tuples(st.integers(0, 9), st.integers(0, 59))


@given(TIMES, TIMES)
def test_times_are_the_same_in_every_spelling(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    start, end = sorted((60 * m + s for m, s in (first, second)))
    if start == end:
        return

    def clock(seconds: int) -> str:
        return f"{seconds // 60}:{seconds % 60:02d}"

    expected = outcome_of(
        ENGINE.interpret(f"mute the drums from {clock(start)} to {clock(end)}", Context())
    )
    assert expected["mix"]["drums"]["passages"] == [
        {"start_s": start, "end_s": end, "settings": {"muted": True}}
    ]
    for prompt in (
        f"between {clock(start)} and {clock(end)} mute the drums",
        f"mute the drums from {start} to {end} seconds",
        f"mute the drums {clock(start)}-{clock(end)}",
        f"mute the drums from {start} seconds until {end} seconds",
        f"mute the drums, but only from {clock(start)} to {clock(end)}",
    ):
        assert outcome_of(ENGINE.interpret(prompt, Context())) == expected


@pytest.mark.parametrize("context", [Context(), Context(track_seconds=200.0)])
def test_the_end_of_the_track_counts_only_where_it_is_known(context: Context) -> None:
    found = ENGINE.interpret("mute the drums in the last 20 seconds", context)

    if context.track_seconds is None:
        assert "how long" in found.reply
    else:
        assert found.mix["drums"].passages[0].start_s == 180


def test_a_change_can_be_confined_afterwards() -> None:
    mix = Mix({"vocals": TargetSettings(echo=0.3)})
    history = (Exchange("add some echo to the vocals", "remix", ("vocals",)),)

    found = ENGINE.interpret(
        "only from 0:10 to 0:20 please", Context(mix=mix, history=history, undo_mixes=(Mix(),))
    )

    assert found.mix["vocals"] == TargetSettings(
        passages=(Passage(10, 20, TargetSettings(echo=0.3)),)
    )
    assert "from 0:10 to 0:20" in found.reply

"""Settings that change with time: what an edit does where, and the one way to say it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdown.mix import NEUTRAL, Mix, Passage, TargetSettings, edited, passage_at
from mixdown.mix.protobuf import settings_from_message, settings_to_message

LOUDER = TargetSettings(gain_db=3.0)
SECONDS = st.integers(0, 12).map(float)


def held(settings: TargetSettings, at_s: float) -> TargetSettings:
    """What holds at a point in time, fades left out."""
    passage = passage_at(settings, at_s)
    return (passage.settings if passage else settings).outside


def louder(settings: TargetSettings) -> TargetSettings:
    return replace(settings, gain_db=settings.gain_db + 1.0)


def muted(settings: TargetSettings) -> TargetSettings:
    return replace(settings, muted=True)


stretches = st.tuples(SECONDS, st.one_of(st.none(), SECONDS)).filter(
    lambda stretch: stretch[1] is None or stretch[0] < stretch[1]
)
edits = st.lists(st.tuples(st.sampled_from([louder, muted]), stretches), max_size=8)


@given(edits)
def test_an_edit_changes_what_holds_in_its_stretch_and_nothing_else(made):
    settings = NEUTRAL
    expected = dict.fromkeys((0.0, *(k + 0.5 for k in range(14))), NEUTRAL)
    for change, (start_s, end_s) in made:
        settings = edited(settings, change, start_s, end_s)
        stop_s = math.inf if end_s is None else end_s
        for at_s in expected:
            if start_s <= at_s < stop_s:
                expected[at_s] = change(expected[at_s])
    assert {at_s: held(settings, at_s) for at_s in expected} == expected
    Mix({"vocals": settings}).check(["vocals"])


@given(edits, stretches)
def test_an_edit_taken_back_leaves_no_trace(made, stretch):
    settings = NEUTRAL
    for change, (start_s, end_s) in made:
        settings = edited(settings, change, start_s, end_s)

    def quieter(item: TargetSettings) -> TargetSettings:
        return replace(item, gain_db=item.gain_db - 1.0)

    assert edited(edited(settings, louder, *stretch), quieter, *stretch) == settings


@given(edits)
def test_passages_say_only_what_changes(made):
    settings = NEUTRAL
    for change, (start_s, end_s) in made:
        settings = edited(settings, change, start_s, end_s)
    stop_s = 0.0
    before = settings.outside
    for passage in settings.passages:
        assert passage.start_s >= stop_s
        if passage.start_s > stop_s:
            before = settings.outside
        assert passage.settings not in (before, settings.outside)
        before, stop_s = passage.settings, passage.stop_s


def test_an_edit_of_the_whole_track_goes_into_every_passage():
    reverb_at_first = edited(NEUTRAL, lambda item: replace(item, reverb=0.3), 0.0, 30.0)
    both = edited(reverb_at_first, louder)
    assert both.gain_db == 1.0
    assert both.passages == (Passage(0.0, 30.0, TargetSettings(gain_db=1.0, reverb=0.3)),)
    dry = edited(both, lambda item: replace(item, reverb=0.0))
    assert dry == TargetSettings(gain_db=1.0)


def test_a_fade_of_the_track_stays_at_the_track_and_one_of_a_stretch_at_its_borders():
    faded = edited(NEUTRAL, lambda item: replace(item, fade_in_s=5.0))
    assert faded == TargetSettings(fade_in_s=5.0)
    silent_later = edited(faded, muted, 85.0)
    both = edited(silent_later, lambda item: replace(item, fade_out_s=15.0), 70.0, 85.0)
    assert both.fade_in_s == 5.0
    assert both.passages == (
        Passage(70.0, 85.0, TargetSettings(fade_out_s=15.0)),
        Passage(85.0, None, TargetSettings(muted=True)),
    )
    # A whole edit leaves the fades of the passages, a piece keeps the fade at its own border.
    assert edited(both, louder).passages[0].settings.fade_out_s == 15.0
    cut = edited(both, louder, 75.0, 80.0)
    fades = [(p.start_s, p.settings.gain_db, p.settings.fade_out_s) for p in cut.passages]
    assert fades == [(75.0, 1.0, 0.0), (80.0, 0.0, 15.0), (85.0, 0.0, 0.0)]


def test_neighbours_that_are_alike_are_one_passage_with_the_fades_at_its_ends():
    joined = TargetSettings(
        passages=(
            Passage(20.0, None, replace(LOUDER, fade_out_s=2.0)),
            Passage(10.0, 20.0, replace(LOUDER, fade_in_s=1.0)),
        )
    )
    only = TargetSettings(gain_db=3.0, fade_in_s=1.0, fade_out_s=2.0)
    assert joined.passages == (Passage(10.0, None, only),)


def test_a_passage_that_changes_nothing_is_none():
    assert TargetSettings(gain_db=3.0, passages=(Passage(1.0, 2.0, LOUDER),)) == LOUDER
    assert Mix({"vocals": TargetSettings(passages=(Passage(1.0, 2.0, NEUTRAL),))}).is_neutral


@pytest.mark.parametrize("name", ["width", "echo_feedback"])
def test_a_zero_that_is_not_neutral_survives_protobuf(name):
    settings = replace(NEUTRAL, **{name: 0.0})
    message = settings_to_message(settings)
    assert message.HasField(name)
    assert settings_from_message("vocals", message) == settings
    assert not settings_to_message(NEUTRAL).HasField(name)

"""Edits applied to a mix."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mixdown.mix import EqBand, Filter, Mix
from services.interpreter.edits import apply_edits, difference
from services.interpreter.intent import Adjustment, Clearing, CompressionChange, Edit

STEMS = ("vocals", "drums")


def test_relative_gains_add_up_and_come_back_to_neutral() -> None:
    up = Edit("vocals", "gain_db", Adjustment(0.1, relative=True))
    down = Edit("vocals", "gain_db", Adjustment(-0.3, relative=True))
    assert apply_edits(Mix(), [up, up, up, down]).mix.is_neutral


def test_a_value_out_of_range_is_clamped_and_told() -> None:
    applied = apply_edits(Mix(), [Edit("vocals", "gain_db", Adjustment(40, relative=True))])
    assert applied.mix["vocals"].gain_db == 24
    (limitation,) = applied.limitations
    assert (limitation.requested, limitation.used) == (40, 24)
    assert limitation.text == "+40 dB is more than I can do; I used +24 dB"


def test_a_band_within_a_sixth_of_an_octave_is_changed_and_another_is_new() -> None:
    mix = Mix().change("vocals", eq=(EqBand("peak", 3000, 3.0, 2.0),))
    near = Edit("vocals", "eq", EqBand("peak", 3300, 2.0))
    far = Edit("vocals", "eq", EqBand("peak", 3400, 2.0))
    shelf = Edit("vocals", "eq", EqBand("high_shelf", 3000, 2.0))
    assert apply_edits(mix, [near]).mix["vocals"].eq == (EqBand("peak", 3000, 5.0, 2.0),)
    assert len(apply_edits(mix, [far]).mix["vocals"].eq) == 2
    assert len(apply_edits(mix, [shelf]).mix["vocals"].eq) == 2


def test_a_filter_replaces_the_one_of_its_type() -> None:
    edits = [
        Edit("drums", "filters", Filter("lowpass", 1000.0)),
        Edit("drums", "filters", Filter("highpass", 100.0)),
        Edit("drums", "filters", Filter("lowpass", 2000.0)),
    ]
    kinds = {item.type: item.cutoff_hz for item in apply_edits(Mix(), edits).mix["drums"].filters}
    assert kinds == {"lowpass": 2000.0, "highpass": 100.0}


def test_corners_of_a_bandpass_are_put_in_order_and_kept_apart() -> None:
    for low, high in ((3000.0, 300.0), (1000.0, 1000.0), (30_000.0, 40_000.0)):
        edit = Edit("drums", "filters", Filter("bandpass", low_hz=low, high_hz=high))
        apply_edits(Mix(), [edit]).mix.check(STEMS)


def test_levels_of_compression_stop_at_both_ends() -> None:
    def level(*steps: int) -> str:
        edits = [Edit("drums", "compression", CompressionChange(levels=step)) for step in steps]
        return apply_edits(Mix(), edits).mix["drums"].compression

    assert level(1) == "low"
    assert level(1, 1, 1, 1) == "high"
    assert level(1, -1, -1) == "none"


def test_the_equaliser_takes_no_more_bands_than_it_has() -> None:
    edits = [Edit("drums", "eq", EqBand("peak", 30 * 1.2**i, 1.0)) for i in range(33)]
    applied = apply_edits(Mix(), edits)
    applied.mix.check(STEMS)
    assert [item.kind for item in applied.limitations] == ["not_done"]


EDITS = st.one_of(
    st.builds(
        Edit,
        st.sampled_from([*STEMS, "mix"]),
        st.sampled_from(["gain_db", "pan", "reverb", "pitch_semitones"]),
        st.builds(Adjustment, st.floats(-1e5, 1e5), st.booleans()),
    ),
    st.builds(
        Edit,
        st.sampled_from(STEMS),
        st.just("eq"),
        st.builds(
            EqBand,
            st.sampled_from(["peak", "low_shelf", "high_shelf"]),
            st.floats(-1e5, 1e5),
            st.floats(-1e3, 1e3),
            st.floats(-10, 100),
        ),
    ),
    st.builds(
        Edit,
        st.sampled_from(STEMS),
        st.just("filters"),
        st.builds(
            Filter,
            st.just("bandpass"),
            low_hz=st.floats(-1e5, 1e5),
            high_hz=st.floats(-1e5, 1e5),
        ),
    ),
    st.builds(Edit, st.sampled_from(STEMS), st.just("clear"), st.just(Clearing("all"))),
)


@given(st.lists(EDITS, max_size=40))
def test_no_edits_make_a_mix_out_of_range(edits: list[Edit]) -> None:
    apply_edits(Mix(), edits).mix.check(STEMS)


@given(st.lists(EDITS, max_size=10), st.lists(EDITS, max_size=10))
def test_the_difference_of_two_mixes_turns_one_into_the_other(
    first: list[Edit], second: list[Edit]
) -> None:
    before, after = apply_edits(Mix(), first).mix, apply_edits(Mix(), second).mix
    reached = apply_edits(before, difference(before, after)).mix
    assert {t: len(s.eq) for t, s in reached.targets.items()}.keys() == after.targets.keys()
    for target, settings in after.targets.items():
        assert reached[target].gain_db == settings.gain_db
        assert reached[target].filters == settings.filters

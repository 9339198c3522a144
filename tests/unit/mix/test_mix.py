"""The mix: values, ranges, canonical JSON, protobuf."""

import itertools
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdown.mix import (
    COMPRESSION_LEVELS,
    RANGES,
    EqBand,
    Filter,
    Mix,
    MixError,
    MixOutOfRangeError,
    Output,
    Passage,
    TargetSettings,
    UnknownTargetError,
)
from mixdown.mix.protobuf import (
    mix_from_message,
    mix_to_message,
    output_from_message,
    output_to_message,
)

STEMS = ("vocals", "drums", "bass", "other")
LOUDER = TargetSettings(gain_db=3.0)
QUIETER = TargetSettings(gain_db=-3.0)
TOO_LOW = (EqBand("peak", 10.0, 3.0),)
WITH_A_PASSAGE = TargetSettings(passages=(Passage(0.0, 1.0, LOUDER),))


def within(name: str) -> st.SearchStrategy[float]:
    return st.floats(RANGES[name].minimum, RANGES[name].maximum)


bands = st.builds(
    EqBand,
    type=st.sampled_from(["peak", "low_shelf", "high_shelf"]),
    frequency_hz=within("eq.frequency_hz"),
    gain_db=within("eq.gain_db"),
    q=within("eq.q"),
)
filters = st.lists(
    st.one_of(
        st.builds(Filter, st.sampled_from(["lowpass", "highpass"]), within("filters.cutoff_hz")),
        st.builds(
            lambda low, span: Filter("bandpass", low_hz=low, high_hz=low + span),
            st.floats(20, 9000),
            st.floats(1, 10_000),
        ),
    ),
    max_size=3,
    unique_by=lambda item: item.type,
).map(tuple)
numbers = {name: within(name) for name in RANGES if "." not in name}
constant_settings = st.builds(
    TargetSettings,
    **numbers,
    muted=st.booleans(),
    compression=st.sampled_from(COMPRESSION_LEVELS),
    eq=st.lists(bands, max_size=4).map(tuple),
    filters=filters,
)


@st.composite
def passages(draw: st.DrawFn) -> tuple[Passage, ...]:
    borders = sorted(draw(st.sets(st.integers(0, 86_400), max_size=6)))
    made = [
        Passage(begin, end, draw(constant_settings))
        for begin, end in itertools.pairwise(borders)
        if draw(st.booleans())
    ]
    if borders and draw(st.booleans()):
        made.append(Passage(borders[-1], None, draw(constant_settings)))
    return tuple(draw(st.permutations(made)))


settings = st.builds(
    lambda outside, made: replace(outside, passages=made), constant_settings, passages()
)
mixes = st.dictionaries(st.sampled_from([*STEMS, "mix"]), settings).map(Mix)


@given(mixes)
def test_a_mix_survives_the_way_through_protobuf(mix):
    assert mix_from_message(mix_to_message(mix)) == mix


@given(mixes)
def test_a_mix_survives_the_way_through_json(mix):
    assert Mix.from_dict(json.loads(mix.canonical_json())) == mix


@given(mixes)
def test_every_mix_within_the_ranges_passes_the_check(mix):
    mix.check(STEMS)


@given(mixes)
def test_the_order_of_targets_does_not_change_the_canonical_json(mix):
    turned = Mix(dict(reversed(list(mix.targets.items()))))
    assert turned.canonical_json() == mix.canonical_json()
    assert hash(turned) == hash(mix)


def test_neutral_targets_are_dropped():
    assert Mix({"vocals": TargetSettings()}) == Mix()
    assert Mix({"vocals": TargetSettings()}).is_neutral


def test_whole_numbers_and_floats_have_one_canonical_json():
    whole = Mix().change("vocals", gain_db=3, eq=(EqBand("peak", 3000, 5),))
    floats = Mix().change("vocals", gain_db=3.0, eq=(EqBand("peak", 3000.0, 5.0),))
    assert whole.canonical_json() == floats.canonical_json()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("gain_db", 24.5),
        ("gain_db", -61.0),
        ("gain_db", math.nan),
        ("gain_db", math.inf),
        ("pan", 1.01),
        ("reverb", -0.1),
        ("pitch_semitones", 25.0),
        ("compression", "extreme"),
        ("eq", (EqBand("peak", 10.0, 3.0),)),
        ("eq", (EqBand("notch", 100.0, 3.0),)),
        ("eq", (EqBand("peak", 100.0, 3.0),) * 33),
        ("filters", (Filter("lowpass"),)),
        ("filters", (Filter("lowpass", 100.0), Filter("lowpass", 200.0))),
        ("filters", (Filter("bandpass", low_hz=3000.0, high_hz=300.0),)),
        ("echo", 1.1),
        ("echo_time_ms", 10.0),
        ("echo_feedback", 1.0),
        ("chorus", -0.1),
        ("distortion", math.nan),
        ("width", 2.1),
        ("fade_in_s", -1.0),
        ("fade_out_s", 601.0),
        ("passages", (Passage(-1.0, 2.0, LOUDER),)),
        ("passages", (Passage(2.0, 2.0, LOUDER),)),
        ("passages", (Passage(0.0, math.inf, LOUDER),)),
        ("passages", (Passage(0.0, 2.0, LOUDER), Passage(1.0, None, QUIETER))),
        ("passages.settings.gain_db", (Passage(0.0, 2.0, TargetSettings(gain_db=25.0)),)),
        ("passages.settings.eq", (Passage(0.0, 2.0, TargetSettings(eq=TOO_LOW)),)),
        ("passages.settings.passages", (Passage(0.0, 2.0, WITH_A_PASSAGE),)),
        ("passages", tuple(Passage(2 * k, 2 * k + 1, LOUDER) for k in range(65))),
    ],
)
def test_a_setting_out_of_range_is_refused_and_named(setting, value):
    with pytest.raises(MixOutOfRangeError) as caught:
        Mix().change("drums", **{setting.split(".")[0]: value}).check(STEMS)
    assert caught.value.target == "drums"
    assert caught.value.setting.startswith(setting)


def test_an_unknown_target_is_refused_with_the_known_ones():
    with pytest.raises(UnknownTargetError) as caught:
        Mix().change("trumpet", gain_db=3.0).check(STEMS)
    assert caught.value.known == (*STEMS, "mix")


@pytest.mark.parametrize(
    "document",
    [
        {"vocals": {"volume": 3}},
        {"vocals": 3},
        {"vocals": {"eq": 1}},
        {"vocals": {"passages": 1}},
        {"vocals": {"passages": [{"start_s": 0.0}]}},
        {"vocals": {"passages": [{"start_s": 0.0, "settings": {"volume": 3}}]}},
        {"vocals": {"passages": [{"settings": {}}]}},
    ],
)
def test_a_document_of_another_shape_is_refused(document):
    with pytest.raises(MixError):
        Mix.from_dict(document)


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (Output("mix"), "mix"),
        (Output("stem", ("vocals",)), "vocals"),
        (Output("without", ("vocals", "drums")), "without-vocals-drums"),
    ],
)
def test_an_output_has_a_name_and_survives_protobuf(output, name):
    assert output.name == name
    assert output_from_message(output_to_message(output)) == output


@pytest.mark.parametrize(
    ("kind", "stems"),
    [
        ("mix", ("vocals",)),
        ("stem", ()),
        ("stem", ("a", "b")),
        ("without", ()),
        ("without", ("a", "a")),
    ],
)
def test_an_output_whose_stems_do_not_fit_its_kind_is_refused(kind, stems):
    with pytest.raises(ValueError, match="output"):
        Output(kind, stems)

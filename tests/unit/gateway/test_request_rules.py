"""Requests keep the rules of their fields, or are refused with the reason of the contract."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix
from mixdown.mix.v1 import mix_pb2
from services.gateway import errors
from services.gateway import request_rules as rules
from services.runtime.errors import MixdownError, UnsupportedFormatError

STEMS = ["vocals", "drums", "bass", "other"]


@given(st.text(max_size=300))
def test_a_name_that_passes_is_no_path_and_not_too_long(name):
    try:
        kept = rules.check_display_name(name, required=True)
    except errors.InvalidNameError:
        return
    assert 0 < len(kept) <= 255
    assert kept.isprintable()
    assert not set("/\\") & set(kept)
    assert kept not in {".", ".."}


@pytest.mark.parametrize("name", ["song.mp3", "Für Elise", "Ω", "a" * 255, " trimmed "])
def test_ordinary_names_pass(name):
    assert rules.check_display_name(name, required=True) == name.strip()


def test_no_name_passes_where_none_is_needed():
    assert rules.check_display_name("", required=False) == ""


@given(st.text(max_size=80))
def test_an_upload_id_that_passes_is_a_safe_word(upload_id):
    try:
        rules.check_upload_id(upload_id)
    except errors.InvalidNameError:
        return
    assert upload_id.replace("-", "").replace("_", "").isalnum() or set(upload_id) <= set("-_")
    assert upload_id.isascii()


def test_a_missing_request_id_is_made_and_another_kept():
    assert rules.check_request_id("mine") == "mine"
    assert rules.check_request_id("") != rules.check_request_id("")


def test_a_prompt_is_measured_after_trimming():
    assert rules.check_prompt("  " + "a" * 10 + "  ", 10) == "a" * 10
    with pytest.raises(errors.PromptTooLongError):
        rules.check_prompt("a" * 11, 10)
    with pytest.raises(errors.PromptEmptyError):
        rules.check_prompt(" \n ", 10)


@pytest.mark.parametrize(
    ("encoding", "bitrate", "passes"),
    [
        (audio_pb2.ENCODING_UNSPECIFIED, 0, True),
        (audio_pb2.ENCODING_MP3, 0, True),
        (audio_pb2.ENCODING_MP3, 32, True),
        (audio_pb2.ENCODING_MP3, 320, True),
        (audio_pb2.ENCODING_MP3, 31, False),
        (audio_pb2.ENCODING_MP3, 321, False),
        (audio_pb2.ENCODING_MP3, -1, False),
        (audio_pb2.ENCODING_FLAC24, 128, False),
        (1234, 0, False),
    ],
)
def test_formats_have_known_encodings_and_fitting_bit_rates(encoding, bitrate, passes):
    form = audio_pb2.OutputFormat(encoding=encoding, bitrate_kbps=bitrate)
    if passes:
        assert rules.check_format(form) == form
    else:
        with pytest.raises(UnsupportedFormatError):
            rules.check_format(form)


@pytest.mark.parametrize(
    ("lufs", "passes"),
    [(-40.0, True), (-14.0, True), (-5.0, True), (-41.0, False), (0.0, False), (math.nan, False)],
)
def test_formats_have_a_loudness_that_can_be_reached(lufs, passes):
    form = audio_pb2.OutputFormat(loudness_lufs=lufs)
    if passes:
        assert rules.check_format(form) == form
    else:
        with pytest.raises(UnsupportedFormatError):
            rules.check_format(form)


@given(gain=st.floats(allow_nan=True, allow_infinity=True), target=st.sampled_from([*STEMS, "mix"]))
def test_a_mix_is_checked_not_clamped(gain, target):
    message = mix_pb2.Mix(targets={target: mix_pb2.TargetSettings(gain_db=gain)})
    if -60 <= gain <= 24:
        assert rules.check_mix(message, STEMS) == Mix().change(target, gain_db=gain)
    else:
        with pytest.raises(errors.MixOutOfRangeError):
            rules.check_mix(message, STEMS)


def test_no_output_means_the_whole_mix():
    assert rules.check_outputs([], STEMS) == [mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)]


@given(
    st.lists(
        st.builds(
            mix_pb2.Output,
            kind=st.integers(0, 5),
            stems=st.lists(st.sampled_from([*STEMS, "trumpet"]), max_size=3),
        ),
        max_size=3,
    )
)
def test_outputs_that_pass_have_distinct_names_and_known_stems(outputs):
    try:
        kept = rules.check_outputs(outputs, STEMS)
    except MixdownError as error:
        assert error.reason == "UNKNOWN_STEM"
        return
    assert all(stem in STEMS for output in kept for stem in output.stems)
    assert len(kept) == max(1, len(outputs))

"""The chain: order, length, and the same bits whatever the blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import EqBand, Filter, Passage, TargetSettings
from services.remixer import chain
from services.remixer.chain import Chain, Track, effective, output_frames

from .conftest import RATE_HZ, noise, run

EVERYTHING = TargetSettings(
    gain_db=-3.0,
    pan=0.25,
    reverb=0.2,
    pitch_semitones=-3.0,
    compression="medium",
    eq=(EqBand("peak", 3000, 5.0), EqBand("low_shelf", 100, -3.0)),
    filters=(Filter("highpass", cutoff_hz=60.0),),
)
FRAMES = 9000
IN_PASSAGES = replace(
    EVERYTHING,
    fade_in_s=0.02,
    passages=(
        Passage(0.03, 0.06, TargetSettings(gain_db=3.0, pitch_semitones=2.0, reverb=0.1)),
        Passage(0.06, 0.09, TargetSettings(muted=True)),
        Passage(0.1, 0.11, replace(EVERYTHING, echo=0.3, echo_time_ms=30.0, chorus=0.4)),
        Passage(0.15, None, TargetSettings(distortion=0.5, width=0.5, fade_out_s=0.02)),
    ),
)


def build_chain(target, settings, channels=2, rate_hz=RATE_HZ, frames=FRAMES) -> Chain:
    return chain.build_chain(target, settings, Track(rate_hz, channels, frames))


def expected_frames(settings, frames, rate_hz=RATE_HZ) -> int:
    return output_frames(settings, Track(rate_hz, 2, frames), frames)


ONE_BY_ONE = [
    TargetSettings(gain_db=3.0),
    TargetSettings(muted=True, reverb=0.5),
    TargetSettings(pan=-0.3),
    TargetSettings(reverb=0.1),
    TargetSettings(pitch_semitones=3.5),
    TargetSettings(pitch_semitones=-12.0),
    TargetSettings(compression="high"),
    TargetSettings(eq=(EqBand("high_shelf", 8000, 6.0),)),
    TargetSettings(filters=(Filter("bandpass", low_hz=300.0, high_hz=3400.0),)),
    TargetSettings(echo=0.5, echo_time_ms=20.0, echo_feedback=0.5),
    TargetSettings(chorus=0.5),
    TargetSettings(distortion=0.5),
    TargetSettings(width=1.7),
    TargetSettings(fade_in_s=0.05, fade_out_s=0.1, reverb=0.1),
    EVERYTHING,
    IN_PASSAGES,
]
SAMPLES = {channels: noise(FRAMES, channels, seed=channels) for channels in (1, 2)}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("target", [*ONE_BY_ONE], ids=lambda item: "-".join(item.changed()))
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_the_same_samples_give_the_same_bits_however_they_are_cut(target, channels, cuts):
    samples = SAMPLES[channels]
    whole = run(build_chain("drums", target, channels), samples)
    cut = run(build_chain("drums", target, channels), samples, cuts)
    assert np.array_equal(whole, cut)


LOW_RATE_HZ = 8000
LONG = noise(5 * LOW_RATE_HZ, seed=3)
"""Longer than several blocks of every effect: the longest are as long as 1.2 s."""
EVERY_EFFECT = replace(EVERYTHING, echo=0.3, chorus=0.3, distortion=0.4, width=1.5)


@pytest.mark.parametrize("target", [EVERY_EFFECT, IN_PASSAGES], ids=["every effect", "passages"])
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 15_000), max_size=8))
def test_the_bits_are_the_same_over_many_blocks_too(target, cuts):
    frames = LONG.shape[1]
    whole = run(build_chain("drums", target, 2, LOW_RATE_HZ, frames), LONG)
    cut = run(build_chain("drums", target, 2, LOW_RATE_HZ, frames), LONG, cuts)
    assert np.array_equal(whole, cut)


@pytest.mark.parametrize("frames", [1, 2, 3, 1023, 1024, 5000])
@pytest.mark.parametrize("target", [*ONE_BY_ONE], ids=lambda item: "-".join(item.changed()))
def test_a_chain_gives_as_many_frames_as_it_got_and_its_tail(target, frames):
    out = run(build_chain("vocals", target, frames=frames), noise(frames))
    assert out.shape == (2, expected_frames(target, frames))
    assert out.dtype == np.float32
    assert np.isfinite(out).all()


def test_neutral_settings_change_no_sample():
    samples = noise(5000)
    assert np.array_equal(run(build_chain("bass", TargetSettings()), samples), samples)


def test_an_effect_keeps_its_place_in_time():
    # Each chain's latency is taken out: an impulse stays where it was.
    samples = np.zeros((2, 20_000), np.float32)
    samples[:, 7000] = 0.5
    for target in (
        TargetSettings(compression="low"),
        TargetSettings(reverb=0.3),
        TargetSettings(eq=(EqBand("peak", 3000, 5.0),)),
        TargetSettings(pan=0.4, gain_db=-3.0),
        TargetSettings(echo=0.5),
        TargetSettings(chorus=0.3),
        TargetSettings(distortion=0.5),
        TargetSettings(width=0.5),
    ):
        out = run(build_chain("drums", target, frames=20_000), samples)
        assert np.abs(out[0]).argmax() == 7000


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 96_000, 192_000])
def test_a_full_chain_works_at_any_rate(rate_hz):
    samples = noise(rate_hz // 2)
    frames = samples.shape[1]
    settings = replace(EVERYTHING, echo=0.3, chorus=0.3, distortion=0.4, width=1.5)
    out = run(build_chain("vocals", settings, 2, rate_hz, frames), samples)
    assert out.shape[1] == expected_frames(settings, frames, rate_hz)
    assert 0.001 < np.abs(out).max() < 2.0


def test_what_cannot_be_heard_is_left_out():
    def heard(settings, channels=2):
        return effective(settings, channels, 10.0)

    assert heard(TargetSettings(muted=True, gain_db=3.0)) == TargetSettings(muted=True)
    assert heard(TargetSettings(pan=0.5, width=2.0), 1).is_neutral
    assert heard(TargetSettings(eq=(EqBand("peak", 1000, 0.0),))).is_neutral
    assert heard(TargetSettings(echo_time_ms=500.0, echo_feedback=0.1)).is_neutral
    assert heard(EVERYTHING) == EVERYTHING
    silent = TargetSettings(muted=True, passages=(Passage(1.0, 2.0, TargetSettings(muted=True)),))
    assert heard(silent) == TargetSettings(muted=True)

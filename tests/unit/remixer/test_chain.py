"""The chain: order, length, and the same bits whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import EqBand, Filter, TargetSettings
from services.remixer.chain import build_chain, effective, tail_frames

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
    EVERYTHING,
]
SAMPLES = {channels: noise(9000, channels, seed=channels) for channels in (1, 2)}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("target", [*ONE_BY_ONE], ids=lambda item: "-".join(item.changed()))
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_the_same_samples_give_the_same_bits_however_they_are_cut(target, channels, cuts):
    samples = SAMPLES[channels]
    whole = run(build_chain("drums", target, RATE_HZ, channels), samples)
    cut = run(build_chain("drums", target, RATE_HZ, channels), samples, cuts)
    assert np.array_equal(whole, cut)


@pytest.mark.parametrize("frames", [1, 2, 3, 1023, 1024, 5000])
@pytest.mark.parametrize("target", [*ONE_BY_ONE], ids=lambda item: "-".join(item.changed()))
def test_a_chain_gives_as_many_frames_as_it_got_and_its_tail(target, frames):
    chain = build_chain("vocals", target, RATE_HZ, 2)
    out = run(chain, noise(frames))
    assert out.shape == (2, frames + tail_frames(target, RATE_HZ))
    assert out.dtype == np.float32
    assert np.isfinite(out).all()
    assert chain.tail_frames == tail_frames(target, RATE_HZ)


def test_neutral_settings_change_no_sample():
    samples = noise(5000)
    assert run(build_chain("bass", TargetSettings(), RATE_HZ, 2), samples) is not samples
    assert np.array_equal(run(build_chain("bass", TargetSettings(), RATE_HZ, 2), samples), samples)


def test_an_effect_keeps_its_place_in_time():
    # Each chain's latency is taken out: an impulse stays where it was.
    samples = np.zeros((2, 20_000), np.float32)
    samples[:, 7000] = 0.5
    for target in (
        TargetSettings(compression="low"),
        TargetSettings(reverb=0.3),
        TargetSettings(eq=(EqBand("peak", 3000, 5.0),)),
        TargetSettings(pan=0.4, gain_db=-3.0),
    ):
        out = run(build_chain("drums", target, RATE_HZ, 2), samples)
        assert np.abs(out[0]).argmax() == 7000


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 96_000, 192_000])
def test_a_full_chain_works_at_any_rate(rate_hz):
    samples = noise(rate_hz // 2)
    out = run(build_chain("vocals", EVERYTHING, rate_hz, 2), samples)
    assert out.shape[1] == samples.shape[1] + tail_frames(EVERYTHING, rate_hz)
    assert 0.001 < np.abs(out).max() < 2.0


def test_what_cannot_be_heard_is_left_out():
    assert effective(TargetSettings(muted=True, gain_db=3.0), 2) == TargetSettings(muted=True)
    assert effective(TargetSettings(pan=0.5), 1).is_neutral
    assert effective(TargetSettings(eq=(EqBand("peak", 1000, 0.0),)), 2).is_neutral
    assert effective(EVERYTHING, 2) == EVERYTHING

"""Whatever comes in, what comes out is finite, as long as it should be, and made without a fuss."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mixdown.mix import EqBand, Filter, Passage, TargetSettings
from services.remixer.chain import Track, build_chain, effective, output_frames
from services.runtime.audio.loudness import LoudnessMeter

from .conftest import noise, run

RATE_HZ = 8000
EXTREMES = [
    TargetSettings(gain_db=24.0),
    TargetSettings(eq=(EqBand("peak", 1000, 24, 18.0), EqBand("low_shelf", 20, -24, 0.1))),
    TargetSettings(filters=(Filter("highpass", 20.0), Filter("bandpass", None, 20.0, 21.0))),
    TargetSettings(compression="high"),
    TargetSettings(reverb=1.0),
    TargetSettings(pitch_semitones=-5.5),
    TargetSettings(echo=1.0, echo_feedback=0.9, echo_time_ms=20.0),
    TargetSettings(chorus=1.0),
    TargetSettings(distortion=1.0),
    TargetSettings(width=2.0),
    TargetSettings(fade_in_s=1.0, fade_out_s=600.0),
    TargetSettings(
        passages=(
            Passage(0.0, 1e-5, TargetSettings(muted=True)),
            Passage(0.2, None, TargetSettings(distortion=1.0, echo=1.0, compression="low")),
        )
    ),
]
INPUTS = {
    "far beyond full scale": noise(RATE_HZ, level=1e9),
    "a huge constant": np.full((2, RATE_HZ), 4.2e9, np.float32),
    "smaller than any number": noise(RATE_HZ, level=1e-40),
    "silence": np.zeros((2, RATE_HZ), np.float32),
    "one frame": np.ones((2, 1), np.float32),
    "two frames": np.ones((2, 2), np.float32),
}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("settings", EXTREMES, ids=lambda item: "-".join(item.changed()))
def test_every_effect_takes_every_input(settings, name, channels):
    samples = INPUTS[name][:channels]
    frames = samples.shape[1]
    meter = LoudnessMeter(RATE_HZ, channels)
    meter.add(samples)
    lufs = meter.result().integrated_lufs
    track = Track(RATE_HZ, channels, frames, -14.0 if lufs is None else lufs)
    heard = effective(settings, channels, frames / RATE_HZ)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = run(build_chain("vocals", heard, track), samples, [5000])
    assert out.shape == (channels, output_frames(heard, track, frames))
    assert np.isfinite(out).all()

"""Passages: what is set there is heard there, without a click, and nothing of it elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import EqBand, Filter, Passage, TargetSettings
from services.remixer.chain import Track, build_chain, effective, output_frames
from services.remixer.effects import reverb
from services.remixer.timeline import Timeline

from .conftest import RATE_HZ, level_db, noise, run, tone

SECONDS = 6
FRAMES = SECONDS * RATE_HZ
TRACK = Track(RATE_HZ, 2, FRAMES)
CROSSFADE = round(0.010 * RATE_HZ)
INSERTS = [
    TargetSettings(gain_db=6.0),
    TargetSettings(muted=True),
    TargetSettings(pan=1.0),
    TargetSettings(width=0.0),
    TargetSettings(pitch_semitones=3.0),
    TargetSettings(compression="high"),
    TargetSettings(distortion=0.8),
    TargetSettings(chorus=0.8),
    TargetSettings(eq=(EqBand("peak", 1000.0, 12.0),)),
    TargetSettings(filters=(Filter("lowpass", cutoff_hz=500.0),)),
    TargetSettings(fade_in_s=1.0, fade_out_s=0.5),
]


def rendered(settings: TargetSettings, samples: np.ndarray) -> np.ndarray:
    return run(build_chain("drums", settings, TRACK), samples, [FRAMES // 7] * 5)


def only(start_s: float, end_s: float | None, inside: TargetSettings) -> TargetSettings:
    return TargetSettings(passages=(Passage(start_s, end_s, inside),))


@pytest.mark.parametrize("inside", INSERTS, ids=lambda item: "-".join(item.changed()))
def test_outside_of_a_passage_nothing_changes_to_the_sample(inside):
    samples = noise(FRAMES)
    out = rendered(only(2.0, 3.5, inside), samples)
    begin, end = 2 * RATE_HZ, round(3.5 * RATE_HZ)
    assert np.array_equal(out[:, :begin], samples[:, :begin])
    assert np.array_equal(out[:, end:], samples[:, end:])
    middle = slice(begin + CROSSFADE, end - CROSSFADE)
    # Least of all a compressor, whose make-up gives back what it takes from a steady noise.
    assert level_db(out[:, middle] - samples[:, middle]) > level_db(samples) - 50


@pytest.mark.parametrize(
    "inside", [item for item in INSERTS if not item.fade_in_s], ids=lambda i: "-".join(i.changed())
)
def test_in_a_passage_from_the_beginning_it_sounds_as_if_it_were_set_everywhere(inside):
    samples = noise(FRAMES)
    end = 2 * RATE_HZ - CROSSFADE
    out, everywhere = rendered(only(0.0, 2.0, inside), samples), rendered(inside, samples)
    # What looks ahead (a make-up by a second and a step of it) no longer does where it ends.
    ahead = {"compression": 1.2, "distortion": 1.2, "pitch_semitones": 0.2}
    heard = end - round(ahead.get(next(iter(inside.changed())), 0.0) * RATE_HZ)
    assert np.array_equal(out[:, :heard], everywhere[:, :heard])


@pytest.mark.parametrize(
    ("passages", "level"),
    [
        ((Passage(2.0, 4.0, TargetSettings(muted=True)),), 0.0),
        ((Passage(2.0, 4.0, TargetSettings(gain_db=-6.0206)),), 0.5),
        ((Passage(2.0, 3.0, TargetSettings(muted=True)), Passage(3.0, 4.0, INSERTS[0])), None),
    ],
)
def test_borders_do_not_click(passages, level):
    # A tone has nothing above 2 kHz; a step would.
    samples = tone(100.0, FRAMES)
    out = rendered(TargetSettings(passages=passages), samples)
    bursts = np.abs(np.fft.rfft(out[0].reshape(-1, 441) * np.hanning(441), axis=1))[:, 20:]
    assert bursts.max() < 1e-3 * np.abs(np.fft.rfft(samples[0, :441] * np.hanning(441))).max()
    if level is not None:
        inside = slice(2 * RATE_HZ + CROSSFADE, 4 * RATE_HZ - CROSSFADE)
        assert np.abs(out[:, inside]).max() == pytest.approx(0.3 * level, abs=1e-4)


@pytest.mark.parametrize("settings", [TargetSettings(reverb=0.3), TargetSettings(echo=0.5)])
def test_what_rings_begins_with_its_passage_and_rings_out_behind_it(settings):
    samples = noise(FRAMES)
    out = rendered(only(1.0, 2.0, settings), samples)
    assert out.shape == samples.shape
    added = out - samples
    assert not added[:, :RATE_HZ].any()
    during = level_db(added[:, round(1.5 * RATE_HZ) : 2 * RATE_HZ])
    after = level_db(added[:, round(2.1 * RATE_HZ) : round(2.4 * RATE_HZ)])
    late = level_db(added[:, 5 * RATE_HZ :])
    assert during > after > during - 30
    assert late < during - 60


def test_a_muted_passage_lets_the_reverb_before_it_ring_out():
    samples = noise(FRAMES)
    inside = TargetSettings(muted=True)
    settings = TargetSettings(reverb=0.5, passages=(Passage(2.0, 5.0, inside),))
    out = rendered(settings, samples)
    assert out.shape[1] == FRAMES + reverb.tail_frames(0.5, RATE_HZ)
    assert level_db(out[:, round(2.1 * RATE_HZ) : round(2.2 * RATE_HZ)]) > level_db(samples) - 30


def test_a_fade_of_a_passage_lies_at_its_borders():
    ones = np.ones((2, FRAMES), np.float32)
    fading = TargetSettings(fade_in_s=0.5, fade_out_s=1.0)
    silent = TargetSettings(muted=True)
    settings = TargetSettings(passages=(Passage(1.0, 4.0, fading), Passage(4.0, None, silent)))
    out = rendered(settings, ones)[0]
    at = {s: out[round(s * RATE_HZ)] for s in (0.5, 1.1, 1.25, 2.0, 3.5, 4.01, 5.0)}
    assert at[0.5] == at[2.0] == 1.0
    assert at[1.25] == pytest.approx(np.sin(np.pi / 4), abs=1e-3)
    assert at[3.5] == pytest.approx(np.sin(np.pi / 4), abs=1e-3)
    assert at[1.1] < at[1.25]
    assert at[4.01] == pytest.approx(0.0, abs=1e-6)
    assert at[5.0] == 0.0
    assert np.abs(np.diff(out)).max() < 0.003


def test_a_gain_outside_holds_again_behind_a_passage():
    samples = noise(FRAMES)
    settings = TargetSettings(gain_db=-6.0, passages=(Passage(1.0, 2.0, TargetSettings()),))
    out = rendered(settings, samples)
    factor = np.float32(10 ** (-6 / 20))
    assert np.array_equal(out[:, :RATE_HZ], samples[:, :RATE_HZ] * factor)
    assert np.array_equal(out[:, 2 * RATE_HZ :], samples[:, 2 * RATE_HZ :] * factor)
    inside = slice(RATE_HZ + CROSSFADE, 2 * RATE_HZ - CROSSFADE)
    assert np.array_equal(out[:, inside], samples[:, inside])


@given(
    borders=st.sets(st.floats(0, 6), min_size=2, max_size=9),
    is_open=st.booleans(),
    gains=st.lists(st.sampled_from([-3.0, 3.0]), min_size=9, max_size=9),
)
def test_what_is_heard_adds_up_to_one_at_any_time(borders, is_open, gains):
    edges = sorted(borders)
    passages = tuple(
        Passage(a, b, TargetSettings(gain_db=gain))
        for a, b, gain in zip(edges[::2], edges[1::2], gains, strict=False)
    )
    if is_open:
        passages = (*passages, Passage(7.0, None, TargetSettings(muted=True)))
    timeline = Timeline(TargetSettings(passages=passages), 8000)
    frames = 8 * 8000
    total = sum(curve.values(0, frames) for _, curve in timeline.values(lambda s: s.gain_db))
    assert np.abs(total - 1.0).max() < 1e-6
    for _, curve in timeline.values(lambda item: (item.gain_db, item.muted)):
        values = curve.values(0, frames)
        assert not values[: curve.first].any()
        assert curve.stop is None or not values[curve.stop :].any()


RINGING = [TargetSettings(reverb=0.1), TargetSettings(echo=0.5, echo_time_ms=30.0)]


@st.composite
def in_passages(draw: st.DrawFn) -> TargetSettings:
    edges = sorted(draw(st.sets(st.floats(0.0, 0.25), min_size=1, max_size=6)))
    ends = [*edges[1:], draw(st.sampled_from([None, 0.3, 9.0]))]
    one = st.sampled_from([*INSERTS, *RINGING])
    made = [Passage(a, b, draw(one)) for a, b in zip(edges, ends, strict=True)]
    return replace(draw(one), passages=tuple(item for item in made if draw(st.booleans())))


@settings(max_examples=40, deadline=None)
@given(target=in_passages(), cuts=st.lists(st.integers(0, 4000), max_size=6))
def test_passages_give_the_same_bits_and_the_planned_length_however_they_are_cut(target, cuts):
    frames = 9000
    track = Track(RATE_HZ, 2, frames)
    heard = effective(target, 2, frames / RATE_HZ)
    samples = noise(frames)
    whole = run(build_chain("drums", heard, track), samples)
    assert whole.shape[1] == output_frames(heard, track, frames)
    assert np.array_equal(run(build_chain("drums", heard, track), samples, cuts), whole)

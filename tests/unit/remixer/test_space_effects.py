"""Echo, chorus, width, distortion and fades do what they say, by measurement."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.mix import Filter, TargetSettings
from services.remixer.chain import Track, build_chain
from services.remixer.effects.chorus import VOICES, Chorus, chorus_tail_frames
from services.remixer.effects.distortion import Distortion
from services.remixer.effects.echo import Echoes, echo_tail_frames
from services.remixer.effects.fades import Fade
from services.remixer.effects.filters import Filters
from services.remixer.effects.width import Width
from services.runtime.audio.loudness import LoudnessMeter

from .conftest import RATE_HZ, level_db, noise, run, tone
from .test_compression import song

__all__ = ["song"]


# Echo


@pytest.mark.parametrize(("time_ms", "frames"), [(20.0, 882), (350.0, 15_435), (333.3, 14_699)])
def test_echoes_come_at_their_time_to_the_sample_and_decay_by_the_feedback(time_ms, frames):
    click = np.zeros((2, 2000), np.float32)
    click[:, 100] = 1.0
    echoes = run(Echoes(0.5, time_ms, 0.6, RATE_HZ, 2), click)
    heard = np.flatnonzero(echoes[0])[:4]
    assert heard.tolist() == [100 + frames * count for count in (1, 2, 3, 4)]
    assert echoes[0, heard] == pytest.approx([0.5, 0.3, 0.18, 0.108], rel=1e-6)


def test_a_single_echo_is_all_there_and_ends():
    samples = noise(5000)
    echoes = run(Echoes(0.7, 100.0, 0.0, RATE_HZ, 2), samples)
    assert echoes.shape[1] == 5000 + 4410
    assert np.array_equal(echoes[:, 4410:], np.float32(0.7) * samples)
    assert not echoes[:, :4410].any()


@pytest.mark.parametrize(("amount", "feedback"), [(0.3, 0.35), (1.0, 0.6), (0.05, 0.9)])
def test_the_tail_of_an_echo_ends_60_db_down_and_fades_to_silence(amount, feedback):
    samples = noise(RATE_HZ)
    tail = run(Echoes(amount, 100.0, feedback, RATE_HZ, 2), samples)[:, RATE_HZ:]
    assert tail.shape[1] == echo_tail_frames(amount, 100.0, feedback, RATE_HZ)
    assert level_db(tail[:, -4410:]) < level_db(samples) - 57.0
    assert np.abs(tail[:, -1]).max() < 1e-9


def test_the_tail_of_an_echo_is_20_seconds_at_most_or_one_echo():
    assert echo_tail_frames(1.0, 2000.0, 0.9, RATE_HZ) == 20 * RATE_HZ
    assert echo_tail_frames(0.0005, 2000.0, 0.9, RATE_HZ) == 2 * RATE_HZ


def test_the_sound_itself_does_not_change_with_its_echoes():
    samples = noise(8000)
    settings = TargetSettings(echo=1.0, echo_time_ms=150.0)
    out = run(build_chain("drums", settings, Track(RATE_HZ, 2, 8000)), samples)
    assert np.array_equal(out[:, :6615], samples[:, :6615])


# Chorus


@pytest.mark.parametrize("amount", [0.2, 0.5, 1.0])
def test_a_chorus_keeps_the_level_and_adds_voices(amount):
    # Up to 8 kHz: above, the voices grow a little duller.
    low = Filters([Filter("lowpass", cutoff_hz=8000.0)], RATE_HZ, 2)
    samples = run(low, noise(4 * RATE_HZ))
    out = run(Chorus(amount, RATE_HZ, 2), samples)
    assert out.shape[1] == samples.shape[1] + chorus_tail_frames(RATE_HZ)
    assert level_db(out) == pytest.approx(level_db(samples), abs=0.3)
    voices = out[:, : samples.shape[1]] - samples / np.sqrt(1 + amount**2, dtype=np.float32)
    expected_db = 20 * np.log10(amount / np.sqrt(1 + amount**2))
    assert level_db(voices) - level_db(samples) == pytest.approx(expected_db, abs=0.3)


def test_a_voice_of_a_chorus_is_out_of_tune_by_a_few_cents_and_differs_between_the_channels():
    samples = tone(1000.0, 6 * RATE_HZ)
    out = run(Chorus(1.0, RATE_HZ, 2), samples)[:, RATE_HZ : 5 * RATE_HZ]
    voices = out - samples[:, RATE_HZ : 5 * RATE_HZ] / np.sqrt(2, dtype=np.float32)
    spectrum = np.abs(np.fft.rfft(voices[0] * np.hanning(voices.shape[1])))
    hertz = np.arange(len(spectrum)) / 4
    beside = (np.abs(hertz - 1000) > 2) & (np.abs(hertz - 1000) < 12)
    far = np.abs(hertz - 1000) > 100
    assert spectrum[beside].max() > 0.1 * spectrum.max()
    assert spectrum[far].max() < 1e-3 * spectrum.max()
    assert not np.allclose(voices[0], voices[1], atol=0.05)


def test_the_voices_of_a_chorus_lie_between_their_shortest_and_longest_delay():
    click = np.zeros((2, RATE_HZ // 2), np.float32)
    click[:, 0] = 1.0
    out = run(Chorus(1.0, RATE_HZ, 2), click)
    heard = np.flatnonzero(np.abs(out[0]) > 1e-3)[1:] / RATE_HZ * 1000
    shortest = min(voice.delay_ms - voice.depth_ms for voice in VOICES)
    longest = max(voice.delay_ms + voice.depth_ms for voice in VOICES)
    assert shortest - 0.1 < heard.min() < heard.max() < longest + 0.1


# Width


def correlation(samples: np.ndarray) -> float:
    return float(np.corrcoef(samples[0], samples[1])[0, 1])


def test_more_width_is_less_alike_in_both_channels():
    samples = noise(RATE_HZ) + noise(RATE_HZ, 1, seed=9)
    found = [correlation(run(Width(width, 2), samples)) for width in (0.0, 0.5, 1.0, 1.5, 2.0)]
    assert found[0] == pytest.approx(1.0)
    assert (np.diff(found) < -0.1).all()


@pytest.mark.parametrize("width", [0.0, 0.3, 1.4, 2.0])
def test_what_a_mono_listener_hears_does_not_change_with_the_width(width):
    samples = noise(RATE_HZ)
    out = run(Width(width, 2), samples)
    assert np.abs(out.sum(axis=0) - samples.sum(axis=0)).max() < 1e-6
    assert np.abs((out[0] - out[1]) - width * (samples[0] - samples[1])).max() < 1e-6


def test_a_width_of_one_and_a_mono_signal_stay_as_they_are():
    samples = noise(1000)
    assert np.array_equal(run(Width(1.0, 2), samples), samples)
    assert np.array_equal(run(Width(0.0, 1), samples[:1]), samples[:1])


# Distortion

AMOUNTS = (0.1, 0.25, 0.5, 0.75, 1.0)


def harmonics_db(samples: np.ndarray, frequency_hz: int) -> float:
    """Total harmonic distortion: power of the harmonics over that of the tone."""
    spectrum = np.abs(np.fft.rfft(samples[0, RATE_HZ : 2 * RATE_HZ] * np.hanning(RATE_HZ))) ** 2
    near = [spectrum[k * frequency_hz - 2 : k * frequency_hz + 3].sum() for k in range(1, 20)]
    return float(10 * np.log10(sum(near[1:]) / near[0]))


def test_more_distortion_is_more_harmonics():
    samples = tone(441.0, 3 * RATE_HZ, level=0.2)
    found = [harmonics_db(run(Distortion(a, RATE_HZ, 2, -14.0), samples), 441) for a in AMOUNTS]
    assert (np.diff(found) > 0.5).all()
    assert found[0] < -30
    assert found[-1] > -12


def test_distortion_adds_no_constant_and_only_odd_harmonics():
    samples = tone(441.0, 3 * RATE_HZ, level=0.3)
    out = run(Distortion(0.7, RATE_HZ, 2, -14.0), samples)[:, RATE_HZ : 2 * RATE_HZ]
    assert abs(out.mean()) < 1e-5
    spectrum = np.abs(np.fft.rfft(out[0] * np.hanning(RATE_HZ)))
    assert spectrum[882] < 1e-4 * spectrum[441] < spectrum[1323]


def test_the_harmonics_of_distortion_do_not_fold_back():
    # The third harmonic of 12.1 kHz lies at 36.3 kHz, which would fold to 7.8 kHz.
    samples = tone(12_100.0, 3 * RATE_HZ, level=0.5)
    out = run(Distortion(0.6, RATE_HZ, 2, -10.0), samples)[0, RATE_HZ : 2 * RATE_HZ]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(RATE_HZ)))
    assert spectrum[7700:7900].max() < 1e-4 * spectrum[12_100]
    bent = np.tanh(4 * samples[0, RATE_HZ : 2 * RATE_HZ])
    plain = np.abs(np.fft.rfft(bent * np.hanning(RATE_HZ)))
    assert plain[7700:7900].max() > 0.1 * plain[12_100]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_distortion_of_a_real_song_stays_as_loud(song, amount):
    target, samples, track_lufs = song
    settings = TargetSettings(distortion=amount)
    track = Track(RATE_HZ, 2, samples.shape[1], track_lufs)
    out = run(build_chain(target, settings, track), samples)
    assert lufs(out) == pytest.approx(lufs(samples), abs=1.0)


def lufs(samples: np.ndarray) -> float:
    meter = LoudnessMeter(RATE_HZ, 2)
    meter.add(samples)
    found = meter.result().integrated_lufs
    assert found is not None
    return found


def test_a_quiet_recording_is_distorted_as_much_as_a_loud_one():
    samples = tone(441.0, 3 * RATE_HZ, level=0.2)
    quiet = samples * np.float32(0.1)
    loud_db = harmonics_db(run(Distortion(0.5, RATE_HZ, 2, -14.0), samples), 441)
    quiet_db = harmonics_db(run(Distortion(0.5, RATE_HZ, 2, -34.0), quiet), 441)
    assert quiet_db == pytest.approx(loud_db, abs=0.1)


# Fades


def test_a_fade_is_a_quarter_of_a_sine_to_the_sample():
    ones = np.ones((2, 1000), np.float32)
    out = run(Fade(100, 200, 1000, 2), ones)
    assert out[0, 0] == 0.0
    assert out[0, 50] == pytest.approx(np.sin(np.pi / 4), abs=1e-6)
    assert (out[:, 100:800] == 1.0).all()
    assert out[0, 899] == pytest.approx(np.sin(np.pi / 4), abs=1e-6)
    assert out[0, 999] == 0.0
    assert (np.diff(out[0, :101]) > 0).all()
    assert (np.diff(out[0, 799:]) < 0).all()


def test_a_fade_out_and_a_fade_in_keep_the_power_together():
    ones = np.ones((1, 400), np.float32)
    falling = run(Fade(0, 400, 400, 1), ones)
    rising = run(Fade(400, 0, 400, 1), ones)
    assert np.abs(falling[:, :-1] ** 2 + rising[:, 1:] ** 2 - 1.0).max() < 1e-6


def test_fades_longer_than_the_track_are_as_long_as_it():
    out = run(Fade(5000, 5000, 1000, 1), np.ones((1, 1000), np.float32))
    assert out[0, 0] == 0.0
    assert out[0, -1] == 0.0
    assert out[0, 500] == pytest.approx(0.5, abs=2e-3)


def test_what_rings_behind_a_fade_out_is_cut_off():
    samples = noise(5000)
    settings = TargetSettings(reverb=0.5, echo=0.5, fade_out_s=0.05)
    out = run(build_chain("mix", settings, Track(RATE_HZ, 2, 5000)), samples)
    assert out.shape == samples.shape
    assert not out[:, -1].any()

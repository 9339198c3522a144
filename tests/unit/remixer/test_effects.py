"""Every effect does what its formula says, by measurement."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.mix import EqBand, Filter
from services.remixer.effects.equaliser import Equaliser
from services.remixer.effects.filters import Filters
from services.remixer.effects.gain import Gain, Mute
from services.remixer.effects.pan import Pan
from services.remixer.effects.pitch import Pitch
from services.remixer.effects.reverb import Reverberation, tail_frames
from services.remixer.effects.sends import Send

from .conftest import RATE_HZ, impulse, level_db, noise, response_db, run, tone


@pytest.mark.parametrize("gain_db", [-60.0, -6.02, -0.1, 0.1, 3.0, 24.0])
def test_gain_changes_the_level_by_its_decibels(gain_db):
    samples = noise(RATE_HZ)
    change = level_db(run(Gain(gain_db, 2), samples)) - level_db(samples)
    assert change == pytest.approx(gain_db, abs=0.01)


def test_mute_is_silence_of_the_same_length():
    assert np.array_equal(run(Mute(2), noise(1000)), np.zeros((2, 1000)))


def test_pan_at_the_centre_changes_no_sample():
    samples = noise(1000)
    assert np.array_equal(run(Pan(0.0, 2), samples), samples)


@pytest.mark.parametrize("position", [-1.0, -0.5, 0.2, 0.7, 1.0])
def test_pan_keeps_the_power_of_what_is_alike_in_both_channels(position):
    samples = np.tile(noise(RATE_HZ, 1), (2, 1))
    panned = run(Pan(position, 2), samples)
    assert level_db(panned) == pytest.approx(level_db(samples), abs=0.01)
    louder = 1 if position > 0 else 0
    assert panned[louder].std() > panned[1 - louder].std()


@pytest.mark.parametrize(("position", "silent"), [(-1.0, 1), (1.0, 0)])
def test_pan_all_the_way_leaves_the_other_channel_silent(position, silent):
    assert not run(Pan(position, 2), noise(1000))[silent].any()


def test_pan_leaves_a_mono_signal_as_it_is():
    samples = noise(1000, 1)
    assert np.array_equal(run(Pan(1.0, 1), samples), samples)


def cookbook_db(band: EqBand, frequencies_hz: np.ndarray, rate_hz: int) -> np.ndarray:
    """The Audio EQ Cookbook's transfer functions, evaluated directly on the unit circle."""
    amplitude = 10 ** (band.gain_db / 40)
    omega = 2 * np.pi * band.frequency_hz / rate_hz
    cos, alpha = np.cos(omega), np.sin(omega) / (2 * band.q)
    root = 2 * np.sqrt(amplitude) * alpha
    match band.type:
        case "peak":
            b = [1 + alpha * amplitude, -2 * cos, 1 - alpha * amplitude]
            a = [1 + alpha / amplitude, -2 * cos, 1 - alpha / amplitude]
        case "low_shelf":
            b = [
                amplitude * ((amplitude + 1) - (amplitude - 1) * cos + root),
                2 * amplitude * ((amplitude - 1) - (amplitude + 1) * cos),
                amplitude * ((amplitude + 1) - (amplitude - 1) * cos - root),
            ]
            a = [
                (amplitude + 1) + (amplitude - 1) * cos + root,
                -2 * ((amplitude - 1) + (amplitude + 1) * cos),
                (amplitude + 1) + (amplitude - 1) * cos - root,
            ]
        case "high_shelf":
            b = [
                amplitude * ((amplitude + 1) + (amplitude - 1) * cos + root),
                -2 * amplitude * ((amplitude - 1) + (amplitude + 1) * cos),
                amplitude * ((amplitude + 1) + (amplitude - 1) * cos - root),
            ]
            a = [
                (amplitude + 1) - (amplitude - 1) * cos + root,
                2 * ((amplitude - 1) - (amplitude + 1) * cos),
                (amplitude + 1) - (amplitude - 1) * cos - root,
            ]
    z = np.exp(-2j * np.pi * frequencies_hz / rate_hz)
    return 20 * np.log10(abs(np.polyval(b[::-1], z) / np.polyval(a[::-1], z)))


@pytest.mark.parametrize("rate_hz", [44_100, 192_000])
@pytest.mark.parametrize("gain_db", [-24.0, 5.0])
@pytest.mark.parametrize(
    ("kind", "frequency_hz", "q"),
    [
        ("peak", 20.0, 1.0),
        ("peak", 3000.0, 1.0),
        ("peak", 60.0, 18.0),
        ("peak", 19_000.0, 0.1),
        ("low_shelf", 100.0, 0.707),
        ("low_shelf", 20.0, 1.0),
        ("high_shelf", 8000.0, 1.0),
        ("high_shelf", 20_000.0, 4.0),
    ],
)
def test_an_eq_band_follows_the_cookbook_within_a_tenth_of_a_decibel(
    rate_hz, gain_db, kind, frequency_hz, q
):
    band = EqBand(kind, frequency_hz, gain_db, q)
    frequencies = np.geomspace(20, 20_000, 30)
    taps = run(Equaliser([band], rate_hz, 1), impulse(rate_hz))
    measured = response_db(taps, frequencies, rate_hz)
    assert np.abs(measured - cookbook_db(band, frequencies, rate_hz)).max() < 0.1


def test_eq_bands_add_up():
    bands = [EqBand("peak", 1000, 4.0), EqBand("peak", 1000, 5.0)]
    taps = run(Equaliser(bands, RATE_HZ, 1), impulse(RATE_HZ))
    assert response_db(taps, np.array([1000.0]), RATE_HZ)[0] == pytest.approx(9.0, abs=0.01)


def test_an_eq_band_out_of_reach_of_the_rate_changes_nothing_but_a_low_shelf_lifts_all():
    samples = noise(4000)
    for kind in ("peak", "high_shelf"):
        band = EqBand(kind, 12_000, 6.0)
        assert np.array_equal(run(Equaliser([band], 16_000, 2), samples), samples)
    lifted = run(Equaliser([EqBand("low_shelf", 12_000, 6.0)], 16_000, 2), samples)
    assert level_db(lifted) - level_db(samples) == pytest.approx(6.0, abs=0.01)


def butterworth_db(frequencies_hz, corner_hz, rate_hz, *, high: bool):
    """Fourth order, |H|² = 1 / (1 + (f/fc)^8), with the bilinear transform's warping."""
    ratio = np.tan(np.pi * frequencies_hz / rate_hz) / np.tan(np.pi * corner_hz / rate_hz)
    return -10 * np.log10(1 + (1 / ratio if high else ratio) ** 8)


@pytest.mark.parametrize("rate_hz", [44_100, 192_000])
@pytest.mark.parametrize("corner_hz", [20.0, 200.0, 1000.0, 15_000.0])
@pytest.mark.parametrize("kind", ["lowpass", "highpass"])
def test_a_filter_follows_butterworth_within_a_tenth_of_a_decibel(rate_hz, corner_hz, kind):
    frequencies = np.geomspace(20, 20_000, 30)
    item = Filter(kind, cutoff_hz=corner_hz)
    taps = run(Filters([item], rate_hz, 1), impulse(rate_hz))
    measured = response_db(taps, frequencies, rate_hz)
    expected = butterworth_db(frequencies, corner_hz, rate_hz, high=kind == "highpass")
    heard = expected > -90  # below lies the rounding of float32
    assert np.abs(measured - expected)[heard].max() < 0.1


@pytest.mark.parametrize(("low_hz", "high_hz"), [(300.0, 3400.0), (900.0, 1100.0)])
def test_a_band_pass_has_its_corners_where_they_were_set_and_falls_by_24_db(low_hz, high_hz):
    item = Filter("bandpass", low_hz=low_hz, high_hz=high_hz)
    taps = run(Filters([item], RATE_HZ, 1), impulse(2 * RATE_HZ))
    middle = np.sqrt(low_hz * high_hz)
    at = response_db(taps, np.array([low_hz, middle, high_hz]), RATE_HZ)
    assert at == pytest.approx([-3.01, 0.0, -3.01], abs=0.1)
    far = response_db(taps, np.array([low_hz / 8, low_hz / 4]), RATE_HZ)
    assert far[1] - far[0] == pytest.approx(24.0, abs=1.5)


def test_filters_out_of_reach_of_the_rate_pass_all_or_nothing():
    samples = noise(4000)
    assert np.array_equal(run(Filters([Filter("lowpass", 9000)], 16_000, 2), samples), samples)
    assert not run(Filters([Filter("highpass", 9000)], 16_000, 2), samples).any()
    band = Filter("bandpass", low_hz=300, high_hz=9000)
    high = Filter("highpass", 300)
    assert np.array_equal(
        run(Filters([band], 16_000, 2), samples), run(Filters([high], 16_000, 2), samples)
    )


def reverb(amount: float) -> Send:
    return Send([(Reverberation(amount, RATE_HZ, 2), None)], 2)


def test_more_reverb_is_more_reverberation_over_the_same_dry_sound():
    samples = noise(RATE_HZ)
    wet_db = []
    for amount in (0.05, 0.15, 0.3, 0.5, 0.7, 1.0):
        reverberated = run(reverb(amount), samples)
        wet = reverberated.astype(np.float64)
        wet[:, : samples.shape[1]] -= samples
        wet_db.append(10 * np.log10((wet**2).sum() / (samples**2).sum()))
    assert (np.diff(wet_db) > 1.0).all()
    assert -35 < wet_db[0] < wet_db[-1] < 0


@pytest.mark.parametrize("amount", [0.15, 0.5, 1.0])
def test_the_dry_level_does_not_change_with_the_reverb(amount):
    # The first reflection comes after 25 ms: until then there is the dry sound alone.
    samples = noise(RATE_HZ)
    before = run(reverb(amount), samples)[:, : int(0.024 * RATE_HZ)]
    assert np.array_equal(before, samples[:, : before.shape[1]])


@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0])
def test_the_tail_of_a_reverb_fades_to_silence(amount):
    samples = noise(RATE_HZ)
    tail = run(reverb(amount), samples)[:, RATE_HZ:]
    assert tail.shape[1] == tail_frames(amount, RATE_HZ)
    assert np.abs(tail[:, -1]).max() < 1e-9
    tenth = tail.shape[1] // 10
    levels = [level_db(tail[:, k * tenth : (k + 1) * tenth]) for k in range(10)]
    assert (np.diff(levels) < 1.0).all()
    assert levels[0] - levels[-1] > 40


@pytest.mark.parametrize("semitones", [-24.0, -12.0, -5.0, -0.5, 0.3, 2.0, 7.0, 12.0, 24.0])
def test_pitch_is_shifted_to_within_two_cents_and_the_length_stays(semitones):
    samples = tone(440.0, 4 * RATE_HZ)
    shifted = run(Pitch(semitones, RATE_HZ, 2), samples)
    assert shifted.shape == samples.shape
    middle = shifted[0, RATE_HZ : 3 * RATE_HZ]
    found_hz = peak_hz(middle)
    cents = 1200 * np.log2(found_hz / (440.0 * 2 ** (semitones / 12)))
    assert abs(cents) < 2
    change_db = level_db(shifted[:, RATE_HZ : 3 * RATE_HZ]) - level_db(samples)
    assert change_db == pytest.approx(0.0, abs=0.1)


def peak_hz(wave: np.ndarray) -> float:
    """Frequency of the strongest partial, by parabolic interpolation of the log spectrum."""
    padded = 8 * len(wave)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), padded))
    at = int(spectrum.argmax())
    a, b, c = np.log(spectrum[at - 1 : at + 2])
    return float((at + 0.5 * (a - c) / (a - 2 * b + c)) * RATE_HZ / padded)


@pytest.mark.parametrize("semitones", [-24.0, -12.0, -3.0, 4.0, 12.0, 24.0])
def test_onsets_stay_within_ten_milliseconds_and_do_not_drift(semitones):
    samples = np.zeros((2, 6 * RATE_HZ), np.float32)
    onsets = np.arange(1, 6) * RATE_HZ
    burst = noise(2000, seed=3, level=0.5) * np.exp(-np.arange(2000) / 300).astype(np.float32)
    for onset in onsets:
        samples[:, onset : onset + 2000] = burst
    shifted = run(Pitch(semitones, RATE_HZ, 2), samples)
    for onset in onsets:
        window = np.abs(shifted[0, onset - 4000 : onset + 4000])
        found = int(np.argmax(window > 0.3 * window.max())) - 4000
        assert abs(found) < 0.010 * RATE_HZ


def test_kept_formants_hold_the_spectral_envelope_where_it_was():
    # A voice: pulses at 150 Hz through a resonance at 1 kHz.
    pulses = np.zeros((2, 3 * RATE_HZ), np.float32)
    pulses[:, :: RATE_HZ // 150] = 0.5
    voice = run(Equaliser([EqBand("peak", 1000, 24.0, 4.0)], RATE_HZ, 2), pulses)

    def centre_hz(samples):
        power = np.abs(np.fft.rfft(samples[0, RATE_HZ : 2 * RATE_HZ])) ** 2
        hertz = np.arange(len(power), dtype=float)
        band = (hertz > 400) & (hertz < 2500)
        return (hertz * power)[band].sum() / power[band].sum()

    kept = centre_hz(run(Pitch(7.0, RATE_HZ, 2, keeps_formants=True), voice))
    moved = centre_hz(run(Pitch(7.0, RATE_HZ, 2), voice))
    assert abs(kept - centre_hz(voice)) < 150
    assert moved > kept + 200

"""Draws the curves in `docs/effects.md` from the code: `python -m scripts.plot_effects`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib import pyplot
from matplotlib.axes import Axes

from mixdown.mix import EqBand, Filter, Passage, TargetSettings
from services.remixer.chain import Track, build_chain
from services.remixer.effects import compression, distortion, reverb
from services.remixer.effects.chorus import VOICES
from services.remixer.effects.compression import Compression
from services.remixer.effects.distortion import Distortion
from services.remixer.effects.echo import Echoes
from services.remixer.effects.equaliser import Equaliser
from services.remixer.effects.fades import Fade
from services.remixer.effects.filters import Filters
from services.remixer.effects.limiter import Limiter
from services.remixer.effects.pan import pan_factors
from services.remixer.effects.pitch import Pitch
from services.remixer.effects.processor import Processor
from services.remixer.effects.reverb import Reverberation
from services.remixer.effects.sends import Send
from services.remixer.effects.width import Width
from services.runtime.audio.dither import Dither
from services.runtime.audio.reader import Samples

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "effects"
RATE_HZ = 44_100
_STYLE = {
    "figure.figsize": (8.0, 3.2),
    "figure.dpi": 90,
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def main(folder: Path = FOLDER) -> None:
    """Draws every picture into a folder."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]  # the stub wants literal keys
        mpl.use("Agg")
        for name, draw in _PICTURES.items():
            figure, axes = pyplot.subplots(1, 2, layout="constrained")
            draw(*axes)
            # Nothing that changes from run to run or from version to version.
            figure.savefig(folder / f"{name}.png", metadata={"Software": None})
            pyplot.close(figure)


def run(processor: Processor, samples: Samples) -> Samples:
    """Returns all that a processor makes of `samples`."""
    return np.concatenate((processor.process(samples), processor.finish()), axis=1)


def _gain_and_pan(gain: Axes, pan: Axes) -> None:
    decibels = np.linspace(-60, 24, 200)
    gain.semilogy(decibels, 10 ** (decibels / 20))
    gain.set(title="Gain", xlabel="gain_db", ylabel="factor")
    positions = np.linspace(-1, 1, 201)
    factors = np.array([pan_factors(float(position))[:, 0] for position in positions])
    pan.plot(positions, factors[:, 0], label="left")
    pan.plot(positions, factors[:, 1], label="right")
    power = np.sqrt((factors**2).mean(axis=1))
    pan.plot(positions, power, "k:", label="both, as power")
    pan.set(title="Pan", xlabel="pan", ylabel="factor")
    pan.legend()


def _response_db(processor: Processor) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measures the response to an impulse, from 20 Hz to 20 kHz."""
    impulse = np.zeros((1, RATE_HZ), np.float32)
    impulse[0, 0] = 1.0
    spectrum = np.fft.rfft(run(processor, impulse)[0, :RATE_HZ].astype(np.float64))
    frequencies = np.geomspace(20, 20_000, 400)
    found = np.abs(np.interp(frequencies, np.arange(len(spectrum)), np.abs(spectrum)))
    return frequencies, 20 * np.log10(np.maximum(found, 1e-6))


def _frequency_axis(axes: Axes, title: str, lowest_db: float, highest_db: float) -> None:
    axes.set(title=title, xlabel="Hz", ylabel="dB", ylim=(lowest_db, highest_db))
    axes.set_xticks([20, 100, 1000, 10_000], ["20", "100", "1k", "10k"])
    axes.minorticks_off()
    axes.legend()


def _equaliser(peaks: Axes, shelves: Axes) -> None:
    for q in (0.5, 1.0, 4.0):
        band = EqBand("peak", 1000.0, 12.0, q)
        peaks.semilogx(*_response_db(Equaliser([band], RATE_HZ, 1)), label=f"peak, Q {q:g}")
    cut = EqBand("peak", 1000.0, -12.0, 1.0)
    peaks.semilogx(*_response_db(Equaliser([cut], RATE_HZ, 1)), label="peak, −12 dB")
    _frequency_axis(peaks, "Peaks at 1 kHz", -15, 15)
    for band in (EqBand("low_shelf", 200.0, 9.0), EqBand("high_shelf", 5000.0, -9.0)):
        name = f"{band.type}, {band.frequency_hz:g} Hz, {band.gain_db:+g} dB"
        shelves.semilogx(*_response_db(Equaliser([band], RATE_HZ, 1)), label=name)
    _frequency_axis(shelves, "Shelves", -15, 15)


def _filters(one_sided: Axes, bands: Axes) -> None:
    for kind, cutoff_hz in (("highpass", 200.0), ("lowpass", 2000.0)):
        item = Filter("highpass" if kind == "highpass" else "lowpass", cutoff_hz=cutoff_hz)
        name = f"{kind}, {cutoff_hz:g} Hz"
        one_sided.semilogx(*_response_db(Filters([item], RATE_HZ, 1)), label=name)
    _frequency_axis(one_sided, "24 dB per octave", -72, 6)
    for low_hz, high_hz in ((300.0, 3400.0), (900.0, 1100.0)):
        item = Filter("bandpass", low_hz=low_hz, high_hz=high_hz)
        name = f"bandpass, {low_hz:g} to {high_hz:g} Hz"
        bands.semilogx(*_response_db(Filters([item], RATE_HZ, 1)), label=name)
    _frequency_axis(bands, "Band-pass", -72, 6)


def _compression(curves: Axes, time: Axes) -> None:
    levels = np.linspace(-40, 12, 300)
    curves.plot(levels, levels, "k:", label="none")
    steps = 10 ** (np.tile([-36, -18, -6], 2) / 20)
    envelope = np.repeat(steps, RATE_HZ)
    noise = 0.5 * np.random.default_rng(0).standard_normal((2, len(envelope)))
    samples = (noise * envelope).astype(np.float32)
    time.plot(*_level_db(samples), "k:", label="none")
    for name, preset in compression.PRESETS.items():
        gain = compression.curve_db(levels, preset.threshold_lu, preset.ratio, preset.knee_db)
        curves.plot(levels, levels + gain, label=name)
        time.plot(*_level_db(run(Compression(name, RATE_HZ, 2, -14.0), samples)), label=name)
    curves.set(
        title="Static curves, before make-up",
        xlabel="level in, LU to the track's loudness",
        ylabel="level out, LU",
    )
    curves.legend()
    time.set(title="A sound of three levels", xlabel="s", ylabel="dBFS")
    time.legend()


def _level_db(samples: Samples) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    frames = RATE_HZ // 50
    count = samples.shape[1] // frames
    windows = samples[:, : count * frames].reshape(samples.shape[0], count, frames)
    power = (windows.astype(np.float64) ** 2).mean(axis=(0, 2))
    return np.arange(count) / 50, 10 * np.log10(power + 1e-12)


def _with_reverb(amount: float) -> Processor:
    return Send([(Reverberation(amount, RATE_HZ, 2), None)], 2)


def _reverb(amounts: Axes, decay: Axes) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal((2, RATE_HZ))).astype(np.float32)
    steps = np.linspace(0.05, 1, 20)
    wet_db = []
    for amount in steps:
        wet = run(_with_reverb(float(amount)), noise).astype(np.float64)
        wet[:, :RATE_HZ] -= noise
        wet_db.append(10 * np.log10((wet**2).sum() / (noise.astype(np.float64) ** 2).sum()))
    amounts.plot(steps, wet_db, color="C0")
    amounts.set(title="Reverberation to dry sound", xlabel="reverb", ylabel="dB")
    seconds = [reverb.room(float(amount)).decay_seconds for amount in steps]
    other = amounts.twinx()
    other.plot(steps, seconds, "C1")
    other.set_ylabel("time to −60 dB, s", color="C1")
    other.grid(visible=False)
    for amount in (0.15, 0.3, 0.7, 1.0):
        click = np.zeros((2, RATE_HZ // 50), np.float32)
        click[:, 0] = 1.0
        decay.plot(*_level_db(run(_with_reverb(amount), click)), label=f"reverb {amount:g}")
    decay.set(title="A click and its tail", xlabel="s", ylabel="dB", ylim=(-130, 0))
    decay.legend()


def _distortion(curves: Axes, spectrum: Axes) -> None:
    samples = np.linspace(-4, 4, 401)
    for amount in (0.1, 0.25, 0.5, 1.0):
        driven = distortion.drive(amount)
        bent = distortion.matching_gain(driven) * np.tanh(driven * samples)
        curves.plot(samples, bent, label=f"distortion {amount:g}")
    curves.plot(samples, samples, "k:", label="0")
    curves.set(title="Curves", xlabel="in, 1 is the level of the track", ylabel="out", ylim=(-3, 3))
    curves.legend(fontsize=7)
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.tile(0.2 * np.sin(2 * np.pi * 440 * seconds), (2, 1)).astype(np.float32)
    for amount in (1.0, 0.5, 0.25, 0.1):
        heard = run(Distortion(amount, RATE_HZ, 2, -14.0), tone)
        spectrum.plot(*_spectrum_db(heard), label=f"distortion {amount:g}", lw=0.9)
    spectrum.set(title="A tone of 440 Hz", xlabel="Hz", ylabel="dB", xlim=(0, 6000), ylim=(-110, 0))
    spectrum.legend(fontsize=7)


def _echo(clicks: Axes, decay: Axes) -> None:
    click = np.zeros((2, RATE_HZ // 50), np.float32)
    click[:, 0] = 1.0
    echo = Send([(Echoes(0.5, 350.0, 0.6, RATE_HZ, 2), None)], 2)
    heard = run(echo, click)[0]
    at = np.flatnonzero(heard)
    clicks.stem(at / RATE_HZ, heard[at], basefmt="k")
    clicks.set(title="A click: echo 0.5, 350 ms, feedback 0.6", xlabel="s", xlim=(-0.1, 3.5))
    for feedback in (0.0, 0.35, 0.6, 0.9):
        count = np.arange(1, 30)
        level = 20 * np.log10(np.maximum(0.5 * feedback ** (count - 1.0), 1e-6))
        decay.plot(count, level, ".-", lw=0.7, label=f"feedback {feedback:g}")
    decay.axhline(-60, color="k", ls=":", lw=0.8)
    decay.set(title="Each echo, of an echo of 0.5", xlabel="echo", ylabel="dB", ylim=(-70, 0))
    decay.legend()


def _chorus(delays: Axes, widths: Axes) -> None:
    seconds = np.linspace(0, 4, 400)
    for number, voice in enumerate(VOICES):
        for channel, style in enumerate(("-", "--")):
            phase = seconds / voice.period_seconds - 0.25 * channel
            delay_ms = voice.delay_ms + voice.depth_ms * np.sin(2 * np.pi * phase)
            name = f"voice {number + 1}, {('left', 'right')[channel]}"
            delays.plot(seconds, delay_ms, f"C{number}{style}", label=name)
    delays.set(title="Chorus: how late its voices are", xlabel="s", ylabel="ms")
    delays.legend(fontsize=7)
    random = np.random.default_rng(0)
    noise = random.standard_normal((2, RATE_HZ)) + random.standard_normal((1, RATE_HZ))
    steps = np.linspace(0, 2, 41)
    found = [
        np.corrcoef(*run(Width(float(width), 2), noise.astype(np.float32)))[0, 1] for width in steps
    ]
    widths.plot(steps, found)
    widths.set(title="Width: how alike left and right are", xlabel="width", ylabel="correlation")


def _fades(fades: Axes, passage: Axes) -> None:
    ones = np.ones((1, 10 * 1000), np.float32)
    fades.plot(np.arange(10_000) / 1000, run(Fade(2000, 4000, 10_000, 1), ones)[0])
    fades.set(title="fade_in_s 2, fade_out_s 4", xlabel="s", ylabel="factor")
    track = Track(RATE_HZ, 1, 2 * RATE_HZ)
    steady = np.ones((1, 2 * RATE_HZ), np.float32)
    muted = TargetSettings(passages=(Passage(1.0, 1.1, TargetSettings(muted=True)),))
    milliseconds = np.arange(2 * RATE_HZ) / RATE_HZ * 1000
    passage.plot(milliseconds, run(build_chain("vocals", muted, track), steady)[0])
    passage.axvspan(1000, 1100, alpha=0.15)
    passage.set(title="Muted from 1 s to 1.1 s", xlabel="ms", xlim=(980, 1120))


def _pitch(tones: Axes, formants: Axes) -> None:
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.tile(0.3 * np.sin(2 * np.pi * 440 * seconds), (2, 1)).astype(np.float32)
    for semitones in (-12.0, 0.0, 7.0, 12.0):
        shifted = run(Pitch(semitones, RATE_HZ, 2), tone) if semitones else tone
        tones.semilogx(*_spectrum_db(shifted), label=f"{semitones:+g} semitones")
    tones.set(title="A tone of 440 Hz", xlabel="Hz", ylabel="dB", xlim=(150, 1500), ylim=(-100, 0))
    tones.set_xticks([220, 440, 880], ["220", "440", "880"])
    tones.minorticks_off()
    tones.legend()
    pulses = np.zeros((2, 2 * RATE_HZ), np.float32)
    pulses[:, :: RATE_HZ // 150] = 0.5
    voice = run(Equaliser([EqBand("peak", 1000.0, 24.0, 4.0)], RATE_HZ, 2), pulses)
    keeping = {"+7, formants kept": True, "+7, formants moved": False}
    formants.plot(*_spectrum_db(voice), "k", alpha=0.4, label="150 Hz with a formant at 1 kHz")
    for name, keeps in keeping.items():
        shifted = run(Pitch(7.0, RATE_HZ, 2, keeps_formants=keeps), voice)
        formants.plot(*_spectrum_db(shifted), label=name)
    formants.set(title="A voice", xlabel="Hz", ylabel="dB", xlim=(0, 3000), ylim=(-70, -20))
    formants.legend(fontsize=7)


def _spectrum_db(samples: Samples) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    wave = samples[0, RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) / (len(wave) / 4)
    # Peaks of 10 Hz, so that the picture stays small.
    folded = spectrum[: len(spectrum) // 10 * 10].reshape(-1, 10).max(axis=1)
    level_db: npt.NDArray[np.float64] = 20 * np.log10(folded + 1e-9)
    return 10.0 * np.arange(len(folded), dtype=np.float64), level_db


def _limiter(gain: Axes, peak: Axes) -> None:
    ceiling = 10 ** (-1 / 20)
    seconds = np.arange(RATE_HZ // 4) / RATE_HZ
    level = 0.5 + 1.2 * np.exp(-(((seconds - 0.12) / 0.002) ** 2))
    samples = (level * np.sin(2 * np.pi * 500 * seconds)).astype(np.float32)[None, :]
    limited = run(Limiter(ceiling, RATE_HZ, 1), samples)
    steady = np.full_like(samples, 0.5)
    steady[:, round(0.12 * RATE_HZ)] = 1.7
    milliseconds = 1000 * seconds - 120
    factor = run(Limiter(ceiling, RATE_HZ, 1), steady)[0] / steady[0]
    gain.plot(milliseconds, 20 * np.log10(factor))
    gain.set(title="Gain around a peak", xlabel="ms", ylabel="dB", xlim=(-50, 50))
    peak.plot(milliseconds, samples[0], "C1", lw=0.8, label="in")
    peak.plot(milliseconds, limited[0], "C0", lw=0.8, label="out")
    for side in (-1, 1):
        peak.axhline(side * ceiling, color="k", ls=":", lw=0.8)
    peak.set(title="A peak above −1 dBTP", xlabel="ms", xlim=(-30, 30))
    peak.legend()


def _dither(wave: Axes, spectrum: Axes) -> None:
    step = 2.0**-15
    samples = (0.8 * step * np.sin(2 * np.pi * 1000 * np.arange(8 * RATE_HZ) / RATE_HZ)).astype(
        np.float32
    )[None, :]
    rounded = {
        "rounded": np.rint(samples / np.float32(step)),
        "with dither": Dither(16).round(samples),
    }
    for name, steps in rounded.items():
        wave.plot(1000 * np.arange(120) / RATE_HZ, steps[0, :120], lw=0.9, label=name)
        parts = steps[0].reshape(-1, RATE_HZ).astype(np.float64) * np.hanning(RATE_HZ)
        power = (np.abs(np.fft.rfft(parts, axis=1)) ** 2).mean(axis=0)[1:20_001]
        folded = power.reshape(-1, 20).max(axis=1)
        level = 10 * np.log10(folded / (RATE_HZ / 4) ** 2 + 1e-9)
        spectrum.plot(np.arange(1000) * 0.02, level, lw=0.9, label=name)
    wave.plot(1000 * np.arange(120) / RATE_HZ, samples[0, :120] / step, "k:", label="as it was")
    wave.set(title="A tone smaller than a step of 16 bits", xlabel="ms", ylabel="steps")
    wave.legend()
    spectrum.set(title="Its spectrum", xlabel="kHz", ylabel="dB to a step", ylim=(-70, 5))
    spectrum.legend()


_PICTURES: dict[str, Callable[[Axes, Axes], None]] = {
    "gain-and-pan": _gain_and_pan,
    "equaliser": _equaliser,
    "filters": _filters,
    "compression": _compression,
    "reverb": _reverb,
    "pitch": _pitch,
    "distortion": _distortion,
    "echo": _echo,
    "chorus-and-width": _chorus,
    "fades-and-passages": _fades,
    "limiter": _limiter,
    "dither": _dither,
}


if __name__ == "__main__":
    main()

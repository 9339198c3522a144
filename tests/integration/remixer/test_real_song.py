"""A render of a real song, whose true stems the separator gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import EqBand, Mix, Output
from services.runtime.audio.reader import AudioReader

from .conftest import decibels

pytestmark = pytest.mark.asyncio

STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
THE_DEMO = (
    Mix()
    .change("vocals", gain_db=3.0)
    .change("drums", reverb=0.3)
    .change("mix", eq=(EqBand("peak", 3000.0, 5.0),))
)


@pytest.fixture
def song_file() -> Path:
    spec = importlib.util.find_spec("stempeg")
    assert spec is not None and spec.submodule_search_locations
    return next((Path(spec.submodule_search_locations[0]) / "data").glob("*.stem.mp4"))


@pytest.fixture
def true_song(song_file: Path, separator):
    """Gives the separator the song's stems and returns the song."""

    def stream(number: int):
        with AudioReader(song_file, number) as reader:
            return reader.read(1 << 30)

    separator.stems = {stem: stream(number) for stem, number in STREAMS.items()}
    return stream(0)


async def test_the_mix_of_the_demo_is_what_its_numbers_say(remixer, song_file, true_song):
    track = remixer.put(song_file.read_bytes())
    floats = {"encoding": audio_pb2.ENCODING_WAV_FLOAT32}
    rendered = await remixer.render(track, THE_DEMO, **floats)
    plain = await remixer.render(track, THE_DEMO.change("mix", eq=()), **floats)
    mixed, without_eq = rendered.samples("mix"), plain.samples("mix")
    assert mixed.shape[1] > true_song.shape[1]  # the drums' reverb

    # 5 dB more at 3 kHz, nothing more far from it.
    def band_db(samples, low_hz, high_hz):
        power = np.abs(np.fft.rfft(samples, axis=1)) ** 2
        hertz = np.fft.rfftfreq(samples.shape[1], 1 / 44_100)
        return 10 * np.log10(power[:, (hertz >= low_hz) & (hertz < high_hz)].sum())

    at = band_db(mixed, 2950, 3050) - band_db(without_eq, 2950, 3050)
    assert at == pytest.approx(5.0, abs=0.05)
    far = band_db(mixed, 20, 100) - band_db(without_eq, 20, 100)
    assert far == pytest.approx(0.0, abs=0.05)

    # What is left when the louder vocals are taken out is the song with the drums' reverberation.
    louder = remixer.separator.stems["vocals"] * np.float32(10 ** (3 / 20) - 1)
    wet = without_eq.copy()
    wet[:, : true_song.shape[1]] -= true_song + louder
    drums_db = decibels(remixer.separator.stems["drums"].std())
    assert -30 < decibels(wet.std()) - drums_db < -10
    assert decibels(np.abs(wet[:, :1000]).max()) < -120  # no reflection in the first 25 ms


async def test_stems_and_without_of_a_lossy_song_come_back_as_flac(remixer, song_file, true_song):
    track = remixer.put(song_file.read_bytes())
    outputs = [Output("stem", ("vocals",)), Output("without", ("vocals",)), Output("mix")]
    rendered = await remixer.render(track, outputs=outputs)
    assert rendered.started["mix"].format.encoding == audio_pb2.ENCODING_FLAC24
    total = rendered.samples("vocals") + rendered.samples("without-vocals")
    assert total.shape == true_song.shape
    held = np.abs(true_song) < 0.99
    assert np.abs(total - true_song)[held].max() <= 3 / 2**23  # the dither of both files
    clipped = np.count_nonzero(np.abs(true_song) > 1.0)
    assert rendered.finished["mix"].clipped_samples == pytest.approx(clipped, abs=2)

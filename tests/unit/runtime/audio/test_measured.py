"""What is measured of an original is kept exactly, for as long as it would be measured so."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest

from services.runtime.audio import measured_store
from services.runtime.audio.loudness import Loudness, LoudnessMeter
from services.runtime.audio.measured import Measured, measure
from services.runtime.audio.measured_store import MeasuredStore
from services.runtime.audio.reader import AudioProperties
from services.runtime.blobs.folder import FolderBlobStore
from services.runtime.errors import UndecodableAudioError

SHA256 = "ab" * 32
MEASURED = Measured(
    AudioProperties(44_100, 2, 7, None, "mov,mp4", "aac", {"title": "\ufffd “x”\n", "album": ""}),
    Loudness(-13.365833248633313, 1.0240479707717896),
)


def wav(samples: np.ndarray, rate: int = 44_100) -> io.BytesIO:
    """Writes `[channels, frames]` of int16."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples.shape[0])
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.T.astype("<i2").tobytes())
    file.seek(0)
    return file


def noise(channels: int, frames: int) -> np.ndarray:
    return np.random.default_rng(5).integers(-20_000, 20_000, (channels, frames))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_is_measured_whole(channels):
    samples = noise(channels, 100_001)
    found = measure(wav(samples))
    meter = LoudnessMeter(44_100, channels)
    meter.add((samples / 2**15).astype(np.float32))
    assert found.loudness == meter.result()
    assert (found.properties.frames, found.properties.channels) == (100_001, channels)


@pytest.mark.parametrize(("channels", "frames"), [(2, 0), (3, 1_000)])
def test_nothing_and_more_than_two_channels_are_not_measured(channels, frames):
    with pytest.raises(UndecodableAudioError):
        measure(wav(noise(channels, frames)))


@pytest.mark.parametrize("loudness", [MEASURED.loudness, Loudness(None, 0.0)])
def test_what_was_measured_is_found_as_it_was_kept(tmp_path: Path, loudness: Loudness):
    store = MeasuredStore(FolderBlobStore(tmp_path))
    assert store.find(SHA256) is None
    measured = Measured(MEASURED.properties, loudness)
    store.keep(SHA256, measured)
    assert store.find(SHA256) == measured


def test_what_another_version_measured_is_not_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blobs = FolderBlobStore(tmp_path)
    MeasuredStore(blobs).keep(SHA256, MEASURED)
    blobs.write_record(f"originals/{SHA256}", b"{}")  # as before there were versions
    monkeypatch.setattr(measured_store, "VERSION", measured_store.VERSION + 1)
    assert MeasuredStore(blobs).find(SHA256) is None
    MeasuredStore(blobs).keep(SHA256, MEASURED)
    assert MeasuredStore(blobs).find(SHA256) == MEASURED

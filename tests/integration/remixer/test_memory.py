"""Memory does not grow with the length of a track."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mixdown.mix import EqBand, Mix, Output, TargetSettings
from services.remixer import plan
from services.remixer.original import read_measured
from services.remixer.pipeline import Pipeline
from services.remixer.plan import RenderRequest
from services.runtime.audio.formats import Encoding
from services.runtime.audio.wav_encoder import WavEncoder
from services.runtime.blobs.folder import FolderBlobStore

from .conftest import noise

RATE_HZ = 8000
CHUNK_FRAMES = 32_768
MIX = Mix(
    {
        "vocals": TargetSettings(reverb=0.2, eq=(EqBand("peak", 1000, 3.0),)),
        "drums": TargetSettings(compression="low", pan=0.5),
    }
)


def peak_bytes(folder: Path, seconds: int) -> int:
    """Renders a track of that length from stems at another rate; returns the memory it took."""
    store = FolderBlobStore(folder)
    frames = seconds * RATE_HZ
    encoder = WavEncoder(16, RATE_HZ, 2, frames, {})
    block = np.rint(noise(RATE_HZ) * 2**15).astype(np.int32)
    with store.create() as writer:
        writer.write(encoder.start())
        for _ in range(seconds):
            writer.write(encoder.encode(block))
        track = writer.commit()
    request = RenderRequest(track, MIX, (Output("mix"),), Encoding.FLAC24)
    measured = read_measured(store, track.sha256)
    planned = [plan.plan_output(request, MIX, Output("mix"), measured.properties, "four")]
    stem = noise(CHUNK_FRAMES)
    tracemalloc.start()
    pipeline = Pipeline(store, track, measured, MIX, planned, ["drums", "vocals"], {})
    pipeline.expect_stems(44_100, 2)
    for _ in range(0, seconds * 44_100, CHUNK_FRAMES):
        for name in ("drums", "vocals"):
            pipeline.feed(name, stem)
        while not pipeline.is_done and pipeline.can_advance:
            pipeline.advance()
    pipeline.end_stems()
    while not pipeline.is_done:
        pipeline.advance()
    pipeline.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_long_track_takes_no_more_memory_than_a_short_one(tmp_path):
    short = peak_bytes(tmp_path / "short", 60)
    long = peak_bytes(tmp_path / "long", 600)
    assert long < 1.1 * short


@pytest.mark.slow
def test_three_hours_take_no_more_memory_than_three_minutes(tmp_path):
    short = peak_bytes(tmp_path / "short", 180)
    long = peak_bytes(tmp_path / "long", 3 * 3600)
    assert long < 1.1 * short

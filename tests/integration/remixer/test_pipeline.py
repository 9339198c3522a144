"""Steps of a render: their lengths change when bytes come, and never which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixdown.mix import Mix, Output, TargetSettings
from services.remixer import plan
from services.remixer.events import OutputAudio
from services.remixer.original import read_measured
from services.remixer.pipeline import BLOCK_FRAMES, FIRST_BLOCK_FRAMES, Pipeline
from services.remixer.plan import RenderRequest
from services.runtime.audio.formats import Encoding
from services.runtime.blobs.folder import FolderBlobStore

from .conftest import RATE_HZ, encode, noise

FRAMES = 320_000
STEMS = ("drums", "vocals")
FRAME_BYTES = 8
MIX = Mix(
    {
        "drums": TargetSettings(compression="medium", reverb=0.1),
        "vocals": TargetSettings(gain_db=-2.0, reverb=0.1),
        "mix": TargetSettings(gain_db=14.0),  # loud enough for the limiter
    }
)
SAMPLES = {name: noise(FRAMES, seed=seed) for seed, name in enumerate(STEMS)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("blobs")


def begun(folder: Path, mix: Mix, stems=STEMS, encoding=Encoding.WAV_FLOAT32) -> Pipeline:
    store = FolderBlobStore(folder)
    with store.create() as writer:
        writer.write(encode(sum(SAMPLES.values()), Encoding.WAV_FLOAT32))
        track = writer.commit()
    measured = read_measured(store, track.sha256)
    request = RenderRequest(track, mix, (Output("mix"),), encoding)
    planned = [plan.plan_output(request, mix, Output("mix"), measured.properties, "four")]
    pipeline = Pipeline(store, track, measured, mix, planned, stems, {})
    if stems:
        pipeline.expect_stems(RATE_HZ, 2)
    return pipeline


def data_of(events) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, OutputAudio))


def rendered(folder: Path, cuts=(), flushes=()) -> bytes:
    """Renders from stems in pieces; asks for what waits behind the pieces with these numbers."""
    pipeline = begun(folder, MIX, encoding=Encoding.WAV_PCM24)
    events = []
    start = 0
    for number, length in enumerate((*cuts, FRAMES)):
        for stem in STEMS:
            pipeline.feed(stem, SAMPLES[stem][:, start : start + length])
            while not pipeline.is_done and pipeline.can_advance:
                events += pipeline.advance()
            if number in flushes and pipeline.has_due:
                events += pipeline.flush()
                assert not pipeline.has_due
        start = min(start + length, FRAMES)
    pipeline.end_stems()
    while not pipeline.is_done:
        events += pipeline.advance()
    pipeline.close()
    assert events[-1].limited_db > 0.0
    return data_of(events)


@pytest.fixture(scope="module")
def whole(folder) -> bytes:
    return rendered(folder)


@settings(max_examples=12, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 150_000), max_size=8),
    flushes=st.sets(st.integers(0, 8)),
)
def test_the_same_stems_give_the_same_file_however_they_come_and_whatever_is_waited_for(
    folder, whole, cuts, flushes
):
    assert rendered(folder, cuts, flushes) == whole


def test_steps_are_short_until_audio_goes_out_and_then_double(folder):
    pipeline = begun(folder, Mix().change("mix", pan=0.3), stems=())
    frames = []
    while not pipeline.is_done:
        frames.append(len(data_of(pipeline.advance())) // FRAME_BYTES)
    pipeline.close()
    # The limiter holds back less than a tenth of a second and a block of its own.
    shown = np.diff(np.cumsum([0, *frames]))
    expected = [FIRST_BLOCK_FRAMES * 2**step for step in range(4)]
    assert expected[-1] == BLOCK_FRAMES
    assert shown[1:4] == pytest.approx(expected[1:], abs=5000)


def test_what_is_left_of_a_block_goes_out_when_no_more_comes(folder):
    pipeline = begun(folder, Mix().change("vocals", gain_db=-3.0), stems=("vocals",))
    given_frames = FIRST_BLOCK_FRAMES + 20_000
    pipeline.feed("vocals", SAMPLES["vocals"][:, :given_frames])
    assert pipeline.can_advance
    data = data_of(pipeline.advance())
    assert len(data) // FRAME_BYTES <= FIRST_BLOCK_FRAMES
    assert not pipeline.can_advance  # 20 000 frames are less than the next block
    assert pipeline.has_due
    data += data_of(pipeline.flush())
    assert given_frames - 10_000 < len(data) // FRAME_BYTES <= given_frames
    assert not pipeline.has_due
    pipeline.close()

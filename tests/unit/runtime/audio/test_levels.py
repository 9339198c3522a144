"""Levels of a track: as Demucs computes them, and kept for whoever needs them next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.levels import LevelMeter, Levels
from services.runtime.blobs.folder import FolderBlobStore


@given(
    frames=st.integers(2, 5_000),
    block=st.integers(1, 2_000),
    offset=st.floats(-0.9, 0.9),
    seed=st.integers(0, 9),
)
def test_levels_are_those_of_the_whole_however_it_is_cut(
    frames: int, block: int, offset: float, seed: int
) -> None:
    noise = 0.1 * np.random.default_rng(seed).standard_normal((2, frames))
    samples = (noise + offset).astype(np.float32)
    meter = LevelMeter()
    for begin in range(0, frames, block):
        meter.add(samples[:, begin : begin + block])
    levels = meter.levels()
    mono = torch.from_numpy(samples).double().mean(0)
    assert levels.frames == frames
    assert levels.mean == pytest.approx(float(mono.mean()), rel=1e-9, abs=1e-12)
    assert levels.deviation == pytest.approx(float(mono.std()) + 1e-8, rel=1e-9)


def test_what_is_no_number_shows_in_the_levels() -> None:
    meter = LevelMeter()
    meter.add(np.array([[0.1, np.nan], [0.1, 0.2]], np.float32))
    assert not np.isfinite(meter.levels().mean)


def test_levels_are_found_again_exactly_for_the_same_track_and_rate_only(tmp_path: Path) -> None:
    store = LevelStore(FolderBlobStore(tmp_path))
    levels = Levels(frames=123_456_789, mean=1 / 3 * 1e-5, deviation=0.1 + 1e-8)
    store.keep("a" * 64, 44_100, 2, levels)
    assert store.find("a" * 64, 44_100, 2) == levels
    assert store.find("a" * 64, 48_000, 2) is None
    assert store.find("b" * 64, 44_100, 2) is None

"""What the networks gave, put together: written once it is final, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from services.runtime.audio.levels import Levels
from services.runtime.blobs.memory import MemoryBlobStore
from services.separator.collector import Collector
from services.separator.models import Member, SeparationModel
from services.separator.segments import plan_segments
from services.separator.spool import Spool
from services.separator.stem_store import StemStore

FRAMES, SEGMENT = 900, 400
LEVELS = Levels(FRAMES, 0.25, 0.5)
STEMS = ("drums", "vocals")


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def model_of(*shares: tuple[float, ...]) -> SeparationModel:
    members = tuple(Member(nn.Identity(), SEGMENT, share) for share in shares)
    return SeparationModel("test", STEMS, 100, 2, members, "a" * 64, 0)


def collected(
    tmp_path: Path, threads: Executor, model: SeparationModel, stems: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], list[int], dict[str, str]]:
    """Collects constant outputs: network m gives 1 + m for drums and −1 − m for vocals.

    Returns the stems as they lie in the spool, the frames there after each segment, and the names
    of the stored blobs.
    """
    plan = plan_segments(list(enumerate(model.members)), FRAMES, 0.25)
    store, spool = StemStore(MemoryBlobStore()), Spool(tmp_path, stems, 8)
    writers = {stem: store.write() for stem in stems}
    collector = Collector(model, stems, LEVELS, spool, writers, threads)
    grown = []
    for segment, until in zip(plan.segments, plan.final_until, strict=True):
        level = np.float32(1 + segment.member)
        output = np.ones((2, 2, segment.input_frames), np.float32) * level
        output[1] *= -1
        collector.collect(segment, output, until)
        grown.append(len(spool.read(stems[0], 0, FRAMES)) // 8)
    made = {
        stem: np.frombuffer(spool.read(stem, 0, FRAMES), "<f4").reshape(-1, 2) for stem in stems
    }
    spool.close()
    return made, grown, {stem: writer.commit() for stem, writer in writers.items()}


def test_overlapping_segments_weigh_one_at_every_frame_and_the_level_comes_back(
    tmp_path: Path, threads: Executor
) -> None:
    made, _, _ = collected(tmp_path, threads, model_of((1.0, 1.0)), STEMS)
    assert made["drums"].shape == (FRAMES, 2)
    np.testing.assert_allclose(made["drums"], 0.5 + 0.25, rtol=1e-6)
    np.testing.assert_allclose(made["vocals"], -0.5 + 0.25, rtol=1e-6)


def test_what_no_later_segment_changes_is_written_at_once(
    tmp_path: Path, threads: Executor
) -> None:
    _, grown, _ = collected(tmp_path, threads, model_of((1.0, 1.0)), STEMS)
    assert grown == [300, 600, 900]


def test_each_stem_is_made_of_the_networks_that_have_a_share_in_it(
    tmp_path: Path, threads: Executor
) -> None:
    made, _, _ = collected(tmp_path, threads, model_of((1.0, 0.25), (0.0, 0.75)), STEMS)
    np.testing.assert_allclose(made["drums"], 0.5 * 1 + 0.25, rtol=1e-6)
    np.testing.assert_allclose(made["vocals"], -0.5 * (0.25 + 2 * 0.75) + 0.25, rtol=1e-6)


def test_a_stem_has_the_same_bytes_alone_and_among_others(
    tmp_path: Path, threads: Executor
) -> None:
    _, _, both = collected(tmp_path, threads, model_of((1.0, 1.0)), STEMS)
    _, _, alone = collected(tmp_path, threads, model_of((1.0, 1.0)), ("vocals",))
    assert alone == {"vocals": both["vocals"]}

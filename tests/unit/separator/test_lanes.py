"""Two lanes of a CPU: side by side, and the whole device for what is waited for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.separator.backends.backend import SegmentBatch, StemBatch
from services.separator.backends.openvino import OpenVinoBackend
from services.separator.backends.parity import parity_probe
from services.separator.models import SeparationModel, describe_model
from services.separator.segments import plan_segments
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import tiny_htdemucs

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's tracer explains itself


@pytest.fixture
def model() -> SeparationModel:
    return describe_model("tiny", tiny_htdemucs())


@pytest.mark.parametrize(
    ("lanes", "undivided"),
    [
        (1, {1: {0}, 2: {0}, 3: {0}, 4: {0}, 5: {0}}),
        (2, {1: {0}, 2: {0, 1}, 3: {0}, 4: {0, 3}, 5: {0}}),
        (3, {1: {0}, 2: {0, 1}, 3: {0, 1, 2}, 4: {0}, 5: {0, 4}}),
    ],
)
def test_no_lane_rests_at_the_end_of_a_track(
    model: SeparationModel, lanes: int, undivided: dict[int, set[int]]
) -> None:
    stride = int(0.75 * model.members[0].segment_frames)
    for segments, numbers in undivided.items():
        plan = plan_segments([(0, model.members[0])], segments * stride, 0.25)
        assert len(plan.segments) == segments
        assert plan.undivided(lanes) == numbers


@pytest.fixture
def two_lanes(tmp_path: Path, model: SeparationModel) -> Iterator[OpenVinoBackend]:
    backend = OpenVinoBackend(model, tmp_path, threads=2, precision="fp32")
    yield backend
    backend.close()


def test_a_segment_comes_out_the_same_whatever_is_beside_it(
    two_lanes: OpenVinoBackend, model: SeparationModel
) -> None:
    probe = parity_probe(model, 0)
    ways = list(itertools.product([probe, -probe], [False, True]))
    expected = [two_lanes.run(0, batch, undivided=undivided) for batch, undivided in ways]
    with ThreadPoolExecutor(3) as pool:
        outputs = list(pool.map(lambda way: two_lanes.run(0, way[0], undivided=way[1]), ways * 4))
    for number, output in enumerate(outputs):
        assert np.array_equal(output, expected[number % len(ways)])


def test_two_segments_are_computed_side_by_side(
    two_lanes: OpenVinoBackend, model: SeparationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_are_in = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    compute = two_lanes._run_one

    def meet(*segment: Any) -> StemBatch:
        both_are_in.wait()
        return compute(*segment)

    monkeypatch.setattr(two_lanes, "_run_one", meet)
    probe = parity_probe(model, 0)
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda batch: two_lanes.run(0, batch), [probe, probe]))
    assert np.array_equal(*outputs)


def test_nothing_is_begun_beside_a_segment_that_has_the_whole_device(
    two_lanes: OpenVinoBackend, model: SeparationModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[float] = []
    first_is_in, go_on = threading.Event(), threading.Event()
    compute = two_lanes._run_one

    def held(member: int, request: Any, batch: SegmentBatch) -> StemBatch:
        begun.append(np.sign(batch[0, 0, 0]))
        first_is_in.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return compute(member, request, batch)

    monkeypatch.setattr(two_lanes, "_run_one", held)
    sound = np.abs(parity_probe(model, 0)) + 1
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(two_lanes.run, 0, sound, undivided=True)
        assert first_is_in.wait(PATIENCE_SECONDS)
        lane = pool.submit(two_lanes.run, 0, -sound)
        time.sleep(0.1)  # long enough to be begun, were it allowed to
        seen = list(begun)
        go_on.set()
        whole.result(), lane.result()
    assert (seen, begun) == ([1], [1, -1])

"""Recorded runs: one for each size of batch, played again, and given up where none can be made.

What records here is TorchScript, which, like a CUDA graph, holds for one shape and the memory that
it was given.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from services.separator.backends.backend import DeviceMemoryError
from services.separator.backends.recordings import (
    Recordings,
    Run,
    largest_rehearsed,
    recordable_size,
    recorded_size,
)


class Network(torch.nn.Module):
    """Makes two stems; one depends on all of its segment, so that segments must not mix."""

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        return torch.stack([mix + 1, mix - mix.mean(dim=(1, 2), keepdim=True)], dim=1)


class Recorder:
    """Records with TorchScript, into memory of its own, as a CUDA graph does."""

    def __init__(self) -> None:
        self.network = Network()
        self.shapes: list[tuple[int, ...]] = []
        self.plain_runs = 0
        self.error: Exception | None = None

    def record(self, member: int, batch: torch.Tensor) -> Run:
        if self.error is not None:
            raise self.error
        self.shapes.append(tuple(batch.shape))
        given = batch.clone()
        traced: Any = torch.jit.trace(self.network, given)

        def play(mix: torch.Tensor) -> torch.Tensor:
            given.copy_(mix)  # fails for any other shape
            made: torch.Tensor = traced(given)
            return made

        return play

    def plain(self, member: int, batch: torch.Tensor) -> torch.Tensor:
        self.plain_runs += 1
        output: torch.Tensor = self.network(batch)
        return output


def test_a_run_is_recorded_for_each_power_of_two_and_gives_what_the_network_gives() -> None:
    recorder = Recorder()
    recordings = Recordings(recorder.record, recorder.plain)
    generator = torch.Generator().manual_seed(0)
    for segments in (1, 3, 2, 4, 5, 8, 3, 1):
        batch = torch.randn(segments, 2, 50, generator=generator)
        output = recordings.run(0, batch)
        assert output.shape == (segments, 2, 2, 50)
        assert torch.allclose(output, recorder.network(batch), atol=1e-6)
    assert [shape[0] for shape in recorder.shapes] == [1, 4, 2, 8]
    assert recorder.plain_runs == 0


def test_networks_and_lengths_have_recordings_of_their_own() -> None:
    recorder = Recorder()
    recordings = Recordings(recorder.record, recorder.plain)
    for member, frames in ((0, 50), (1, 50), (0, 60), (0, 50)):
        recordings.run(member, torch.zeros(1, 2, frames))
    assert recordings.count == 3


def test_a_network_that_cannot_be_recorded_is_run_plainly_ever_after() -> None:
    recorder = Recorder()
    recordings = Recordings(recorder.record, recorder.plain)
    recorder.error = RuntimeError("operation not permitted when stream is capturing")
    assert recordings.run(0, torch.zeros(3, 2, 50)).shape == (3, 2, 2, 50)
    recorder.error = None
    recordings.run(0, torch.zeros(1, 2, 50))
    assert (recorder.plain_runs, recordings.count) == (2, 0)
    recordings.run(1, torch.zeros(1, 2, 50))  # the other network can
    assert recordings.count == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_runs_out_while_recording_is_told_and_not_held_against_the_network(
    error: RuntimeError,
) -> None:
    recorder = Recorder()
    recordings = Recordings(recorder.record, recorder.plain)
    recorder.error = error
    with pytest.raises(type(error)):
        recordings.run(0, torch.zeros(4, 2, 50))
    recorder.error = None
    recordings.run(0, torch.zeros(2, 2, 50))
    assert (recorder.plain_runs, recordings.count) == (0, 1)


def test_sizes_never_fall_short_and_never_double() -> None:
    for segments in range(1, 200):
        assert segments <= recorded_size(segments) < 2 * segments + 1
        # What is chosen so is recorded as it is: it is filled up with nothing.
        assert recorded_size(recordable_size(segments)) == recordable_size(segments) <= segments


@pytest.mark.parametrize("room", [1, 2, 3, 7, 8, 100])
@pytest.mark.parametrize("record", [True, False])
def test_the_largest_batch_that_goes_through_is_found_and_those_below_are_recorded(
    room: int, record: bool
) -> None:
    rehearsed: list[int] = []

    def rehearse(segments: int) -> None:
        if segments > room:
            rehearsed.clear()  # all that was taken is free again
            raise DeviceMemoryError("full")
        rehearsed.append(segments)

    most = largest_rehearsed(8, rehearse, record=record)
    assert most == min(8, recordable_size(room))
    assert rehearsed == ([size for size in (8, 4, 2, 1) if size <= most] if record else [most])


def test_what_has_no_room_for_one_segment_is_not_tried_for_ever() -> None:
    def rehearse(_: int) -> None:
        raise DeviceMemoryError("full")

    with pytest.raises(DeviceMemoryError):
        largest_rehearsed(16, rehearse, record=True)

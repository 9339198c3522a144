"""How a track is cut into segments, exactly as `demucs.apply.apply_model` cuts it.

Segments of a fixed length begin every *stride* = (1 − overlap) · length frames. Each is weighted
with a triangle, and at every frame the weights of the segments there are divided by their sum.
A segment that reaches over the end of the track is shorter; what goes into the network is then
centred in the length that the network wants, with the music around it, not silence, on both sides
as far as there is music.

Where that leaves a last segment that holds nothing but what the one before it holds too, Demucs
computes it all the same. A *sparing* grid leaves such a segment out where it would have counted
for two fifths of the sum at most at every frame (docs/decisions/0023).

With random shifts the cutting is done several times, each with a grid that begins up to half a
second before the track; what falls before the track's first frame is dropped.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from services.separator.models import Member

Gains = npt.NDArray[np.float32]
"""`[frames]`."""

_MAX_SHIFT_SECONDS = 0.5


@lru_cache(maxsize=8)
def triangle(frames: int) -> Gains:
    """Returns the triangle that weights a segment, 1 at its highest.

    >>> [round(float(value), 2) for value in triangle(5)]
    [0.33, 0.67, 1.0, 0.67, 0.33]
    """
    half = frames // 2
    window = np.concatenate(
        [np.arange(1, half + 1), np.arange(frames - half, 0, -1)], dtype=np.float32
    )
    window /= window.max()
    window.setflags(write=False)
    return window


@dataclass(frozen=True)
class Grid:
    """One way of cutting a track.

    Args:
        first_frame: Where the first segment begins; 0, or before the track for a shifted grid.
        total_frames: Length of the track.
        segment_frames: Length of a segment.
        stride_frames: From the beginning of one segment to that of the next.
        is_sparing: Whether a last segment is left out that counts for little: two fifths at most.
    """

    first_frame: int
    total_frames: int
    segment_frames: int
    stride_frames: int
    is_sparing: bool = False

    def __len__(self) -> int:
        count = len(range(self.first_frame, self.total_frames, self.stride_frames))
        return count - 1 if self.is_sparing and self._last_counts_little(count) else count

    def _last_counts_little(self, count: int) -> bool:
        # Where two segments meet, one triangle falls as the other rises: the last segment's share
        # is highest at the track's end, the part of what they share that is gone by then.
        shared = self.segment_frames - self.stride_frames
        rest = self.total_frames - self.offset(count - 1)
        return count > 1 and 2 * shared <= self.segment_frames and 5 * rest <= 2 * shared

    def offset(self, index: int) -> int:
        """Returns where segment `index` begins, in frames of the track."""
        return self.first_frame + index * self.stride_frames

    def length(self, index: int) -> int:
        """Returns how many frames segment `index` has."""
        return min(self.segment_frames, self.total_frames - self.offset(index))

    def gains(self, index: int) -> Gains:
        """Returns the weights of segment `index`; over all segments they add up to 1."""
        window = triangle(self.segment_frames)
        length = self.length(index)
        total = np.zeros(length, np.float32)
        reach = -(-self.segment_frames // self.stride_frames)
        for other in range(max(0, index - reach), min(len(self), index + reach + 1)):
            shift = (other - index) * self.stride_frames
            begin, end = max(0, shift), min(length, shift + self.length(other))
            if begin < end:
                total[begin:end] += window[begin - shift : end - shift]
        return window[:length] / total


@dataclass(frozen=True)
class Segment:
    """One piece of work for a network.

    Args:
        member: Which network of the model.
        grid: The cutting that it belongs to.
        index: Its number there.
        input_frames: Frames that the network is given.
        share: What the result counts among several shifts, 0 to 1.
    """

    member: int
    grid: Grid
    index: int
    input_frames: int
    share: float

    @property
    def offset(self) -> int:
        """Where its result begins, in frames of the track; below 0 for a shifted grid."""
        return self.grid.offset(self.index)

    @property
    def length(self) -> int:
        """Frames of its result."""
        return self.grid.length(self.index)

    @property
    def margin_frames(self) -> int:
        """Frames of the network's output to drop at the left."""
        return (self.input_frames - self.length) // 2

    @property
    def input_start(self) -> int:
        """Where the audio for the network begins, in frames of the track; may be below 0."""
        return self.offset - self.margin_frames

    def gains(self) -> Gains:
        """Returns the weights of its result; over all segments of one network they add up to 1."""
        return self.grid.gains(self.index) * np.float32(self.share)


@dataclass(frozen=True)
class Plan:
    """All the work for one track, in the order it is done.

    Args:
        segments: In order of their offsets, so that the track comes out from left to right.
        needed_from: For each segment, the first frame of the track that it or a later one reads.
        final_until: For each segment, up to which frame the result is final once it was added.
    """

    segments: tuple[Segment, ...]
    needed_from: tuple[int, ...]
    final_until: tuple[int, ...]

    def undivided(self, lanes: int) -> frozenset[int]:
        """Returns the numbers of the segments that all of a device should compute.

        Those that the track's first frames wait for; and at the end what does not fill every lane,
        so that no lane rests while another works.

        Args:
            lanes: Of the device.
        """
        numbers = range(len(self.segments))
        opening = [number for number in numbers if self.segments[number].offset <= 0]
        others = numbers[len(opening) :]
        return frozenset(opening) | frozenset(others[len(others) - len(others) % lanes :])


def shift_offsets(track_sha256: str, shifts: int, sample_rate_hz: int) -> tuple[int, ...]:
    """Returns how far before the track each grid begins, in frames, drawn by the track's content.

    As `apply_model` draws them: evenly between 0 and half a second. Without shifts one grid begins
    at the track's first frame.
    """
    if not shifts:
        return (0,)
    limit = int(_MAX_SHIFT_SECONDS * sample_rate_hz)
    seed = hashlib.sha256(f"{track_sha256} {shifts}".encode()).digest()
    generator = random.Random(seed)  # noqa: S311 - not for secrets
    return tuple(limit - generator.randint(0, limit) for _ in range(shifts))


def plan_segments(
    members: Sequence[tuple[int, Member]],
    total_frames: int,
    overlap: float,
    shifts: Sequence[int] = (0,),
    *,
    is_sparing: bool = False,
) -> Plan:
    """Returns the work for a track.

    Args:
        members: The networks to run, with their numbers.
        total_frames: Length of the track, at least 1.
        overlap: Overlap of neighbouring segments, as a fraction of a segment, below 1.
        shifts: For each grid, how many frames before the track it begins.
        is_sparing: Whether segments are left out that Demucs computes and that change next to
            nothing, as told for `Grid`.
    """
    segments = []
    for number, member in members:
        stride = max(1, int((1 - overlap) * member.segment_frames))
        for shift in shifts:
            grid = Grid(-shift, total_frames, member.segment_frames, stride, is_sparing)
            for index in range(len(grid)):
                frames = member.input_frames(grid.length(index))
                segments.append(Segment(number, grid, index, frames, 1 / len(shifts)))
    segments.sort(key=lambda segment: segment.offset)  # stable: members and shifts in their order
    needed_from = [segment.input_start for segment in segments]
    for position in range(len(segments) - 2, -1, -1):
        needed_from[position] = min(needed_from[position], needed_from[position + 1])
    final_until = [max(0, segment.offset) for segment in segments[1:]] + [total_frames]
    return Plan(tuple(segments), tuple(needed_from), tuple(final_until))

"""One render, block by block: decode, fit the stems, run the graph, encode, store.

Nothing here knows of the network or of the event loop. It is fed with what stems come and asked to
advance; memory holds one block, and what one stem is ahead of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor

import numpy as np

from mixdown.mix import MASTER, Mix
from services.remixer.artifacts import ArtifactWriter
from services.remixer.errors import StemsLostError
from services.remixer.events import OutputAudio, OutputFinished, OutputStarted
from services.remixer.frame_queue import FrameQueue
from services.remixer.graph import Graph, ceiling_of
from services.remixer.loudness_target import LoudnessTarget
from services.remixer.original import Original
from services.remixer.plan import PlannedOutput, track_of
from services.remixer.resample import Resampler
from services.runtime.audio.finite import finite
from services.runtime.audio.measured import Measured
from services.runtime.audio.reader import AudioProperties, Samples
from services.runtime.blobs import Blob, BlobStore

FIRST_BLOCK_FRAMES = 16_384
"""Frames of one step, until the first audio goes out: so it comes soon."""

BLOCK_FRAMES = 131_072
"""The most frames of one step: three seconds, where a step costs next to nothing beside its frames.
Steps grow to that by doubling, so that nobody who listens waits."""

MAX_SKEW_SECONDS = 120
"""How far one stem may be ahead of another. The separator interleaves them segment by segment."""


class StemInput:
    """Fits one stem to the original: its channels, its rate, its length.

    Args:
        from_hz: Rate of the stem.
        properties: What the original is.
    """

    def __init__(self, from_hz: int, properties: AudioProperties) -> None:
        self._channels = properties.channels
        self._resampler = Resampler(
            from_hz, properties.sample_rate_hz, properties.channels, properties.frames
        )
        self._queue = FrameQueue(properties.channels)

    @property
    def frames(self) -> int:
        """Frames that are ready."""
        return self._queue.frames

    def push(self, samples: Samples) -> None:
        """Takes `[channels, frames]` at the model's rate and channels."""
        fitted = fold(samples, self._channels)
        self._queue.push(self._resampler.process(finite(fitted)))

    def end(self) -> None:
        """Fills up to the length of the original."""
        self._queue.push(self._resampler.finish())

    def pop(self, frames: int) -> Samples:
        """Takes out frames."""
        return self._queue.pop(frames)


def fold(samples: Samples, channels: int) -> Samples:
    """Returns `samples` with another number of channels: the mean for mono, copies for stereo."""
    if samples.shape[0] == channels:
        return samples
    if channels == 1:
        folded: Samples = samples.mean(axis=0, keepdims=True, dtype=np.float32)
        return folded
    return np.repeat(fold(samples, 1), channels, axis=0)


class Pipeline:
    """Renders files.

    Args:
        store: Where the original lies and the files go.
        track: The original.
        measured: What it is, and how loud.
        mix: What can be heard of the mix.
        planned: The files.
        stems: The stems they need.
        offsets_bytes: Bytes that the caller has already, by name of output.
        pool: Threads for the chains of several stems.
    """

    def __init__(
        self,
        store: BlobStore,
        track: Blob,
        measured: Measured,
        mix: Mix,
        planned: Sequence[PlannedOutput],
        stems: Sequence[str],
        offsets_bytes: Mapping[str, int],
        pool: Executor | None = None,
    ) -> None:
        properties = measured.properties
        self._properties = properties
        self._loudness = measured.loudness
        self._stems = tuple(stems)
        self._inputs: dict[str, StemInput] = {}
        self._position = 0
        self._block_frames = FIRST_BLOCK_FRAMES
        self._has_ended = False
        self._weights_sha256 = ""
        self._notes: list[str] = []
        self._writers: dict[str, ArtifactWriter] = {}
        ceiling = ceiling_of(measured.loudness.true_peak)
        self._target = _target(planned, ceiling, properties)
        self._levelled: Iterator[Samples] | None = None
        self._levelled_frames = 0
        self._graph = Graph(
            mix,
            [item.output for item in planned],
            track_of(properties, measured.loudness.integrated_lufs),
            # At a wanted loudness the ceiling is held behind the gain that it asks for.
            None if self._target is not None else ceiling,
            pool,
        )
        self._original = Original(store, track.sha256, properties)
        try:
            for item in planned:
                name = item.output.name
                self._writers[name] = ArtifactWriter(
                    store,
                    item,
                    properties.sample_rate_hz,
                    properties.tags,
                    offsets_bytes.get(name, 0),
                )
        except BaseException:
            self.close()
            raise
        self.started = [
            OutputStarted(item, self._writers[item.output.name].size_bytes) for item in planned
        ]
        self._note_rates(planned)

    def _note_rates(self, planned: Sequence[PlannedOutput]) -> None:
        for item in planned:
            if item.sample_rate_hz != self._properties.sample_rate_hz:
                self._notes.append(
                    f"resampled {item.output.name} from {self._properties.sample_rate_hz} Hz to "
                    f"{item.sample_rate_hz} Hz, which {item.file_format.extension} can hold"
                )

    @property
    def fraction(self) -> float:
        """How far the work is, 0 to 1."""
        target_frames = self._properties.frames if self._target is not None else 0
        done = self._position + min(self._levelled_frames, target_frames)
        return done / (self._properties.frames + target_frames)

    @property
    def is_done(self) -> bool:
        """Whether everything is rendered, tails included."""
        return self._has_ended

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be changed on the way, for people."""
        notes = list(self._notes)
        repaired = self._original.repaired_samples
        if repaired:
            notes.append(f"silenced {repaired} samples that were no numbers or far too large")
        if self._target is not None:
            notes.append(self._target.note)
        return tuple(notes)

    def expect_stems(self, sample_rate_hz: int, channels: int, weights_sha256: str = "") -> None:
        """Prepares for stems of this rate and these channels, made with these weights."""
        self._weights_sha256 = weights_sha256
        self._inputs = {stem: StemInput(sample_rate_hz, self._properties) for stem in self._stems}
        if sample_rate_hz != self._properties.sample_rate_hz:
            self._notes.append(
                f"resampled stems from {sample_rate_hz} Hz to {self._properties.sample_rate_hz} Hz"
            )
        if channels != self._properties.channels:
            self._notes.append(
                f"fitted stems with {channels} channels to {self._properties.channels}"
            )

    def feed(self, stem: str, samples: Samples) -> None:
        """Takes the next frames of a stem.

        Raises:
            StemsLostError: it is too far ahead of the others.
        """
        self._inputs[stem].push(samples)
        frames = [item.frames for item in self._inputs.values()]
        if max(frames) - min(frames) > MAX_SKEW_SECONDS * self._properties.sample_rate_hz:
            raise StemsLostError("The stems come too far apart from each other.")

    def end_stems(self) -> None:
        """Takes note that no stem has more frames; those that are missing are silent."""
        if len(self._inputs) != len(self._stems):
            raise StemsLostError("The stems never began. Please try again.")
        for item in self._inputs.values():
            item.end()

    @property
    def can_advance(self) -> bool:
        """Whether the next block of every stem is there."""
        frames = self._next_frames()
        return len(self._inputs) == len(self._stems) and all(
            item.frames >= frames for item in self._inputs.values()
        )

    @property
    def has_due(self) -> bool:
        """Whether `flush` has anything to do: frames that wait, or work under way."""
        return self._graph.is_ahead or self._waiting_frames() > 0

    def advance(self) -> list[OutputAudio | OutputFinished]:
        """Renders the next block; with the last one, all that is still due.

        What is returned may lag behind: the effects of the stems work meanwhile.
        """
        if self._levelled is not None:
            return self._advance_levelled(self._levelled)
        return self._step(self._next_frames())

    def _step(self, frames: int) -> list[OutputAudio | OutputFinished]:
        stems = {stem: item.pop(frames) for stem, item in self._inputs.items()}
        original = self._original.read(frames)
        self._position += frames
        events = self._write(self._graph.push(original, stems))
        if self._position == self._properties.frames:
            events += self._write(self._graph.finish())
            if self._target is None:
                events += self._end()
            else:
                self._levelled = self._target.blocks()
        return events

    def _advance_levelled(self, levelled: Iterator[Samples]) -> list[OutputAudio | OutputFinished]:
        """Hands out the next block of the mix at the wanted loudness."""
        block = next(levelled, None)
        if block is None:
            return self._end()
        self._levelled_frames += block.shape[1]
        return list(self._writers[MASTER].write(block))

    def flush(self) -> list[OutputAudio | OutputFinished]:
        """Renders what is there of the stems, less than a block, and waits for all work under way.

        For when no more comes soon: nobody shall wait for the rest of a block.
        """
        frames = self._waiting_frames()
        events = self._step(frames) if frames else []
        return events + ([] if self._has_ended else self._write(self._graph.flush()))

    def _write(self, blocks: Mapping[str, Samples]) -> list[OutputAudio | OutputFinished]:
        events: list[OutputAudio | OutputFinished] = []
        for name, writer in self._writers.items():
            if self._target is not None and name == MASTER:
                self._target.add(blocks[name])
            elif blocks[name].shape[1]:
                events += writer.write(blocks[name])
        if any(block.shape[1] for block in blocks.values()):
            self._block_frames = min(2 * self._block_frames, BLOCK_FRAMES)
        return events

    def _end(self) -> list[OutputAudio | OutputFinished]:
        events: list[OutputAudio | OutputFinished] = []
        for name, writer in self._writers.items():
            events += writer.finish()
            limiting = self._target or self._graph
            limited_db = limiting.limited_db if name == MASTER else 0.0
            artifact = writer.commit(limited_db, self.notes, self._weights_sha256)
            events.append(artifact.finished(name, self._loudness, cached=False))
        self._has_ended = True
        return events

    def close(self) -> None:
        """Frees the decoder and the encoders, and removes files that were not finished."""
        self._original.close()
        self._graph.close()
        if self._target is not None:
            self._target.close()
        for writer in self._writers.values():
            writer.close()

    def _next_frames(self) -> int:
        return min(self._block_frames, self._properties.frames - self._position)

    def _waiting_frames(self) -> int:
        """Frames that every stem has, up to a block of them."""
        frames = [item.frames for item in self._inputs.values()]
        return min(*frames, self._next_frames()) if len(frames) == len(self._stems) > 0 else 0


def _target(
    planned: Sequence[PlannedOutput], ceiling: float, properties: AudioProperties
) -> LoudnessTarget | None:
    """Returns what brings the mix to the loudness that is wanted; None where none is."""
    wanted = [item.loudness_lufs for item in planned if item.loudness_lufs is not None]
    if not wanted:
        return None
    return LoudnessTarget(wanted[0], ceiling, properties.sample_rate_hz, properties.channels)

"""Answers one request: from the store, or by computing, or both."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Iterator
from contextlib import aclosing
from typing import Protocol

import structlog

from services.runtime.blobs import BlobStore
from services.runtime.errors import BlobNotFoundError
from services.separator import metrics
from services.separator.computation import Computation
from services.separator.computations import Computations
from services.separator.engines import Engine, Engines
from services.separator.errors import (
    InvalidShiftsError,
    InvalidStartFrameError,
    UnknownStemError,
)
from services.separator.events import (
    Audio,
    Event,
    Finished,
    Progress,
    Queued,
    SeparationRequest,
    Started,
)
from services.separator.playhead import Playhead
from services.separator.stem_store import SAMPLE_BYTES, Recipe, StemStore, StoredStem
from services.separator.worker_thread import in_thread

_log = structlog.get_logger("mixdown.separator")

MAX_SHIFTS = 10
CHUNK_BYTES = 256 * 1024
"""Most audio in one event."""

_BLOCK_CHUNKS = 4


class _StemReader(Protocol):
    def read(self, offset_frames: int, frames: int) -> bytes: ...

    def close(self) -> None: ...


class Separator:
    """Streams stems of tracks.

    Args:
        blobs: Where tracks lie.
        stems: Where stems are kept.
        engines: The models.
        computations: Work under way.
        default_model: The model where a request names none.
        overlap: Overlap of segments.
    """

    def __init__(
        self,
        blobs: BlobStore,
        stems: StemStore,
        engines: Engines,
        computations: Computations,
        default_model: str,
        overlap: float,
    ) -> None:
        self._blobs = blobs
        self._stems = stems
        self._engines = engines
        self._computations = computations
        self._default_model = default_model
        self._overlap = overlap

    async def separate(self, request: SeparationRequest) -> AsyncGenerator[Event, None]:
        """Yields what `events.py` tells. Leaving the iterator stops the work for this caller.

        Raises:
            SeparatorError: as in `errors.py`.
            BlobNotFoundError: the track is not in the store.
            UndecodableAudioError: the track cannot be read.
        """
        _check(request)
        if await in_thread(self._blobs.find, request.track_sha256) is None:
            raise BlobNotFoundError(
                f"There is no track {request.track_sha256} in the store.",
                metadata={"sha256": request.track_sha256},
            )
        name = request.model or self._default_model
        async with self._engines.use(name) as engine:
            _check_stems(request.stems, engine)
            recipe = Recipe(
                track_sha256=request.track_sha256,
                model=name,
                weights_sha256=engine.model.weights_sha256,
                overlap=self._overlap,
                shifts=request.shifts,
            )
            stored = await in_thread(self._stems.find, recipe, request.stems)
            missing = [stem for stem in request.stems if stem not in stored]
            if not missing:
                metrics.REQUESTS.labels("store").inc()
                _log.info("served from the store", model=name, stems=list(request.stems))
                answer = self._send(request, engine, stored, None)
            else:
                answer = self._compute(request, engine, recipe, stored, missing)
            async with aclosing(answer):
                async for event in answer:
                    yield event

    async def _compute(
        self,
        request: SeparationRequest,
        engine: Engine,
        recipe: Recipe,
        stored: dict[str, StoredStem],
        missing: Collection[str],
    ) -> AsyncGenerator[Event, None]:
        members = engine.model.members_for(missing)
        playhead = (
            None
            if request.background
            else Playhead(engine.model.sample_rate_hz, request.start_frame, time.monotonic())
        )
        computation = self._computations.join(recipe, engine, members, playhead)
        try:
            position = None
            while computation.frames is None:
                changed = computation.changed
                computation.check()
                if computation.position is not None and computation.position != position:
                    position = computation.position
                    yield Queued(position)
                await changed.wait()
            answer = self._send(request, engine, stored, computation, playhead)
            async with aclosing(answer):
                async for event in answer:
                    yield event
        finally:
            computation.leave(playhead)

    async def _send(
        self,
        request: SeparationRequest,
        engine: Engine,
        stored: dict[str, StoredStem],
        computation: Computation | None,
        playhead: Playhead | None = None,
    ) -> AsyncGenerator[Event, None]:
        began = time.monotonic()
        model = engine.model
        frames = (
            computation.frames
            if computation is not None and computation.frames is not None
            else next(iter(stored.values())).frames
        )
        if request.start_frame > frames:
            raise InvalidStartFrameError(
                f"The track has {frames} frames; it cannot start at frame {request.start_frame}.",
                metadata={"frames": str(frames)},
            )
        yield Started(
            model=model.name,
            weights_sha256=model.weights_sha256,
            sample_rate_hz=model.sample_rate_hz,
            channels=model.channels,
            frames=frames,
            stems=request.stems,
            cached=computation is None,
        )
        readers: dict[str, _StemReader] = {}
        try:
            for stem in request.stems:
                readers[stem] = (
                    await in_thread(self._stems.open, stored[stem])
                    if computation is None or stem in stored
                    else _ComputedStem(computation, stem)
                )
            position = request.start_frame
            async for ready, progress in _follow(computation, position, frames):
                if progress is not None:
                    yield progress
                for block in _blocks(position, ready, model.channels):
                    for chunk in await in_thread(_read, readers, block, model.channels):
                        yield chunk
                position = max(position, ready)
                if playhead is not None:
                    playhead.send(position, time.monotonic())
        finally:
            for reader in readers.values():
                reader.close()
        kept = stored if computation is None else {**computation.stored, **stored}
        yield Finished(
            model=model.name,
            backend="store" if computation is None else engine.backend.name,
            seconds=time.monotonic() - began if computation is None else computation.seconds,
            peaks={stem: kept[stem].peak for stem in request.stems},
            cached=computation is None,
        )


class _ComputedStem:
    """Reads a stem while it is computed."""

    def __init__(self, computation: Computation, stem: str) -> None:
        self._computation = computation
        self._stem = stem

    def read(self, offset_frames: int, frames: int) -> bytes:
        return self._computation.read(self._stem, offset_frames, frames)

    def close(self) -> None:
        """Does nothing: the computation belongs to all of its readers."""


async def _follow(
    computation: Computation | None, position: int, frames: int
) -> AsyncGenerator[tuple[int, Progress | None], None]:
    """Yields up to which frame can be read, until all can and the work is done."""
    if computation is None:
        yield frames, None
        return
    told = -1.0
    while True:
        changed = computation.changed
        finished = computation.finished  # as it is checked: it may fail while the caller reads
        computation.check()
        if computation.fraction != told:
            told = computation.fraction
            yield computation.ready_frames, Progress(told, computation.eta_seconds)
        if finished:
            return
        # What came while the caller read is not to be waited for.
        if changed is computation.changed:
            await changed.wait()


def _blocks(begin: int, end: int, channels: int) -> Iterator[range]:
    """Yields frames `begin` to `end` in blocks, each of a few chunks for every stem."""
    frames = _chunk_frames(channels) * _BLOCK_CHUNKS
    for block in range(begin, end, frames):
        yield range(block, min(block + frames, end))


def _read(readers: dict[str, _StemReader], block: range, channels: int) -> list[Audio]:
    """Returns the frames of a block of every stem, interleaved by chunks."""
    frames = _chunk_frames(channels)
    return [
        Audio(stem, offset, reader.read(offset, min(frames, block.stop - offset)))
        for offset in range(block.start, block.stop, frames)
        for stem, reader in readers.items()
    ]


def _chunk_frames(channels: int) -> int:
    return CHUNK_BYTES // (SAMPLE_BYTES * channels)


def _check(request: SeparationRequest) -> None:
    if request.start_frame < 0:
        raise InvalidStartFrameError("The first frame cannot be negative.")
    if not 0 <= request.shifts <= MAX_SHIFTS:
        raise InvalidShiftsError(
            f"There can be 0 to {MAX_SHIFTS} shifts.", metadata={"shifts": str(request.shifts)}
        )
    if not request.stems:
        raise UnknownStemError("Name at least one stem.")
    if len(set(request.stems)) != len(request.stems):
        raise UnknownStemError("Name each stem once.")


def _check_stems(stems: Collection[str], engine: Engine) -> None:
    for stem in stems:
        if stem not in engine.model.stems:
            raise UnknownStemError(
                f"The model {engine.model.name} has no stem {stem!r}. It has: "
                f"{', '.join(engine.model.stems)}.",
                metadata={"model": engine.model.name, "stem": stem},
            )

"""One track on its way through a model, for all who asked for the same.

    waiting ──▶ measuring ──▶ separating ──▶ keeping ──▶ done

A computation runs as long as someone wants it. Its readers watch it from outside: `changed` is set
(and replaced) whenever there is something new. Those of them who listen meanwhile say how urgent
it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from services.runtime import tracing
from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.levels import Levels
from services.runtime.blobs import BlobStore
from services.separator import metrics
from services.separator.admission import Admission
from services.separator.collector import Collector
from services.separator.engines import Engine
from services.separator.overlap_add import StemSamples
from services.separator.pipeline import Pipeline, segments_ahead
from services.separator.playhead import Audience, Playhead
from services.separator.scheduler import Result, Scheduler
from services.separator.segments import Plan, plan_segments, shift_offsets
from services.separator.spool import Spool
from services.separator.stem_store import (
    SAMPLE_BYTES,
    Recipe,
    StemStore,
    StemWriter,
    StoredStem,
)
from services.separator.track import SegmentCutter, TrackReader, measure_levels
from services.separator.worker_thread import in_stoppable_thread, in_thread, side_by_side

_log = structlog.get_logger("mixdown.separator")


@dataclass(frozen=True)
class Rooms:
    """What every computation works with.

    Args:
        blobs: Where tracks lie.
        stems: Where stems are kept.
        scheduler: The way to the device.
        admission: Who may compute.
        spool_folder: Where stems under way lie.
        threads: Collect and keep stems; none of them waits for another one.
    """

    blobs: BlobStore
    stems: StemStore
    scheduler: Scheduler
    admission: Admission
    spool_folder: Path
    threads: Executor


class Computation:
    """Separates one track into all stems that its networks give.

    Args:
        recipe: What is made.
        engine: Model and backend.
        members: The networks to run.
        rooms: What to work with.
        retry_after_seconds: What is told where too many wait.
        listened: Whether its first reader listens.

    Raises:
        QueueFullError: too many wait already.

    Attributes:
        stems: The stems that come out.
        position: Tracks ahead in the queue; None once work has begun.
        frames: Length of the stems; None until it was measured.
        ready_frames: Frames of every stem that can be read.
        fraction: Done, 0 to 1.
        stored: The stems in the store, once all is done.
        seconds: Work so far, without waiting.
        span_context: Names the span of the work.
    """

    def __init__(
        self,
        recipe: Recipe,
        engine: Engine,
        members: tuple[int, ...],
        rooms: Rooms,
        retry_after_seconds: float,
        *,
        listened: bool,
    ) -> None:
        self.recipe = recipe
        self.engine = engine
        self.stems = engine.model.stems_of(members)
        self.position: int | None = None
        self.frames: int | None = None
        self.ready_frames = 0
        self.fraction = 0.0
        self.stored: dict[str, StoredStem] = {}
        self.changed = asyncio.Event()
        self.span_context = tracing.current_context()
        self._members = members
        self._rooms = rooms
        self._spool: Spool | None = None
        self._readers = 0
        self._audience = Audience()
        self._began: float | None = None
        self._ended: float | None = None
        self._first_audio_seconds = 0.0
        self._place = rooms.admission.ask(self._move_up, retry_after_seconds, listened=listened)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(lambda _: self._end())

    @property
    def seconds(self) -> float:
        """Work so far, without waiting."""
        if self._began is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._began

    @property
    def eta_seconds(self) -> float:
        """Seconds until the end, judged by the work so far; 0 where unknown."""
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction else 0.0

    @property
    def wanted(self) -> bool:
        """Whether it may be joined: it is under way and nobody's last reader has left."""
        return not self._task.done() and not self._task.cancelling()

    @property
    def finished(self) -> bool:
        """Whether all is in the store."""
        return self._task.done()

    def on_end(self, call: Callable[[], None]) -> None:
        """Has `call` called when the work ends, however it does."""
        self._task.add_done_callback(lambda _: call())

    def join(self, playhead: Playhead | None) -> None:
        """Adds a reader, who must `leave`; without a playhead one who does not listen."""
        self._readers += 1
        if playhead is not None:
            self._audience.join(playhead)
            self._place.change(listened=True)

    def leave(self, playhead: Playhead | None) -> None:
        """Takes a reader away; without any the work stops within a segment."""
        self._readers -= 1
        if playhead is not None:
            self._audience.leave(playhead)
        if not self._readers:
            self._task.cancel()
            self._close_spool()
        elif not self._audience:
            self._place.change(listened=False)

    async def stop(self) -> None:
        """Ends the work, whoever wants it, and waits until it has ended."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def check(self) -> None:
        """Raises what the work failed with, where it has."""
        if self._task.done():
            self._task.result()

    def read(self, stem: str, offset_frames: int, frames: int) -> bytes:
        """Returns frames of a stem below `ready_frames`, as interleaved float32."""
        assert self._spool is not None
        return self._spool.read(stem, offset_frames, frames)

    def _close_spool(self) -> None:
        if self._task.done() and not self._readers and self._spool is not None:
            self._spool.close()
            self._spool = None

    def _end(self) -> None:
        outcome = "cancelled"
        if not self._task.cancelled():
            # `check` tells it; without readers nobody needs to know
            outcome = "failed" if self._task.exception() else "completed"
        metrics.SEPARATIONS.labels(self.recipe.model, outcome).inc()
        self._place.leave()
        self._close_spool()
        self._tell()

    def _tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _move_up(self, position: int) -> None:
        self.position = position
        self._tell()

    async def _run(self) -> None:
        # In the trace of the request that began it; others that join link to it.
        with tracing.span("computation", attributes={"mixdown.model": self.recipe.model}):
            self.span_context = tracing.current_context()
            await self._compute()

    async def _compute(self) -> None:
        asked = time.monotonic()
        with tracing.span("wait for a place"):
            await self._place.wait()
        self._began = time.monotonic()
        metrics.QUEUE_SECONDS.observe(self._began - asked)
        self.position = None
        with tracing.span("measure"):
            levels = await self._measure()
        self.frames = levels.frames
        frame_bytes = self.engine.model.channels * SAMPLE_BYTES
        self._spool = Spool(self._rooms.spool_folder, self.stems, frame_bytes)
        self._tell()
        with tracing.span("separate"):
            await self._separate(levels, self._spool)
        self._ended = time.monotonic()
        self._report()

    async def _measure(self) -> Levels:
        track_sha256 = self.recipe.track_sha256
        rate_hz, channels = self.engine.model.sample_rate_hz, self.engine.model.channels
        store = LevelStore(self._rooms.blobs)

        def measure(stopped: Callable[[], bool]) -> Levels:
            known = store.find(track_sha256, rate_hz, channels)
            if known is not None:
                return known
            with self._open_track() as track:
                levels = measure_levels(track, stopped)
            if not stopped():
                store.keep(track_sha256, rate_hz, channels, levels)
            return levels

        return await in_stoppable_thread(measure)

    def _open_track(self) -> TrackReader:
        model = self.engine.model
        return TrackReader(
            self._rooms.blobs.open(self.recipe.track_sha256), model.sample_rate_hz, model.channels
        )

    async def _separate(self, levels: Levels, spool: Spool) -> None:
        model = self.engine.model
        shifts = shift_offsets(self.recipe.track_sha256, self.recipe.shifts, model.sample_rate_hz)
        plan = plan_segments(
            [(number, model.members[number]) for number in self._members],
            levels.frames,
            self.recipe.overlap,
            shifts,
            is_sparing=not self.engine.backend.is_reference,
        )
        files = ExitStack()
        try:
            track, writers = await in_thread(self._open_files, files)
            collector = Collector(model, self.stems, levels, spool, writers, self._rooms.threads)
            await self._feed(plan, SegmentCutter(track, levels), collector)
            await in_thread(self._keep, writers)
        finally:
            await in_thread(files.close)

    def _open_files(self, files: ExitStack) -> tuple[TrackReader, dict[str, StemWriter]]:
        """Opens the track and a writer for each stem; `files` closes and discards them.

        Even where a cancelled caller never sees what it returns.
        """
        track = files.enter_context(self._open_track())
        stems = self._rooms.stems
        return track, {stem: files.enter_context(stems.write()) for stem in self.stems}

    async def _feed(self, plan: Plan, cutter: SegmentCutter, collector: Collector) -> None:
        """Has the device compute every segment, and collects what it gives, in order."""
        backend = self.engine.backend
        undivided = plan.undivided(backend.lanes)

        async def begin(number: int) -> Result:
            segment = plan.segments[number]
            samples = await in_thread(
                cutter.cut, segment.input_start, segment.input_frames, plan.needed_from[number]
            )
            due = partial(self._audience.due, max(0, segment.offset))
            return self._rooms.scheduler.submit(
                self, backend, segment.member, samples, due, undivided=number in undivided
            )

        async def end(number: int, output: StemSamples) -> None:
            until = plan.final_until[number]
            await in_thread(collector.collect, plan.segments[number], output, until)
            self._tell_progress(until, (number + 1) / len(plan.segments))

        await Pipeline(
            len(plan.segments),
            lambda: segments_ahead(
                backend.max_batch * backend.lanes, self._rooms.admission.running
            ),
            begin,
            end,
        ).run()

    def _tell_progress(self, until: int, fraction: float) -> None:
        if until and not self.ready_frames:
            self._first_audio_seconds = self.seconds
        if until > self.ready_frames:
            for silence in self._audience.silences(self.ready_frames, time.monotonic()):
                metrics.count_silence(silence)
            self.ready_frames = until
        self.fraction = fraction
        self._tell()

    def _keep(self, writers: dict[str, StemWriter]) -> None:
        """Makes the stems findable, side by side: each waits for the disk, several times."""
        keep = [partial(self._keep_stem, stem, writer) for stem, writer in writers.items()]
        kept = side_by_side(self._rooms.threads, keep)
        self.stored = dict(zip(writers, kept, strict=True))

    def _keep_stem(self, stem: str, writer: StemWriter) -> StoredStem:
        assert self.frames is not None
        stored = StoredStem(
            blob_sha256=writer.commit(),
            frames=self.frames,
            sample_rate_hz=self.engine.model.sample_rate_hz,
            channels=self.engine.model.channels,
            peak=writer.peak,
            backend=self.engine.backend.name,
        )
        self._rooms.stems.keep(self.recipe, stem, stored)
        return stored

    def _report(self) -> None:
        assert self.frames is not None
        seconds = self.seconds
        audio_seconds = self.frames / self.engine.model.sample_rate_hz
        metrics.count_separation(
            self.recipe.model, audio_seconds, seconds, self._first_audio_seconds
        )
        _log.info(
            "separated",
            model=self.recipe.model,
            backend=self.engine.backend.name,
            audio_seconds=round(audio_seconds, 3),
            seconds=round(seconds, 3),
            real_time_factor=round(audio_seconds / seconds, 2),
            first_audio_seconds=round(self._first_audio_seconds, 3),
            waiting_tracks=self._rooms.admission.waiting,
            waiting_segments=self._rooms.scheduler.waiting_segments,
        )

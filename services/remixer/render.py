"""Renders a request: what was made before from the store, the rest block by block."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing

from mixdown.mix import Mix
from services.remixer import metrics, plan
from services.remixer.artifacts import Artifact, find_artifact, read_chunks
from services.remixer.background import in_thread, open_in_thread
from services.remixer.errors import TooManyRendersError
from services.remixer.events import (
    Event,
    OutputStarted,
    Progress,
    RenderFinished,
    Stage,
)
from services.remixer.original import read_measured
from services.remixer.pipeline import Pipeline
from services.remixer.plan import PlannedOutput, RenderRequest
from services.remixer.stems import (
    Model,
    Separator,
    StemBlock,
    StemEvent,
    StemsProgress,
    StemsQueued,
    StemsStarted,
)
from services.runtime.audio.loudness import Loudness
from services.runtime.audio.measured import Measured
from services.runtime.blobs import BlobStore

_PROGRESS_SECONDS = 0.5
_PATIENCE_SECONDS = 0.02
"""How long stems may take to come before what the effects are still working on is waited for."""


class Renderer:
    """Renders requests.

    Args:
        store: Where originals lie and files go.
        separator: Where stems come from.
        max_renders: Renders at once.
        threads: Threads in which the chains of several stems work side by side.
    """

    def __init__(
        self, store: BlobStore, separator: Separator, max_renders: int, threads: int = 1
    ) -> None:
        self._store = store
        self._separator = separator
        self._max_renders = max_renders
        self._renders = 0
        self._pool = ThreadPoolExecutor(threads, "chain") if threads > 1 else None

    async def render(self, request: RenderRequest) -> AsyncGenerator[Event, None]:
        """Yields the events of a render. Closing the iterator stops it and removes half files.

        Raises:
            TooManyRendersError: this process has enough to do.
            RemixerError: the request cannot be rendered; see `errors`.
        """
        with metrics.RenderWatch() as watch:
            if self._renders >= self._max_renders:
                raise TooManyRendersError(self._max_renders)
            self._renders += 1
            try:
                async with aclosing(self._render(request)) as events:
                    async for event in events:
                        watch.see(event)
                        yield event
            finally:
                self._renders -= 1

    async def _render(self, request: RenderRequest) -> AsyncGenerator[Event, None]:
        began = time.monotonic()
        model = await self._check(request)
        measured = await in_thread(read_measured, self._store, request.track.sha256)
        properties = measured.properties
        mix = plan.audible_mix(request.mix, properties)
        planned = [
            plan.plan_output(request, mix, output, properties, model.name)
            for output in request.outputs
        ]
        found = await in_thread(self._find, planned, model.weights_sha256)
        notes = dict.fromkeys(plan.notes(request.mix, properties))
        for item in planned:
            artifact = found.get(item.output.name)
            if artifact is not None:
                notes.update(dict.fromkeys(artifact.notes))
                serving = self._serve(request, item, artifact, measured.loudness)
                async with aclosing(serving) as events:
                    async for event in events:
                        yield event
        missing = [item for item in planned if item.output.name not in found]
        if missing:
            job = _Job(
                self._store,
                self._separator,
                request,
                model.name,
                measured,
                mix,
                missing,
                self._pool,
            )
            async with aclosing(job.run()) as events:
                async for event in events:
                    yield event
            notes.update(dict.fromkeys(job.notes))
        yield RenderFinished(time.monotonic() - began, tuple(notes))

    async def _check(self, request: RenderRequest) -> Model:
        """Checks a request and returns the model; one without a name where it does not matter."""
        if not request.names_stems:
            plan.check(request, "", ())
            return Model("", ())
        model = await self._separator.model(request.model)
        plan.check(request, model.name, model.stems)
        return model

    def _find(self, planned: list[PlannedOutput], weights_sha256: str) -> dict[str, Artifact]:
        found = {
            item.output.name: find_artifact(self._store, item, weights_sha256) for item in planned
        }
        return {name: artifact for name, artifact in found.items() if artifact is not None}

    async def _serve(
        self,
        request: RenderRequest,
        item: PlannedOutput,
        artifact: Artifact,
        original_loudness: Loudness,
    ) -> AsyncGenerator[Event, None]:
        name = item.output.name
        yield OutputStarted(item, artifact.size_bytes)
        offset_bytes = request.offsets_bytes.get(name, 0)
        chunks = read_chunks(self._store, name, artifact, offset_bytes)
        try:
            while (chunk := await in_thread(next, chunks, None)) is not None:
                yield chunk
        finally:
            chunks.close()
        yield artifact.finished(name, original_loudness, cached=True)


class _Job:
    """The render of the files that are not in the store yet."""

    def __init__(
        self,
        store: BlobStore,
        separator: Separator,
        request: RenderRequest,
        model: str,
        measured: Measured,
        mix: Mix,
        planned: list[PlannedOutput],
        pool: Executor | None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._separator = separator
        self._request = request
        self._model = model
        self._measured = measured
        self._mix = mix
        self._planned = planned
        self._began = time.monotonic()
        self._last_progress = 0.0
        self._stage: Stage = "rendering"
        self.notes: tuple[str, ...] = ()

    async def run(self) -> AsyncGenerator[Event, None]:
        """Yields the events of the render."""
        stems = plan.needed_stems(self._mix, [item.output for item in self._planned])
        pipeline = await open_in_thread(
            Pipeline,
            self._store,
            self._request.track,
            self._measured,
            self._mix,
            self._planned,
            stems,
            self._request.offsets_bytes,
            self._pool,
        )
        try:
            for started in pipeline.started:
                yield started
            if stems:
                async with aclosing(self._separate(pipeline, stems)) as events:
                    async for event in events:
                        yield event
                await in_thread(pipeline.end_stems)
            async with aclosing(self._advance(pipeline)) as events:
                async for event in events:
                    yield event
            self.notes = pipeline.notes
        finally:
            pipeline.close()

    async def _separate(
        self, pipeline: Pipeline, stems: tuple[str, ...]
    ) -> AsyncGenerator[Event, None]:
        """Feeds the pipeline with stems, and renders what can be rendered meanwhile."""
        request = self._request
        source = self._separator.separate(
            request.track, self._model, stems, background=request.background
        )
        async with aclosing(source) as stem_events:
            while True:
                coming = asyncio.ensure_future(anext(stem_events, None))
                try:
                    # While stems keep coming nobody waits for the effects; else what is there
                    # goes out.
                    if pipeline.has_due and not await _comes_soon(coming):
                        for made in await in_thread(pipeline.flush):
                            yield made
                    event = await coming
                finally:
                    await _end(coming)
                if event is None:
                    return
                async with aclosing(self._take(pipeline, event)) as events:
                    async for rendered in events:
                        yield rendered

    async def _take(self, pipeline: Pipeline, event: StemEvent) -> AsyncGenerator[Event, None]:
        """Takes note of what the separator sent, and renders what can be rendered with it."""
        match event:
            case StemsQueued(position):
                yield Progress("queued", queue_position=position)
            case StemsStarted(sample_rate_hz, channels, cached, weights_sha256):
                self._stage = "rendering" if cached else "separating"
                pipeline.expect_stems(sample_rate_hz, channels, weights_sha256)
                yield Progress(self._stage)
            case StemsProgress(fraction, eta_seconds):
                if self._stage == "separating":
                    yield Progress("separating", fraction, eta_seconds=eta_seconds)
            case StemBlock(stem, samples):
                await in_thread(pipeline.feed, stem, samples)
                async with aclosing(self._advance(pipeline)) as events:
                    async for rendered in events:
                        yield rendered

    async def _advance(self, pipeline: Pipeline) -> AsyncGenerator[Event, None]:
        """Renders until the pipeline needs more stems or is done."""
        while not pipeline.is_done and pipeline.can_advance:
            for event in await in_thread(pipeline.advance):
                yield event
            now = time.monotonic()
            if self._stage == "rendering" and now - self._last_progress > _PROGRESS_SECONDS:
                self._last_progress = now
                fraction = pipeline.fraction
                eta_seconds = (now - self._began) * (1.0 - fraction) / fraction
                yield Progress("rendering", fraction, eta_seconds=eta_seconds)


async def _comes_soon(coming: asyncio.Future[StemEvent | None]) -> bool:
    """Waits a little for what the separator sends next, and tells whether it is there."""
    done, _ = await asyncio.wait([coming], timeout=_PATIENCE_SECONDS)
    return bool(done)


async def _end(coming: asyncio.Future[StemEvent | None]) -> None:
    """Stops waiting for what the separator sends next, so that its stream can be closed."""
    if not coming.done():
        coming.cancel()
        await asyncio.wait([coming])
    if not coming.cancelled():
        coming.exception()  # taken note of: whoever waits for it gets it

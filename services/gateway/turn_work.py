"""The work on one turn: understand, render, hand out. From wherever it was left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePath

import grpc
import structlog
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.remixer.v1 import remixer_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import (
    INTERPRETER_TIMEOUT_SECONDS,
    Backends,
    error_message,
    is_transient,
    reason_of,
    retry_delay_seconds,
)
from services.gateway.lease import LeasedTurn, duration
from services.gateway.playback import Playback
from services.gateway.renders import RenderAhead, render_request
from services.runtime.interceptors import ServiceUnavailableError

_log = structlog.get_logger("mixdown.gateway.turn")

_RETRY_SECONDS = (0.2, 1.0, 3.0)
"""Pauses before a service that went away is asked again."""

_AUDIO_SUFFIXES = {
    *(".wav", ".wave", ".aif", ".aiff", ".caf", ".flac", ".wv"),
    *(".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus", ".webm", ".mka"),
}
"""What is taken off the name of a track ("Mr. Blue" keeps its dot)."""

_STAGES = {
    remixer_pb2.RenderProgress.STAGE_QUEUED: conversation_pb2.Progress.STAGE_QUEUED,
    remixer_pb2.RenderProgress.STAGE_SEPARATING: conversation_pb2.Progress.STAGE_SEPARATING,
    remixer_pb2.RenderProgress.STAGE_RENDERING: conversation_pb2.Progress.STAGE_RENDERING,
}


class _TurnFailedError(Exception):
    """The turn cannot be done; `error` is what is stored of it."""

    def __init__(self, error: conversation_pb2.Error) -> None:
        super().__init__(error.message)
        self.error = error


class TurnWork:
    """Works on a turn under a lease.

    Args:
        backends: The services that do the work.
        leased: The turn, as ours.
        work: The turn with its session, track and context.
        playback: What is known of the turn, and who listens.
        ahead: A render that was asked for already.
        patience_seconds: How long services that are away or busy are waited for.
        last_attempt: Whether a service that stays away ends the turn.
    """

    def __init__(
        self,
        backends: Backends,
        leased: LeasedTurn,
        work: session_pb2.Work,
        playback: Playback,
        ahead: RenderAhead | None = None,
        *,
        patience_seconds: float,
        last_attempt: bool,
    ) -> None:
        self._interpreter = backends.interpreter
        self._remixer = backends.remixer
        self._leased = leased
        self._work = work
        self._playback = playback
        self._ahead = ahead
        self._patience_seconds = patience_seconds
        self._last_attempt = last_attempt

    async def run(self) -> None:
        """Works until the turn has ended, one way or the other.

        Raises:
            LeaseLostError: the turn is no longer ours.
            ServiceUnavailableError: a service could not be reached; the turn rests and can go on.
        """
        began = time.monotonic()
        async with self._leased.held():
            for event in self._work.events:
                await self._playback.show(event)
            try:
                interpreted = await self._interpret()
                await self._render(interpreted)
            except _TurnFailedError as failure:
                _log.warning("turn_failed", reason=failure.error.reason)
                await self._playback.show(await self._leased.fail(failure.error))
                metrics.count_failed(failure.error)
            else:
                metrics.count_completed(interpreted, time.monotonic() - began)
            finally:
                if self._ahead is not None:
                    self._ahead.drop()

    async def _interpret(self) -> conversation_pb2.Interpreted:
        known = self._playback.log.interpreted
        if known is not None:
            return known
        if self._work.HasField("given"):
            interpretation = self._work.given
        else:
            interpretation = await self._ask_interpreter()
        self._ask_ahead(interpretation)
        try:
            event = await self._leased.record(interpretation)
        except aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            raise _TurnFailedError(error_message(error)) from error
        await self._playback.show(event)
        return event.interpreted

    def _ask_ahead(self, meaning: interpreter_pb2.Interpretation) -> None:
        """Asks for the render while what is meant is stored: both take some time to begin."""
        # What undo and redo lead to is known only when they are stored.
        is_known = meaning.intent.WhichOneof("kind") != "history"
        if self._ahead is None and meaning.outputs and is_known:
            self._ahead = RenderAhead(self._remixer, self._request(meaning))

    async def _ask_interpreter(self) -> interpreter_pb2.Interpretation:
        await self._playback.listener.passing(
            progress=conversation_pb2.Progress(stage=conversation_pb2.Progress.STAGE_INTERPRETING)
        )
        request = interpreter_pb2.InterpretRequest(
            prompt=self._work.turn.prompt, context=self._work.context
        )
        async for attempt in self._attempts():
            with attempt:
                return await self._interpreter.Interpret(
                    request, timeout=INTERPRETER_TIMEOUT_SECONDS
                )
        raise AssertionError("the last attempt returns or raises")

    async def _render(self, interpreted: conversation_pb2.Interpreted) -> None:
        """Renders what is missing, and completes the turn."""
        if not interpreted.outputs:
            await self._complete([], [])
            return
        async for attempt in self._attempts():
            with attempt:
                await self._stream(self._request(interpreted))

    def _request(
        self, meaning: conversation_pb2.Interpreted | interpreter_pb2.Interpretation
    ) -> remixer_pb2.RenderRequest:
        """Returns what is asked of the remixer now."""
        work = self._work
        request = render_request(work.track.blob, work.session.model, meaning, work.turn.format)
        request.offsets_bytes.update(self._playback.offsets_bytes(request.outputs))
        request.background = not self._playback.listener.is_present
        return request

    async def _stream(self, request: remixer_pb2.RenderRequest) -> None:
        """Hands out what the remixer makes, and completes the turn when that has ended."""
        call = (self._ahead and self._ahead.take(request)) or self._remixer.Render(request)
        # What finishes last is stored with the end of the turn, in one call.
        finished: list[conversation_pb2.OutputFinished] = []
        try:
            async for response in call:
                kind = response.WhichOneof("event")
                if kind == "output_finished":
                    finished += self._output_finished(response.output_finished)
                    continue
                if kind == "finished":
                    await self._complete(finished, response.finished.notes)
                    return
                while finished:
                    await self._keep_output(finished.pop(0))
                await self._hand_on(response)
        finally:
            call.cancel()  # does nothing to a call that has ended
        raise _TurnFailedError(
            conversation_pb2.Error(
                code=grpc.StatusCode.INTERNAL.value[0],
                reason="INTERNAL",
                message="The render ended before it was finished.",
            )
        )

    async def _hand_on(self, response: remixer_pb2.RenderResponse) -> None:
        match response.WhichOneof("event"):
            case "progress":
                await self._progress(response.progress)
            case "output_started":
                await self._output_started(response.output_started)
            case "audio":
                audio = response.audio
                await self._playback.listener.audio(audio.name, audio.offset_bytes, audio.data)

    async def _progress(self, progress: remixer_pb2.RenderProgress) -> None:
        await self._playback.listener.passing(
            progress=conversation_pb2.Progress(
                stage=_STAGES.get(progress.stage, conversation_pb2.Progress.STAGE_UNSPECIFIED),
                fraction=progress.fraction,
                queue_position=progress.queue_position,
                eta=duration(progress.eta_seconds) if progress.eta_seconds > 0 else None,
            )
        )

    async def _output_started(self, started: remixer_pb2.OutputStarted) -> None:
        if started.name in self._playback.log.started:  # by whoever worked on this turn before
            return
        event = await self._leased.append(
            output_started=conversation_pb2.OutputStarted(
                name=started.name,
                output=started.output,
                format=started.format,
                sample_rate_hz=started.sample_rate_hz,
                channels=started.channels,
                frames=started.frames,
                size_bytes=started.size_bytes,
                media_type=started.media_type,
                file_name=self._file_name(started.name, started.extension),
            )
        )
        await self._playback.show(event)

    def _output_finished(
        self, finished: remixer_pb2.OutputFinished
    ) -> list[conversation_pb2.OutputFinished]:
        """Returns what is to be stored of an output; nothing where it is."""
        log = self._playback.log
        if finished.name in log.finished:
            return []
        started = log.started[finished.name]
        output = conversation_pb2.OutputFinished(
            artifact=conversation_pb2.Artifact(
                name=finished.name,
                blob=finished.blob,
                media_type=started.media_type,
                file_name=started.file_name,
                clipped_samples=finished.clipped_samples,
            ),
            peak=finished.peak,
            loudness=finished.loudness,
            original_loudness=finished.original_loudness,
            limited_db=finished.limited_db,
        )
        return [output]

    async def _keep_output(self, output: conversation_pb2.OutputFinished) -> None:
        try:
            event = await self._leased.append(output_finished=output)
        except aio.AioRpcError as error:
            if not await self._are_there([output], error):
                raise
            event = await self._leased.append(output_finished=output, blob_checked=True)
        await self._playback.show(event)

    async def _complete(
        self, outputs: Sequence[conversation_pb2.OutputFinished], notes: Sequence[str]
    ) -> None:
        try:
            events = await self._leased.complete(outputs, notes)
        except aio.AioRpcError as error:
            if not await self._are_there(outputs, error):
                raise
            events = await self._leased.complete(outputs, notes, blobs_checked=True)
        for event in events:
            await self._playback.show(event)

    async def _are_there(
        self, outputs: Sequence[conversation_pb2.OutputFinished], error: aio.AioRpcError
    ) -> bool:
        """Tells whether files are there that may have been deleted, as the session service said.

        The remixer found a file of an earlier render that was being deleted. Where it is gone the
        render is asked for again, as after any error that says when to call again.
        """
        if reason_of(error) != "BLOB_GONE":
            return False
        found = [await self._playback.has_blob(output.artifact.blob.sha256) for output in outputs]
        return all(found)

    def _file_name(self, output: str, extension: str) -> str:
        name = PurePath(self._work.track.display_name)
        title = name.stem if name.suffix.lower() in _AUDIO_SUFFIXES else name.name
        return f"{title or 'track'} - {output}.{extension}"

    async def _attempts(self) -> AsyncIterator[_Attempt]:
        """Yields attempts at a call of a service, with pauses, while it is away or busy.

        Raises:
            _TurnFailedError: the service said no.
            ServiceUnavailableError: it stayed away, and the turn may go on later.
        """
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + self._patience_seconds
        pauses = iter(_RETRY_SECONDS)
        while True:
            attempt = _Attempt()
            yield attempt
            error = attempt.error
            if error is None:
                return
            pause = next(pauses, None) if is_transient(error) else retry_delay_seconds(error)
            if pause is None or loop.time() + pause > patience_ends:
                if is_transient(error) and not self._last_attempt:
                    self._leased.last_error = error_message(error)
                    raise ServiceUnavailableError from error
                raise _TurnFailedError(error_message(error)) from error
            metrics.RETRIES.labels(error.code().name).inc()
            _log.info("asking_again", code=error.code().name, pause_seconds=pause)
            await self._playback.listener.passing(
                progress=conversation_pb2.Progress(stage=conversation_pb2.Progress.STAGE_QUEUED)
            )
            await asyncio.sleep(pause)


class _Attempt:
    """One attempt at a call: as a context manager it keeps the error of the called service."""

    def __init__(self) -> None:
        self.error: aio.AioRpcError | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, aio.AioRpcError):
            self.error = error
        return self.error is not None

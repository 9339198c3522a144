"""Drives the session service as a gateway does, with sensible values where a test has no wish."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc import StatusCode, aio
from grpc_status import rpc_status

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix.v1 import intent_pb2, mix_pb2
from mixdown.session.v1 import session_pb2 as pb
from mixdown.session.v1 import session_pb2_grpc
from services.runtime.errors import error_info_of

STEMS = ("vocals", "drums", "bass", "other")


def blob(content: str) -> audio_pb2.Blob:
    return audio_pb2.Blob(
        sha256=hashlib.sha256(content.encode()).hexdigest(), size_bytes=len(content)
    )


def finished(name: str = "mix", content: str = "rendered") -> conversation_pb2.OutputFinished:
    return conversation_pb2.OutputFinished(
        artifact=conversation_pb2.Artifact(
            name=name,
            blob=blob(content),
            media_type="audio/wav",
            file_name=f"song - {name}.wav",
            clipped_samples=3,
        ),
        peak=0.75,
    )


def mix(**gains_db: float) -> mix_pb2.Mix:
    return mix_pb2.Mix(
        targets={target: mix_pb2.TargetSettings(gain_db=gain) for target, gain in gains_db.items()}
    )


def remix(wanted: mix_pb2.Mix, **more: object) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(remix=intent_pb2.Remix()),
        mix=wanted,
        reply="Done.",
        outputs=[mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)],
        engine=interpreter_pb2.ENGINE_BUILTIN,
        **more,
    )


def history(
    action: intent_pb2.History.Action.ValueType, steps: int = 1
) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(history=intent_pb2.History(action=action, steps=steps)),
        outputs=[mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)],
    )


def undo(steps: int = 1) -> interpreter_pb2.Interpretation:
    return history(intent_pb2.History.ACTION_UNDO, steps)


def redo(steps: int = 1) -> interpreter_pb2.Interpretation:
    return history(intent_pb2.History.ACTION_REDO, steps)


def clarification(
    proposal: intent_pb2.Proposal | None = None,
) -> interpreter_pb2.Interpretation:
    reason = intent_pb2.Clarification.REASON_AMBIGUOUS
    return interpreter_pb2.Interpretation(
        intent=intent_pb2.Intent(clarification=intent_pb2.Clarification(reason=reason)),
        mix=mix(vocals=99),  # a clarification leaves the mix, whatever stands here
        reply="Which part do you mean?",
        proposal=proposal,
    )


@asynccontextmanager
async def refused(code: StatusCode, reason: str) -> AsyncIterator[None]:
    """Expects a call to be refused with this code and reason."""
    with pytest.raises(aio.AioRpcError) as caught:
        yield
    info = error_info_of(caught.value)
    assert (caught.value.code(), info.reason, info.domain) == (code, reason, "mixdown")


def quota_failure_of(error: aio.AioRpcError) -> error_details_pb2.QuotaFailure:
    status = rpc_status.from_call(error)
    failure = error_details_pb2.QuotaFailure()
    for detail in status.details if status else ():
        if detail.Unpack(failure):
            return failure
    raise AssertionError("no QuotaFailure")


def retry_info_of(error: aio.AioRpcError) -> error_details_pb2.RetryInfo | None:
    status = rpc_status.from_call(error)
    info = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return info
    return None


class Driver:
    """One user's calls."""

    def __init__(
        self, stub: session_pb2_grpc.SessionServiceAsyncStub, user_id: str = "ada"
    ) -> None:
        self.stub = stub
        self.user_id = user_id

    def of(self, user_id: str) -> Driver:
        return Driver(self.stub, user_id)

    async def track(self, name: str = "song.wav", content: str = "song") -> conversation_pb2.Track:
        upload_id = uuid.uuid4().hex
        await self.stub.BeginUpload(
            pb.BeginUploadRequest(
                user_id=self.user_id,
                upload_id=upload_id,
                display_name=name,
                total_size_bytes=len(content),
            )
        )
        return await self.stub.CreateTrack(
            pb.CreateTrackRequest(
                user_id=self.user_id,
                upload_id=upload_id,
                blob=blob(content),
                audio=audio_pb2.AudioProperties(
                    sample_rate_hz=44100,
                    channels=2,
                    frames=1_000_000,
                    container="wav",
                    codec="pcm_s24le",
                    sample_format=audio_pb2.SAMPLE_FORMAT_INT24,
                    tags={"title": "A song"},
                ),
            )
        )

    async def session(
        self, track: conversation_pb2.Track | None = None, name: str = "", request_id: str = ""
    ) -> conversation_pb2.Session:
        track = track or await self.track()
        return await self.stub.CreateSession(
            pb.CreateSessionRequest(
                user_id=self.user_id,
                track_id=track.track_id,
                display_name=name,
                model="htdemucs",
                stems=STEMS,
                request_id=request_id,
            )
        )

    async def get_session(self, session_id: str) -> conversation_pb2.Session:
        return await self.stub.GetSession(
            pb.GetSessionRequest(user_id=self.user_id, session_id=session_id)
        )

    async def begin(
        self,
        session: conversation_pb2.Session,
        prompt: str = "louder",
        request_id: str = "",
        lease_seconds: int | None = None,
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        waits: bool = False,
        given: interpreter_pb2.Interpretation | None = None,
    ) -> pb.Work:
        return await self.stub.BeginTurn(
            pb.BeginTurnRequest(
                user_id=self.user_id,
                session_id=session.session_id,
                request_id=request_id or uuid.uuid4().hex,
                prompt=prompt,
                holder="test",
                format=audio_pb2.OutputFormat(encoding=encoding),
                lease_duration=None if lease_seconds is None else Duration(seconds=lease_seconds),
                if_busy=(
                    conversation_pb2.IF_BUSY_WAIT if waits else conversation_pb2.IF_BUSY_UNSPECIFIED
                ),
                given=given,
            )
        )

    async def claim(self, turn_id: str) -> pb.Work:
        return await self.stub.ClaimTurn(
            pb.ClaimTurnRequest(user_id=self.user_id, turn_id=turn_id, holder="test")
        )

    async def record(
        self, work: pb.Work, interpretation: interpreter_pb2.Interpretation
    ) -> conversation_pb2.TurnEvent:
        return await self.stub.RecordInterpretation(
            pb.RecordInterpretationRequest(
                turn_id=work.turn.turn_id,
                lease_token=work.lease.token,
                interpretation=interpretation,
            )
        )

    async def output_started(self, work: pb.Work, name: str = "mix") -> conversation_pb2.TurnEvent:
        return await self.stub.AppendEvent(
            pb.AppendEventRequest(
                turn_id=work.turn.turn_id,
                lease_token=work.lease.token,
                output_started=conversation_pb2.OutputStarted(
                    name=name, frames=1_000_000, sample_rate_hz=44100, file_name=f"{name}.wav"
                ),
            )
        )

    async def output_finished(
        self,
        work: pb.Work,
        name: str = "mix",
        content: str = "rendered",
        blob_checked: bool = False,
    ) -> conversation_pb2.TurnEvent:
        return await self.stub.AppendEvent(
            pb.AppendEventRequest(
                turn_id=work.turn.turn_id,
                lease_token=work.lease.token,
                output_finished=finished(name, content),
                blob_checked=blob_checked,
            )
        )

    async def complete(self, work: pb.Work, *notes: str) -> conversation_pb2.TurnEvent:
        (event,) = await self.complete_with(work, notes=notes)
        return event

    async def complete_with(
        self,
        work: pb.Work,
        *outputs: conversation_pb2.OutputFinished,
        notes: Sequence[str] = (),
        blobs_checked: bool = False,
    ) -> Sequence[conversation_pb2.TurnEvent]:
        ended = await self.stub.CompleteTurn(
            pb.CompleteTurnRequest(
                turn_id=work.turn.turn_id,
                lease_token=work.lease.token,
                outputs=outputs,
                notes=notes,
                blobs_checked=blobs_checked,
            )
        )
        return ended.events

    async def fail(self, work: pb.Work, reason: str = "QUEUE_FULL") -> conversation_pb2.TurnEvent:
        return await self.stub.FailTurn(
            pb.FailTurnRequest(
                turn_id=work.turn.turn_id,
                lease_token=work.lease.token,
                error=conversation_pb2.Error(
                    code=StatusCode.RESOURCE_EXHAUSTED.value[0],
                    message="The queue is full.",
                    reason=reason,
                    metadata={"limit": "8"},
                ),
            )
        )

    async def release(self, work: pb.Work, go_on: bool = False) -> None:
        await self.stub.ReleaseTurn(
            pb.ReleaseTurnRequest(
                turn_id=work.turn.turn_id, lease_token=work.lease.token, go_on=go_on
            )
        )

    async def take_over(self) -> pb.Work:
        return await self.stub.ClaimExpiredTurn(pb.ClaimExpiredTurnRequest(holder="sweeper"))

    def watch_line(self, turn_id: str) -> AsyncIterator[pb.PlaceInLine]:
        request = pb.WatchLineRequest(user_id=self.user_id, turn_id=turn_id)
        return aiter(self.stub.WatchLine(request))

    async def places(self, turn_id: str) -> list[int]:
        return [place.turns_ahead async for place in self.watch_line(turn_id)]

    async def renew(self, work: pb.Work) -> pb.Lease:
        return await self.stub.RenewLease(
            pb.RenewLeaseRequest(turn_id=work.turn.turn_id, lease_token=work.lease.token)
        )

    async def cancel(self, turn_id: str) -> conversation_pb2.Turn:
        return await self.stub.CancelTurn(
            pb.CancelTurnRequest(user_id=self.user_id, turn_id=turn_id)
        )

    async def get_turn(self, turn_id: str) -> conversation_pb2.Turn:
        return await self.stub.GetTurn(pb.GetTurnRequest(user_id=self.user_id, turn_id=turn_id))

    async def turn(
        self,
        session: conversation_pb2.Session,
        interpretation: interpreter_pb2.Interpretation,
        prompt: str = "louder",
    ) -> conversation_pb2.Turn:
        """A whole turn, from the prompt to its completion."""
        work = await self.begin(session, prompt)
        await self.record(work, interpretation)
        await self.complete(work)
        return await self.get_turn(work.turn.turn_id)

    async def delete_session(self, session: conversation_pb2.Session) -> None:
        await self.stub.DeleteSession(
            pb.DeleteSessionRequest(user_id=self.user_id, session_id=session.session_id)
        )

    async def delete_track(self, track: conversation_pb2.Track) -> None:
        await self.stub.DeleteTrack(
            pb.DeleteTrackRequest(user_id=self.user_id, track_id=track.track_id)
        )

    async def deletions(self) -> list[audio_pb2.Blob]:
        """Claims what is due, and tells that it is gone."""
        due = await self.stub.ClaimDeletions(pb.ClaimDeletionsRequest())
        names = [*(blob.sha256 for blob in due.blobs), *due.staging_keys]
        await self.stub.ConfirmDeletions(pb.ConfirmDeletionsRequest(names=names))
        return list(due.blobs)

    async def current_mix(self, session: conversation_pb2.Session) -> mix_pb2.Mix:
        return (await self.get_session(session.session_id)).mix

    def watch(self, turn_id: str, after: int = 0) -> AsyncIterator[conversation_pb2.TurnEvent]:
        request = pb.WatchEventsRequest(user_id=self.user_id, turn_id=turn_id, after_sequence=after)
        return aiter(self.stub.WatchEvents(request))

    async def events(self, turn_id: str, after: int = 0) -> list[conversation_pb2.TurnEvent]:
        return [event async for event in self.watch(turn_id, after)]


def kinds(events: Iterable[conversation_pb2.TurnEvent]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]

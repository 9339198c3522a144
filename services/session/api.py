"""Answers the session service's contract: each call is one operation in one transaction."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias

from google.protobuf.empty_pb2 import Empty
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.session import artifacts, deletions, leases, sessions, tracks, turn_reading, turns
from services.session.api_tracks import (
    artifact_to_message,
    blob_from_message,
    blob_to_message,
    new_artifact_from_message,
    session_to_message,
    to_document,
    track_to_message,
    upload_to_message,
)
from services.session.api_turns import (
    duration_from_message,
    event_to_message,
    lease_to_message,
    turn_to_message,
    understanding_from_message,
    work_to_message,
)
from services.session.database import Database
from services.session.errors import InvalidEventError, InvalidFieldMaskError, ShuttingDownError
from services.session.event_signal import EventSignal
from services.session.export import export_session
from services.session.pagination import PageRequest
from services.session.resources import Work

_PIECE_BYTES = 256 << 10
_Context: TypeAlias = aio.ServicerContext[Any, Any]


class SessionService(session_pb2_grpc.SessionServiceServicer):
    """Answers `mixdown.session.v1.SessionService`.

    Args:
        database: Where everything is remembered.
        poll_seconds: How often a watched turn is looked at, for what other replicas store.
        turn_attempts: How often a turn is leased before it fails.
        deletion_grace: How long a file stays after nobody refers to it.
    """

    def __init__(
        self,
        database: Database,
        poll_seconds: float,
        turn_attempts: int = turns.ATTEMPTS,
        deletion_grace: timedelta = deletions.GRACE,
    ) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._turn_attempts = turn_attempts
        self._deletion_grace = deletion_grace
        self._signal = EventSignal()
        self._is_shutting_down = False

    def shut_down(self) -> None:
        """Ends the calls that watch turns; they go on at another replica."""
        self._is_shutting_down = True
        self._signal.notify_all()

    async def BeginUpload(
        self, request: session_pb2.BeginUploadRequest, context: _Context
    ) -> session_pb2.Upload:
        """Begins an upload, or returns it where it exists."""
        upload = await self._database.write(
            tracks.begin_upload,
            user_id=request.user_id,
            upload_id=request.upload_id,
            display_name=request.display_name,
            total_size_bytes=request.total_size_bytes,
        )
        return upload_to_message(upload)

    async def GetUpload(
        self, request: session_pb2.GetUploadRequest, context: _Context
    ) -> session_pb2.Upload:
        """Gets an upload."""
        upload = await self._database.read(
            tracks.get_upload, user_id=request.user_id, upload_id=request.upload_id
        )
        return upload_to_message(upload)

    async def CreateTrack(
        self, request: session_pb2.CreateTrackRequest, context: _Context
    ) -> conversation_pb2.Track:
        """Stores the track of a complete upload."""
        track = await self._database.write(
            tracks.create_track,
            user_id=request.user_id,
            upload_id=request.upload_id,
            blob=blob_from_message(request.blob),
            audio=to_document(request.audio),
            blob_checked=request.blob_checked,
        )
        return track_to_message(track)

    async def GetTrack(
        self, request: session_pb2.GetTrackRequest, context: _Context
    ) -> conversation_pb2.Track:
        """Gets a track."""
        track = await self._database.read(
            tracks.get_track, user_id=request.user_id, track_id=request.track_id
        )
        return track_to_message(track)

    async def ListTracks(
        self, request: session_pb2.ListTracksRequest, context: _Context
    ) -> session_pb2.ListTracksResponse:
        """Lists tracks, newest first."""
        page = await self._database.read(
            tracks.list_tracks,
            user_id=request.user_id,
            page=PageRequest(request.page_size, request.page_token),
        )
        return session_pb2.ListTracksResponse(
            tracks=map(track_to_message, page.items), next_page_token=page.next_page_token
        )

    async def DeleteTrack(
        self, request: session_pb2.DeleteTrackRequest, context: _Context
    ) -> Empty:
        """Deletes a track with its sessions."""
        await self._database.write(
            tracks.delete_track, user_id=request.user_id, track_id=request.track_id
        )
        return Empty()

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Begins a conversation."""
        session = await self._database.write(
            sessions.create_session,
            user_id=request.user_id,
            track_id=request.track_id,
            display_name=request.display_name,
            model=request.model,
            stems=tuple(request.stems),
            request_id=request.request_id,
        )
        return session_to_message(session)

    async def GetSession(
        self, request: session_pb2.GetSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Gets a session."""
        session = await self._database.read(
            sessions.get_session, user_id=request.user_id, session_id=request.session_id
        )
        return session_to_message(session)

    async def ListSessions(
        self, request: session_pb2.ListSessionsRequest, context: _Context
    ) -> session_pb2.ListSessionsResponse:
        """Lists sessions, the last used first."""
        page = await self._database.read(
            sessions.list_sessions,
            user_id=request.user_id,
            track_id=request.track_id,
            page=PageRequest(request.page_size, request.page_token),
        )
        return session_pb2.ListSessionsResponse(
            sessions=map(session_to_message, page.items), next_page_token=page.next_page_token
        )

    async def UpdateSession(
        self, request: session_pb2.UpdateSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Renames a session."""
        if list(request.update_mask.paths) != ["display_name"]:
            raise InvalidFieldMaskError("The update mask must name display_name, and only it.")
        session = await self._database.write(
            sessions.rename_session,
            user_id=request.user_id,
            session_id=request.session.session_id,
            display_name=request.session.display_name,
        )
        return session_to_message(session)

    async def DeleteSession(
        self, request: session_pb2.DeleteSessionRequest, context: _Context
    ) -> Empty:
        """Deletes a session."""
        await self._database.write(
            sessions.delete_session, user_id=request.user_id, session_id=request.session_id
        )
        return Empty()

    async def ExportSession(
        self, request: session_pb2.ExportSessionRequest, context: _Context
    ) -> AsyncIterator[session_pb2.ExportSessionResponse]:
        """Exports a session."""
        document = await self._database.read(
            export_session, user_id=request.user_id, session_id=request.session_id
        )
        for start in range(0, len(document), _PIECE_BYTES):
            yield session_pb2.ExportSessionResponse(json=document[start : start + _PIECE_BYTES])

    async def BeginTurn(
        self, request: session_pb2.BeginTurnRequest, context: _Context
    ) -> session_pb2.Work:
        """Stores a turn and leases it to the caller."""
        work = await self._database.write(
            turns.begin_turn,
            user_id=request.user_id,
            session_id=request.session_id,
            request_id=request.request_id,
            prompt=request.prompt,
            output_format=to_document(request.format),
            holder=request.holder,
            lease_duration=_lease_duration(request),
            attempts=self._turn_attempts,
        )
        return work_to_message(work)

    async def ClaimTurn(
        self, request: session_pb2.ClaimTurnRequest, context: _Context
    ) -> session_pb2.Work:
        """Leases a turn that nobody works on."""
        work = await self._database.write(
            turns.claim_turn,
            user_id=request.user_id,
            turn_id=request.turn_id,
            holder=request.holder,
            lease_duration=_lease_duration(request),
            attempts=self._turn_attempts,
        )
        self._tell_end(work)
        return work_to_message(work)

    async def ClaimExpiredTurn(
        self, request: session_pb2.ClaimExpiredTurnRequest, context: _Context
    ) -> session_pb2.Work:
        """Leases a turn whose holder has died."""
        work = await self._database.write(
            turns.claim_expired_turn,
            holder=request.holder,
            lease_duration=_lease_duration(request),
            attempts=self._turn_attempts,
        )
        if work is None:
            return session_pb2.Work()
        self._tell_end(work)
        return work_to_message(work)

    async def RenewLease(
        self, request: session_pb2.RenewLeaseRequest, context: _Context
    ) -> session_pb2.Lease:
        """Prolongs a lease."""
        lease = await self._database.write(
            leases.renew_lease,
            turn_id=request.turn_id,
            token=request.lease_token,
            duration=_lease_duration(request),
        )
        return lease_to_message(lease)

    async def ReleaseTurn(
        self, request: session_pb2.ReleaseTurnRequest, context: _Context
    ) -> Empty:
        """Gives a lease back."""
        await self._database.write(
            leases.release_turn,
            turn_id=request.turn_id,
            token=request.lease_token,
            error=to_document(request.error) if request.HasField("error") else None,
        )
        self._signal.notify(request.turn_id)
        return Empty()

    async def RecordInterpretation(
        self, request: session_pb2.RecordInterpretationRequest, context: _Context
    ) -> conversation_pb2.TurnEvent:
        """Stores what a prompt means, and the mix that it leads to."""
        event = await self._database.write(
            turns.record_understanding,
            turn_id=request.turn_id,
            token=request.lease_token,
            understanding=understanding_from_message(request.interpretation),
        )
        self._signal.notify(request.turn_id)
        return event_to_message(event)

    async def AppendEvent(
        self, request: session_pb2.AppendEventRequest, context: _Context
    ) -> conversation_pb2.TurnEvent:
        """Stores that an output begins, or that it is complete."""
        match request.WhichOneof("event"):
            case "output_started":
                event = await self._database.write(
                    turns.record_output_started,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    output_name=request.output_started.name,
                    payload=to_document(request.output_started),
                )
            case "output_finished":
                artifact = new_artifact_from_message(request.output_finished.artifact)
                request.output_finished.ClearField("artifact")
                event = await self._database.write(
                    turns.record_output_finished,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    artifact=artifact,
                    details=to_document(request.output_finished),
                    blob_checked=request.blob_checked,
                )
            case _:
                raise InvalidEventError("The event must be set.")
        self._signal.notify(request.turn_id)
        return event_to_message(event)

    async def FinishTurn(
        self, request: session_pb2.FinishTurnRequest, context: _Context
    ) -> conversation_pb2.TurnEvent:
        """Ends a turn."""
        match request.WhichOneof("outcome"):
            case "completed":
                event = await self._database.write(
                    turns.complete_turn,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    notes=tuple(request.completed.notes),
                )
            case "failed":
                event = await self._database.write(
                    turns.fail_turn,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    error=to_document(request.failed.error),
                )
            case _:
                raise InvalidEventError("The outcome must be set.")
        self._signal.notify(request.turn_id)
        return event_to_message(event)

    async def CancelTurn(
        self, request: session_pb2.CancelTurnRequest, context: _Context
    ) -> conversation_pb2.Turn:
        """Cancels a turn and takes its lease away."""
        turn = await self._database.write(
            turns.cancel_turn, user_id=request.user_id, turn_id=request.turn_id
        )
        self._signal.notify(request.turn_id)
        return turn_to_message(turn)

    async def GetTurn(
        self, request: session_pb2.GetTurnRequest, context: _Context
    ) -> conversation_pb2.Turn:
        """Gets a turn."""
        turn = await self._database.read(
            turn_reading.get_turn, user_id=request.user_id, turn_id=request.turn_id
        )
        return turn_to_message(turn)

    async def ListTurns(
        self, request: session_pb2.ListTurnsRequest, context: _Context
    ) -> session_pb2.ListTurnsResponse:
        """Lists the turns of a session, oldest first."""
        page = await self._database.read(
            turn_reading.list_turns,
            user_id=request.user_id,
            session_id=request.session_id,
            page=PageRequest(request.page_size, request.page_token),
        )
        return session_pb2.ListTurnsResponse(
            turns=map(turn_to_message, page.items), next_page_token=page.next_page_token
        )

    async def WatchEvents(
        self, request: session_pb2.WatchEventsRequest, context: _Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Streams the events of a turn until it has ended or nobody works on it."""
        sequence = request.after_sequence
        with self._signal.watching(request.turn_id) as stored:
            while True:
                stored.clear()
                since = await self._database.read(
                    turn_reading.events_since,
                    user_id=request.user_id,
                    turn_id=request.turn_id,
                    after_sequence=sequence,
                )
                for event in since.events:
                    sequence = event.sequence
                    yield event_to_message(event)
                if since.is_over:
                    return
                if self._is_shutting_down:
                    raise ShuttingDownError
                with suppress(TimeoutError):
                    await asyncio.wait_for(stored.wait(), self._poll_seconds)

    async def GetArtifact(
        self, request: session_pb2.GetArtifactRequest, context: _Context
    ) -> conversation_pb2.Artifact:
        """Gets an artifact."""
        artifact = await self._database.read(
            artifacts.get_artifact, user_id=request.user_id, artifact_id=request.artifact_id
        )
        return artifact_to_message(artifact)

    async def ClaimDeletions(
        self, request: session_pb2.ClaimDeletionsRequest, context: _Context
    ) -> session_pb2.Deletions:
        """Hands out deletions."""
        due = await self._database.write(
            deletions.claim_deletions, limit=request.limit, grace=self._deletion_grace
        )
        return session_pb2.Deletions(
            blobs=map(blob_to_message, due.blobs), staging_keys=due.staging_keys
        )

    async def ConfirmDeletions(
        self, request: session_pb2.ConfirmDeletionsRequest, context: _Context
    ) -> Empty:
        """Stores that something is gone."""
        await self._database.write(deletions.confirm_deletions, names=tuple(request.names))
        return Empty()

    async def ReportBlobs(
        self, request: session_pb2.ReportBlobsRequest, context: _Context
    ) -> Empty:
        """Makes deletions of what nobody refers to."""
        await self._database.write(
            deletions.report_blobs, blobs=[blob_from_message(blob) for blob in request.blobs]
        )
        return Empty()

    def _tell_end(self, work: Work) -> None:
        if work.lease is None:
            self._signal.notify(work.turn.turn_id)


def _lease_duration(
    request: session_pb2.BeginTurnRequest
    | session_pb2.ClaimTurnRequest
    | session_pb2.ClaimExpiredTurnRequest
    | session_pb2.RenewLeaseRequest,
) -> timedelta | None:
    if not request.HasField("lease_duration"):
        return None
    return duration_from_message(request.lease_duration)

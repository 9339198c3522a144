"""The calls about uploads and tracks."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.session import tracks
from services.session.api_tracks import (
    blob_from_message,
    to_document,
    track_to_message,
    upload_to_message,
)
from services.session.calls import Calls, Context
from services.session.pagination import PageRequest


class TrackCalls(Calls):
    """Uploads and tracks."""

    async def BeginUpload(
        self, request: session_pb2.BeginUploadRequest, context: Context
    ) -> session_pb2.Upload:
        """Begins an upload, or returns it where it exists."""
        upload = await self._database.write(
            tracks.begin_upload,
            user_id=request.user_id,
            upload_id=request.upload_id,
            display_name=request.display_name,
            total_size_bytes=request.total_size_bytes,
            quotas=self._rules.quotas,
        )
        return upload_to_message(upload)

    async def GetUpload(
        self, request: session_pb2.GetUploadRequest, context: Context
    ) -> session_pb2.Upload:
        """Gets an upload."""
        upload = await self._database.read(
            tracks.get_upload, user_id=request.user_id, upload_id=request.upload_id
        )
        return upload_to_message(upload)

    async def CreateTrack(
        self, request: session_pb2.CreateTrackRequest, context: Context
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
        self, request: session_pb2.GetTrackRequest, context: Context
    ) -> conversation_pb2.Track:
        """Gets a track."""
        track = await self._database.read(
            tracks.get_track, user_id=request.user_id, track_id=request.track_id
        )
        return track_to_message(track)

    async def ListTracks(
        self, request: session_pb2.ListTracksRequest, context: Context
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

    async def DeleteTrack(self, request: session_pb2.DeleteTrackRequest, context: Context) -> Empty:
        """Deletes a track with its sessions."""
        await self._database.write(
            tracks.delete_track, user_id=request.user_id, track_id=request.track_id
        )
        return Empty()

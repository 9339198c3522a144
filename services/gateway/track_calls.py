"""The calls about tracks, uploads included."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf import empty_pb2

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2
from services.gateway.api_uploads import as_upload
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.gateway.calls import Calls, Context


class TrackCalls(Calls):
    """Tracks: uploaded, listed, deleted."""

    async def UploadTrack(
        self,
        request_iterator: AsyncIterator[gateway_pb2.UploadTrackRequest],
        context: Context,
    ) -> conversation_pb2.Track:
        """Receives an upload."""
        return await self._uploads.receive(self._user(context), request_iterator)

    async def UploadTrackFile(
        self,
        request_iterator: AsyncIterator[gateway_pb2.UploadTrackFileRequest],
        context: Context,
    ) -> conversation_pb2.Track:
        """Receives an upload that came as the body of an HTTP request."""
        return await self._uploads.receive(self._user(context), as_upload(request_iterator))

    async def QueryUpload(
        self, request: gateway_pb2.QueryUploadRequest, context: Context
    ) -> gateway_pb2.UploadStatus:
        """Tells how much has arrived."""
        return await self._uploads.query(self._user(context), request.upload_id)

    async def GetTrack(
        self, request: gateway_pb2.GetTrackRequest, context: Context
    ) -> conversation_pb2.Track:
        """Gets a track."""
        return await self._session.GetTrack(
            session_pb2.GetTrackRequest(user_id=self._user(context), track_id=request.track_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ListTracks(
        self, request: gateway_pb2.ListTracksRequest, context: Context
    ) -> gateway_pb2.ListTracksResponse:
        """Lists tracks."""
        page = await self._session.ListTracks(
            session_pb2.ListTracksRequest(
                user_id=self._user(context),
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListTracksResponse(
            tracks=page.tracks, next_page_token=page.next_page_token
        )

    async def DeleteTrack(
        self, request: gateway_pb2.DeleteTrackRequest, context: Context
    ) -> empty_pb2.Empty:
        """Deletes a track and its files."""
        return await self._session.DeleteTrack(
            session_pb2.DeleteTrackRequest(user_id=self._user(context), track_id=request.track_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

"""The calls about sessions, and about what a user uses."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.session import quotas, sessions
from services.session.api_tracks import session_to_message, usage_to_message
from services.session.calls import Calls, Context
from services.session.errors import InvalidFieldMaskError
from services.session.export import export_session
from services.session.pagination import PageRequest

_PIECE_BYTES = 256 << 10


class SessionCalls(Calls):
    """Sessions, and what a user uses."""

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: Context
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
        self, request: session_pb2.GetSessionRequest, context: Context
    ) -> conversation_pb2.Session:
        """Gets a session."""
        session = await self._database.read(
            sessions.get_session, user_id=request.user_id, session_id=request.session_id
        )
        return session_to_message(session)

    async def ListSessions(
        self, request: session_pb2.ListSessionsRequest, context: Context
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
        self, request: session_pb2.UpdateSessionRequest, context: Context
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
        self, request: session_pb2.DeleteSessionRequest, context: Context
    ) -> Empty:
        """Deletes a session."""
        await self._database.write(
            sessions.delete_session, user_id=request.user_id, session_id=request.session_id
        )
        return Empty()

    async def GetUsage(
        self, request: session_pb2.GetUsageRequest, context: Context
    ) -> conversation_pb2.Usage:
        """Tells what a user uses."""
        usage = await self._database.read(quotas.get_usage, user_id=request.user_id)
        return usage_to_message(usage, self._rules.quotas)

    async def ExportSession(
        self, request: session_pb2.ExportSessionRequest, context: Context
    ) -> AsyncIterator[session_pb2.ExportSessionResponse]:
        """Exports a session."""
        document = await self._database.read(
            export_session, user_id=request.user_id, session_id=request.session_id
        )
        for start in range(0, len(document), _PIECE_BYTES):
            yield session_pb2.ExportSessionResponse(json=document[start : start + _PIECE_BYTES])

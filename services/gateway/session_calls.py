"""The calls about sessions, apart from what is said in them."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from google.api import httpbody_pb2
from google.protobuf import empty_pb2

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix.v1 import mix_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import request_rules as rules
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.gateway.calls import Calls, Context


class SessionCalls(Calls):
    """Sessions: begun, listed, renamed, exported, deleted."""

    async def CreateSession(
        self, request: gateway_pb2.CreateSessionRequest, context: Context
    ) -> conversation_pb2.Session:
        """Begins a conversation with a model that exists."""
        user = self._user(context)
        if request.request_id:
            rules.check_request_id(request.request_id)
        name = rules.check_display_name(request.display_name, required=False)
        model = await self._capabilities.choose_model(request.model)
        return await self._session.CreateSession(
            session_pb2.CreateSessionRequest(
                user_id=user,
                track_id=request.track_id,
                display_name=name,
                model=model.name,
                stems=model.stems,
                request_id=request.request_id,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def GetSession(
        self, request: gateway_pb2.GetSessionRequest, context: Context
    ) -> conversation_pb2.Session:
        """Gets a session."""
        return await self._find_session(self._user(context), request.session_id)

    async def ListSessions(
        self, request: gateway_pb2.ListSessionsRequest, context: Context
    ) -> gateway_pb2.ListSessionsResponse:
        """Lists sessions."""
        page = await self._session.ListSessions(
            session_pb2.ListSessionsRequest(
                user_id=self._user(context),
                track_id=request.track_id,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListSessionsResponse(
            sessions=page.sessions, next_page_token=page.next_page_token
        )

    async def UpdateSession(
        self, request: gateway_pb2.UpdateSessionRequest, context: Context
    ) -> conversation_pb2.Session:
        """Renames a session."""
        return await self._session.UpdateSession(
            session_pb2.UpdateSessionRequest(
                user_id=self._user(context),
                session=request.session,
                update_mask=request.update_mask,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def DeleteSession(
        self, request: gateway_pb2.DeleteSessionRequest, context: Context
    ) -> empty_pb2.Empty:
        """Deletes a session and its files."""
        return await self._session.DeleteSession(
            session_pb2.DeleteSessionRequest(
                user_id=self._user(context), session_id=request.session_id
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ExportSession(
        self, request: gateway_pb2.ExportSessionRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Exports a session."""
        pieces = self._session.ExportSession(
            session_pb2.ExportSessionRequest(
                user_id=self._user(context), session_id=request.session_id
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        content_type = "application/json"
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=content_type, data=piece.json)
            content_type = ""

    async def GetMix(self, request: gateway_pb2.GetMixRequest, context: Context) -> mix_pb2.Mix:
        """Gets the mix of a session."""
        session = await self._find_session(self._user(context), request.session_id)
        return session.mix

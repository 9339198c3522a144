"""Answers the gateway's contract; each subject has a file of its own calls."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.gateway.calls import Context
from services.gateway.file_calls import FileCalls
from services.gateway.session_calls import SessionCalls
from services.gateway.track_calls import TrackCalls
from services.gateway.turn_calls import TurnCalls

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name


class GatewayApi(TrackCalls, SessionCalls, TurnCalls, FileCalls):
    """Answers `mixdown.gateway.v1.GatewayService`; of itself what belongs to no other subject."""

    async def GetUsage(
        self, request: gateway_pb2.GetUsageRequest, context: Context
    ) -> conversation_pb2.Usage:
        """Tells what the caller uses."""
        return await self._session.GetUsage(
            session_pb2.GetUsageRequest(user_id=self._user(context)),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def GetCapabilities(
        self, request: gateway_pb2.GetCapabilitiesRequest, context: Context
    ) -> gateway_pb2.Capabilities:
        """Tells what this installation can do."""
        self._user(context)
        return await self._capabilities.tell()

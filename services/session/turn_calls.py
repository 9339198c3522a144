"""The calls about turns, for those who begin and follow them."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.runtime.rpc_tracing import current_trace_parent
from services.session import artifacts, turn_reading, turns
from services.session.api_tracks import artifact_to_message
from services.session.api_turns import (
    event_to_message,
    lease_duration_of,
    order_from_message,
    turn_to_message,
    work_to_message,
)
from services.session.calls import Calls, Context
from services.session.errors import ShuttingDownError
from services.session.pagination import PageRequest


class TurnCalls(Calls):
    """Turns, as they are begun and followed."""

    async def BeginTurn(
        self, request: session_pb2.BeginTurnRequest, context: Context
    ) -> session_pb2.Work:
        """Stores a turn and leases it to the caller."""
        work = await self._database.write(
            turns.begin_turn,
            user_id=request.user_id,
            session_id=request.session_id,
            request_id=request.request_id,
            order=order_from_message(request),
            waits=request.if_busy == conversation_pb2.IF_BUSY_WAIT,
            holder=request.holder,
            lease_duration=lease_duration_of(request),
            trace_parent=current_trace_parent(),
            rules=self._rules,
        )
        return work_to_message(work)

    async def CancelTurn(
        self, request: session_pb2.CancelTurnRequest, context: Context
    ) -> conversation_pb2.Turn:
        """Cancels a turn and takes its lease away."""
        turn = await self._database.write(
            turns.cancel_turn, user_id=request.user_id, turn_id=request.turn_id
        )
        return turn_to_message(turn)

    async def GetTurn(
        self, request: session_pb2.GetTurnRequest, context: Context
    ) -> conversation_pb2.Turn:
        """Gets a turn."""
        turn = await self._database.read(
            turn_reading.get_turn, user_id=request.user_id, turn_id=request.turn_id
        )
        return turn_to_message(turn)

    async def ListTurns(
        self, request: session_pb2.ListTurnsRequest, context: Context
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
        self, request: session_pb2.WatchEventsRequest, context: Context
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
                await self._next_look(stored)

    async def WatchLine(
        self, request: session_pb2.WatchLineRequest, context: Context
    ) -> AsyncIterator[session_pb2.PlaceInLine]:
        """Streams where a turn stands in line."""
        told = 0
        with self._signal.watching(request.turn_id) as stored:
            while True:
                stored.clear()
                ahead = await self._database.read(
                    turn_reading.place_in_line, user_id=request.user_id, turn_id=request.turn_id
                )
                if ahead == 0:
                    return
                if ahead != told:
                    told = ahead
                    yield session_pb2.PlaceInLine(turns_ahead=ahead)
                await self._next_look(stored)

    async def GetArtifact(
        self, request: session_pb2.GetArtifactRequest, context: Context
    ) -> conversation_pb2.Artifact:
        """Gets an artifact."""
        artifact = await self._database.read(
            artifacts.get_artifact, user_id=request.user_id, artifact_id=request.artifact_id
        )
        return artifact_to_message(artifact)

    async def _next_look(self, stored: asyncio.Event) -> None:
        """Waits until it makes sense to look into the database again."""
        if self._is_shutting_down:
            raise ShuttingDownError
        await self._lookout.wait(stored)

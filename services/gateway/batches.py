"""Batches: one prompt for many tracks.

A batch is no resource of its own: it is a session and a turn for each track, whose request ids
follow from the batch's. So it is as durable as turns are, it can be said again, and what is known
of it is known of its turns.
"""

from __future__ import annotations

import asyncio
import hashlib

from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, error_message
from services.gateway.capabilities import ChosenModel
from services.gateway.turns import Turns

_BEGUN_AT_ONCE = 8


class Batch:
    """What is said to each of many tracks.

    Args:
        user: Who says it.
        prompt: What is said.
        form: Format of the outputs.
        model: The model of the sessions.
        request_id: Identifier of all of it.
    """

    def __init__(
        self,
        user: str,
        prompt: str,
        form: audio_pb2.OutputFormat,
        model: ChosenModel,
        request_id: str,
    ) -> None:
        self._user = user
        self._prompt = prompt
        self._format = form
        self._model = model
        self._request_id = request_id

    async def begin(
        self,
        session: session_pb2_grpc.SessionServiceAsyncStub,
        turns: Turns,
        track_ids: list[str],
    ) -> list[gateway_pb2.BatchedTurn]:
        """Begins what is not begun yet; returns what there is for each track, in their order."""
        places = asyncio.Semaphore(_BEGUN_AT_ONCE)

        async def begin_one(track_id: str) -> gateway_pb2.BatchedTurn:
            async with places:
                try:
                    turn = await self._begin_turn(session, turns, track_id)
                except aio.AioRpcError as error:
                    return gateway_pb2.BatchedTurn(track_id=track_id, error=error_message(error))
                return gateway_pb2.BatchedTurn(track_id=track_id, turn=turn)

        return list(await asyncio.gather(*map(begin_one, track_ids)))

    async def _begin_turn(
        self, session: session_pb2_grpc.SessionServiceAsyncStub, turns: Turns, track_id: str
    ) -> conversation_pb2.Turn:
        request_id = self._request_id_for(track_id)
        made = await session.CreateSession(
            session_pb2.CreateSessionRequest(
                user_id=self._user,
                track_id=track_id,
                model=self._model.name,
                stems=self._model.stems,
                request_id=request_id,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return await turns.submit(
            session_pb2.BeginTurnRequest(
                user_id=self._user,
                session_id=made.session_id,
                prompt=self._prompt,
                request_id=request_id,
                format=self._format,
            )
        )

    def _request_id_for(self, track_id: str) -> str:
        # 64 characters, as many as an identifier may have.
        return hashlib.sha256(f"{self._request_id}\n{track_id}".encode()).hexdigest()

"""How this gateway comes to work on a turn: it begins one, or claims one that rests."""

from __future__ import annotations

import asyncio
import socket

import grpc
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, reason_of
from services.gateway.lease import duration, granted

CLAIM_PAUSE_SECONDS = 0.3
"""How long is waited before a turn is asked for again."""


class Claims:
    """Asks the session service for turns with a lease.

    A lease that is granted to a caller who has gone meanwhile is given back.

    Args:
        session: Who grants leases.
        lease_seconds: How long a lease holds without renewal.
    """

    def __init__(
        self, session: session_pb2_grpc.SessionServiceAsyncStub, lease_seconds: float
    ) -> None:
        self._session = session
        self._lease = duration(lease_seconds)
        self._holder = f"gateway@{socket.gethostname()}"

    async def begin(
        self, request: session_pb2.BeginTurnRequest, *, detached: bool
    ) -> session_pb2.Work:
        """Begins a turn, or finds the one with the same request id.

        Args:
            request: The turn; who holds it is filled in.
            detached: Whether the turn goes on without its caller.
        """
        request.holder = self._holder
        request.lease_duration.CopyFrom(self._lease)
        return await granted(
            self._session,
            self._session.BeginTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
            goes_on=detached,
        )

    async def leave_to_others(self, work: session_pb2.Work) -> conversation_pb2.Turn:
        """Gives a turn to whichever gateway has room; returns it as it is then."""
        if work.HasField("lease"):
            await self._session.ReleaseTurn(
                session_pb2.ReleaseTurnRequest(
                    turn_id=work.turn.turn_id, lease_token=work.lease.token, go_on=True
                ),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
            work.turn.state = conversation_pb2.Turn.STATE_PENDING
        return work.turn

    async def claim(self, user: str, turn_id: str, *, detached: bool) -> session_pb2.Work | None:
        """Takes a turn that rests; None where somebody else was faster, or it has ended."""
        request = session_pb2.ClaimTurnRequest(
            user_id=user, turn_id=turn_id, holder=self._holder, lease_duration=self._lease
        )
        try:
            return await granted(
                self._session,
                self._session.ClaimTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
                goes_on=detached,
            )
        except aio.AioRpcError as error:
            if reason_of(error) not in {"TURN_LEASED", "TURN_ENDED"}:
                raise
            if error.code() == grpc.StatusCode.ABORTED:
                await asyncio.sleep(CLAIM_PAUSE_SECONDS)
            return None

    async def claim_any(self) -> session_pb2.Work | None:
        """Takes a turn that nobody works on and somebody must; None where there is none."""
        request = session_pb2.ClaimExpiredTurnRequest(
            holder=self._holder, lease_duration=self._lease
        )
        claimed = await granted(
            self._session,
            self._session.ClaimExpiredTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
            goes_on=True,
        )
        return claimed if claimed.HasField("turn") else None

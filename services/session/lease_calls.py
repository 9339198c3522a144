"""The calls of those who work on turns."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.session import leases, metrics, turn_writing, turns
from services.session.api_tracks import to_document
from services.session.api_turns import (
    event_to_message,
    finished_output_from_message,
    lease_duration_of,
    lease_to_message,
    understanding_from_message,
    work_to_message,
)
from services.session.calls import Calls, Context
from services.session.errors import InvalidEventError


class LeaseCalls(Calls):
    """Turns, as they are worked on."""

    async def ClaimTurn(
        self, request: session_pb2.ClaimTurnRequest, context: Context
    ) -> session_pb2.Work:
        """Leases a turn that nobody works on."""
        work = await self._database.write(
            turns.claim_turn,
            user_id=request.user_id,
            turn_id=request.turn_id,
            holder=request.holder,
            lease_duration=lease_duration_of(request),
            rules=self._rules,
        )
        return work_to_message(work)

    async def ClaimExpiredTurn(
        self, request: session_pb2.ClaimExpiredTurnRequest, context: Context
    ) -> session_pb2.Work:
        """Leases a turn whose holder has died."""
        work = await self._database.write(
            turns.claim_expired_turn,
            holder=request.holder,
            lease_duration=lease_duration_of(request),
            rules=self._rules,
        )
        if work is None:
            return session_pb2.Work()
        metrics.TAKEOVERS.inc()
        return work_to_message(work)

    async def RenewLease(
        self, request: session_pb2.RenewLeaseRequest, context: Context
    ) -> session_pb2.Lease:
        """Prolongs a lease."""
        lease = await self._database.write(
            leases.renew_lease,
            turn_id=request.turn_id,
            token=request.lease_token,
            duration=lease_duration_of(request),
        )
        return lease_to_message(lease)

    async def ReleaseTurn(self, request: session_pb2.ReleaseTurnRequest, context: Context) -> Empty:
        """Gives a lease back."""
        await self._database.write(
            leases.release_turn,
            turn_id=request.turn_id,
            token=request.lease_token,
            error=to_document(request.error) if request.HasField("error") else None,
            go_on=request.go_on,
        )
        return Empty()

    async def RecordInterpretation(
        self, request: session_pb2.RecordInterpretationRequest, context: Context
    ) -> conversation_pb2.TurnEvent:
        """Stores what a prompt means, and the mix that it leads to."""
        event = await self._database.write(
            turn_writing.record_understanding,
            turn_id=request.turn_id,
            token=request.lease_token,
            understanding=understanding_from_message(request.interpretation),
            quotas=self._rules.quotas,
        )
        return event_to_message(event)

    async def AppendEvent(
        self, request: session_pb2.AppendEventRequest, context: Context
    ) -> conversation_pb2.TurnEvent:
        """Stores that an output begins, or that it is complete."""
        match request.WhichOneof("event"):
            case "output_started":
                event = await self._database.write(
                    turn_writing.record_output_started,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    output_name=request.output_started.name,
                    payload=to_document(request.output_started),
                )
            case "output_finished":
                event = await self._database.write(
                    turn_writing.record_output_finished,
                    turn_id=request.turn_id,
                    token=request.lease_token,
                    output=finished_output_from_message(request.output_finished),
                    blob_checked=request.blob_checked,
                    quotas=self._rules.quotas,
                )
            case _:
                raise InvalidEventError("The event must be set.")
        return event_to_message(event)

    async def CompleteTurn(
        self, request: session_pb2.CompleteTurnRequest, context: Context
    ) -> session_pb2.CompleteTurnResponse:
        """Ends a turn that is done, with the outputs that finished last."""
        events = await self._database.write(
            turn_writing.complete_turn,
            turn_id=request.turn_id,
            token=request.lease_token,
            outputs=tuple(map(finished_output_from_message, request.outputs)),
            notes=tuple(request.notes),
            blobs_checked=request.blobs_checked,
            quotas=self._rules.quotas,
        )
        return session_pb2.CompleteTurnResponse(events=map(event_to_message, events))

    async def FailTurn(
        self, request: session_pb2.FailTurnRequest, context: Context
    ) -> conversation_pb2.TurnEvent:
        """Ends a turn that failed."""
        event = await self._database.write(
            turn_writing.fail_turn,
            turn_id=request.turn_id,
            token=request.lease_token,
            error=to_document(request.error),
        )
        return event_to_message(event)

"""The right to work on a turn, and everything that is written with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from google.protobuf import duration_pb2
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, is_transient, reason_of
from services.gateway.errors import LeaseLostError

_log = structlog.get_logger("mixdown.gateway.lease")

_T = TypeVar("_T")

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0
_WATCH_AFTER_SECONDS = 2.0  # most turns have ended by then
_AFTER_ALL_EVENTS = 2**31 - 1


def duration(seconds: float) -> duration_pb2.Duration:
    """Returns seconds as a message."""
    message = duration_pb2.Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


class LeasedTurn:
    """A turn that is ours while the lease holds.

    Inside of `held` the lease is renewed in the background, and it is watched whether another
    replica cancels the turn. The block ends with LeaseLostError as soon as the lease is gone
    (cancelled, taken over, not renewable in time), or `lose` says so.
    Writes carry the lease's fencing token and are idempotent, so those that fail for a moment are
    made again for as long as the lease holds.

    A turn that is given back rests, unless it `goes_on`: then others take it up at once.

    Attributes:
        last_error: What kept us from going on; stored when the lease is given back.
    """

    def __init__(
        self,
        session: session_pb2_grpc.SessionServiceAsyncStub,
        user_id: str,
        turn_id: str,
        token: int,
        lease_seconds: float,
        *,
        goes_on: bool,
    ) -> None:
        self.turn_id = turn_id
        self._user_id = user_id
        self._session = session
        self._token = token
        self._seconds = lease_seconds
        self._goes_on = goes_on
        self._limit: asyncio.Timeout | None = None
        self._lost = False
        self._finished = False
        self.last_error: conversation_pb2.Error | None = None

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keeps the lease while the block runs; gives it back where the turn has not ended."""
        try:
            async with asyncio.timeout(self._seconds) as limit:
                self._limit = limit
                helpers = (
                    asyncio.create_task(self._keep(limit)),
                    asyncio.create_task(self._watch()),
                )
                try:
                    yield
                finally:
                    self._limit = None
                    for helper in helpers:
                        helper.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            self._lost = True
            raise LeaseLostError("The turn is no longer ours.") from None
        except LeaseLostError:
            self._lost = True
            raise
        finally:
            if not (self._lost or self._finished):
                await self._release()

    def lose(self) -> None:
        """Ends the work at once: the lease was taken away."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def record(
        self, interpretation: interpreter_pb2.Interpretation
    ) -> conversation_pb2.TurnEvent:
        """Stores what the prompt was understood to mean."""
        request = session_pb2.RecordInterpretationRequest(
            turn_id=self.turn_id, lease_token=self._token, interpretation=interpretation
        )
        return await self._write(
            lambda: self._session.RecordInterpretation(request, timeout=SESSION_TIMEOUT_SECONDS)
        )

    async def append(
        self,
        *,
        output_started: conversation_pb2.OutputStarted | None = None,
        output_finished: conversation_pb2.OutputFinished | None = None,
        blob_checked: bool = False,
    ) -> conversation_pb2.TurnEvent:
        """Stores the beginning or the end of an output, whose blob may have been looked for."""
        request = session_pb2.AppendEventRequest(
            turn_id=self.turn_id,
            lease_token=self._token,
            blob_checked=blob_checked,
            output_started=output_started,
            output_finished=output_finished,
        )
        return await self._write(
            lambda: self._session.AppendEvent(request, timeout=SESSION_TIMEOUT_SECONDS)
        )

    async def complete(
        self,
        outputs: Sequence[conversation_pb2.OutputFinished],
        notes: Sequence[str],
        *,
        blobs_checked: bool = False,
    ) -> Sequence[conversation_pb2.TurnEvent]:
        """Ends the turn, with the outputs that finished last; returns the events of all of it."""
        request = session_pb2.CompleteTurnRequest(
            turn_id=self.turn_id,
            lease_token=self._token,
            outputs=outputs,
            notes=notes,
            blobs_checked=blobs_checked,
        )
        ended = await self._write(
            lambda: self._session.CompleteTurn(request, timeout=SESSION_TIMEOUT_SECONDS)
        )
        self._finished = True
        return ended.events

    async def fail(self, error: conversation_pb2.Error) -> conversation_pb2.TurnEvent:
        """Ends the turn with an error."""
        request = session_pb2.FailTurnRequest(
            turn_id=self.turn_id, lease_token=self._token, error=error
        )
        event = await self._write(
            lambda: self._session.FailTurn(request, timeout=SESSION_TIMEOUT_SECONDS)
        )
        self._finished = True
        return event

    async def _write(self, call: Callable[[], Awaitable[_T]]) -> _T:
        delay = _FIRST_RETRY_SECONDS
        while True:  # `held` ends this with the lease
            try:
                return await call()
            except aio.AioRpcError as error:
                if reason_of(error) == LeaseLostError.reason:
                    raise LeaseLostError("The turn is no longer ours.") from error
                if not is_transient(error):
                    raise
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LAST_RETRY_SECONDS)

    async def _keep(self, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        request = session_pb2.RenewLeaseRequest(
            turn_id=self.turn_id, lease_token=self._token, lease_duration=duration(self._seconds)
        )
        while True:
            await asyncio.sleep(self._seconds / 3)
            asked = loop.time()
            try:
                await self._write(
                    lambda: self._session.RenewLease(request, timeout=SESSION_TIMEOUT_SECONDS)
                )
            except (LeaseLostError, aio.AioRpcError):
                self.lose()
                return
            if not limit.expired():
                limit.reschedule(asked + self._seconds)

    async def _watch(self) -> None:
        """Ends the work as soon as the turn is cancelled, on whichever replica."""
        await asyncio.sleep(_WATCH_AFTER_SECONDS)
        call = self._session.WatchEvents(
            session_pb2.WatchEventsRequest(
                user_id=self._user_id, turn_id=self.turn_id, after_sequence=_AFTER_ALL_EVENTS
            )
        )
        try:
            async for _ in call:
                pass
            turn = await self._session.GetTurn(
                session_pb2.GetTurnRequest(user_id=self._user_id, turn_id=self.turn_id),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
        except aio.AioRpcError:
            return  # who renews the lease learns of it too, only later
        finally:
            call.cancel()  # does nothing to a call that has ended
        if turn.state == conversation_pb2.Turn.STATE_CANCELLED:
            self.lose()

    async def _release(self) -> None:
        request = session_pb2.ReleaseTurnRequest(
            turn_id=self.turn_id,
            lease_token=self._token,
            error=self.last_error,
            go_on=self._goes_on,
        )
        await _give_back(self._session, request)


async def granted(
    session: session_pb2_grpc.SessionServiceAsyncStub,
    asked: Awaitable[session_pb2.Work],
    *,
    goes_on: bool,
) -> session_pb2.Work:
    """Waits for a turn that was asked for with a lease, so that no lease is lost on its way.

    Where we are cancelled meanwhile, it may have been granted all the same. It is given back then:
    else nobody could go on with the turn until the lease ends.

    Args:
        session: The session service.
        asked: The call that grants the lease.
        goes_on: Whether others take up at once what is given back.

    Raises:
        grpc.aio.AioRpcError: it was not granted.
    """
    asking = asyncio.ensure_future(asked)
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        with contextlib.suppress(aio.AioRpcError):  # then there is nothing to give back
            work = await asking
            if work.HasField("lease"):
                request = session_pb2.ReleaseTurnRequest(
                    turn_id=work.turn.turn_id, lease_token=work.lease.token, go_on=goes_on
                )
                await _give_back(session, request)
        raise


async def let_rest(session: session_pb2_grpc.SessionServiceAsyncStub, turn_id: str) -> None:
    """Lets a turn that waits in line rest when its time has come: nobody asks for it any more."""
    await _give_back(session, session_pb2.ReleaseTurnRequest(turn_id=turn_id))


async def _give_back(
    session: session_pb2_grpc.SessionServiceAsyncStub, request: session_pb2.ReleaseTurnRequest
) -> None:
    try:
        await session.ReleaseTurn(request, timeout=SESSION_TIMEOUT_SECONDS)
    except aio.AioRpcError as error:
        # A lease ends by itself, only later; what waits is carried out though nobody listens.
        _log.info("lease_not_released", turn_id=request.turn_id, code=error.code().name)

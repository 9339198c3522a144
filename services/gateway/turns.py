"""Turns: begun, followed, taken up again, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import structlog
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, Backends, is_transient, reason_of
from services.gateway.errors import LeaseLostError
from services.gateway.files import Files
from services.gateway.lease import LeasedTurn, duration, granted, let_rest
from services.gateway.listener import Listener, Wish
from services.gateway.playback import Playback
from services.gateway.settings import GatewaySettings
from services.gateway.turn_work import TurnWork
from services.runtime import context as request_context
from services.runtime import logs, tracing
from services.runtime.rpc_tracing import link_to

_log = structlog.get_logger("mixdown.gateway.turns")

_CLAIM_PAUSE_SECONDS = 0.3


class TurnStream:
    """The events of a turn, for one reader. Whoever has it must call `leave` in the end."""

    def __init__(
        self,
        listener: Listener,
        task: asyncio.Task[None],
        heartbeat_seconds: float,
        *,
        detached: bool,
    ) -> None:
        self._listener = listener
        self._task = task
        self._heartbeat_seconds = heartbeat_seconds
        self._detached = detached

    async def __aiter__(self) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Yields events until the turn has ended; raises what kept it from going on."""
        while (event := await self._listener.next(self._heartbeat_seconds)) is not None:
            yield event
        await self._task

    def leave(self) -> None:
        """Says that the reader has gone; the work ends too, unless the turn is detached."""
        self._listener.leave()
        if not self._detached:
            self._task.cancel()


class Turns:
    """Runs and follows turns.

    Each stream has a task of its own behind it, which works on the turn or follows whoever does.
    The task ends with its reader, unless the turn is detached.
    """

    def __init__(self, backends: Backends, files: Files, settings: GatewaySettings) -> None:
        self._backends = backends
        self._files = files
        self._settings = settings
        self._holder = f"gateway@{socket.gethostname()}"
        self._tasks: set[asyncio.Task[None]] = set()
        self._ours: dict[str, LeasedTurn] = {}
        self._background = 0
        self._news = asyncio.Event()
        metrics.observe_turns(lambda: len(self._ours))

    def begin(
        self,
        request: session_pb2.BeginTurnRequest,
        wish: Wish,
        *,
        detached: bool = False,
    ) -> TurnStream:
        """Begins a turn, or finds the one with the same request id, and streams its events.

        Args:
            request: The turn; who holds it is filled in.
            wish: What the caller wants.
            detached: Whether the turn goes on when the caller goes away.
        """
        listener = Listener(wish)
        request.holder = self._holder
        request.lease_duration.CopyFrom(duration(self._settings.lease_seconds))

        async def work() -> None:
            begun = await self._granted(
                self._backends.session.BeginTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
                detached=detached,
            )
            listener.turn_id = begun.turn.turn_id
            await self._follow(request.user_id, listener, begun, detached=detached)

        return self._stream(listener, work, detached=detached)

    async def submit(self, request: session_pb2.BeginTurnRequest) -> conversation_pb2.Turn:
        """Begins a turn that nobody waits for, or finds it; whichever gateway has room works on it.

        Args:
            request: The turn; who holds it is filled in.
        """
        request.holder = self._holder
        request.lease_duration.CopyFrom(duration(self._settings.lease_seconds))
        begun = await self._granted(
            self._backends.session.BeginTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
            detached=True,
        )
        if begun.HasField("lease"):
            await self._backends.session.ReleaseTurn(
                session_pb2.ReleaseTurnRequest(
                    turn_id=begun.turn.turn_id, lease_token=begun.lease.token, go_on=True
                ),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
            begun.turn.state = conversation_pb2.Turn.STATE_PENDING
            self._news.set()
        return begun.turn

    def watch(self, user: str, turn_id: str, wish: Wish) -> TurnStream:
        """Streams a turn's events, and goes on with it where nobody else does."""
        listener = Listener(wish, turn_id)

        async def work() -> None:
            await self._follow(user, listener, None, detached=False)

        return self._stream(listener, work, detached=False)

    async def cancel(self, user: str, turn_id: str) -> conversation_pb2.Turn:
        """Cancels a turn, wherever it is worked on."""
        turn = await self._backends.session.CancelTurn(
            session_pb2.CancelTurnRequest(user_id=user, turn_id=turn_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        if turn.state == conversation_pb2.Turn.STATE_CANCELLED:
            metrics.count_cancelled()
        if turn.state == conversation_pb2.Turn.STATE_CANCELLED and turn_id in self._ours:
            self._ours[turn_id].lose()  # other replicas notice when they renew or write
        return turn

    async def take_over(self) -> None:
        """Goes on with turns that nobody works on and somebody must, until it is cancelled.

        Those are the turns of gateways that have died, and those that were submitted. Only a few
        are taken at a time: the others wait for us, or for gateways with more room.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._settings.takeover_seconds)
            self._news.clear()
            try:
                while self._background < self._settings.background_turns:
                    if not await self._take_over_one():
                        break
            except aio.AioRpcError as error:
                if not is_transient(error):
                    raise
                _log.info("nothing_taken_over", code=error.code().name)

    async def _take_over_one(self) -> bool:
        request = session_pb2.ClaimExpiredTurnRequest(
            holder=self._holder, lease_duration=duration(self._settings.lease_seconds)
        )
        claimed = await self._granted(
            self._backends.session.ClaimExpiredTurn(request, timeout=SESSION_TIMEOUT_SECONDS),
            detached=True,
        )
        if not claimed.HasField("turn"):
            return False
        if claimed.HasField("lease"):
            metrics.TAKEOVERS.inc()
            _log.info("turn_taken_over", turn_id=claimed.turn.turn_id)
            listener = Listener(Wish(audio=False), claimed.turn.turn_id)
            listener.leave()  # nobody has asked for it
            self._background += 1
            self._stream(listener, lambda: self._go_on(claimed, listener), detached=True)
        return True

    async def _go_on(self, claimed: session_pb2.Work, listener: Listener) -> None:
        """Works on a turn in the background."""
        try:
            await self._follow(claimed.user_id, listener, claimed, detached=True)
        finally:
            self._background -= 1
            self._news.set()  # there is room for another

    async def drain(self, seconds: float) -> None:
        """Lets detached turns end for so long, then lets go of them; others take them up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stream(
        self, listener: Listener, work: Callable[[], Awaitable[None]], *, detached: bool
    ) -> TurnStream:
        task = asyncio.create_task(self._run(listener, work))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return TurnStream(listener, task, self._settings.heartbeat_seconds, detached=detached)

    async def _run(self, listener: Listener, work: Callable[[], Awaitable[None]]) -> None:
        # The reader's deadline ends its stream; the work then ends in good order, in its own time.
        request_context.deadline.set(None)
        try:
            with tracing.span("turn", root=True):  # it may outlive the call that began it
                await work()
        finally:
            await listener.end()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A reader that is still there gets it too; without one this is its only trace.
            _log.info("turn_interrupted", error=repr(error))

    async def _follow(
        self,
        user: str,
        listener: Listener,
        work: session_pb2.Work | None,
        *,
        detached: bool,
    ) -> None:
        """Works on a turn, or follows whoever does, until the turn has ended."""
        playback = Playback(self._files, listener)
        logs.bind(turn_id=listener.turn_id)
        request_context.forward(turn_id=listener.turn_id)
        while not playback.log.ended:
            if work is not None and work.HasField("lease"):
                try:
                    await self._work(work, playback, detached=detached)
                except LeaseLostError:
                    _log.info("lease_lost")
                work = None
                continue
            await self._follow_stored(user, playback)
            if not playback.log.ended:
                work = await self._claim(user, listener.turn_id, detached=detached)
                if work is not None and work.turn.state == conversation_pb2.Turn.STATE_WAITING:
                    await self._wait_in_line(user, listener, detached=detached)

    async def _work(
        self,
        work: session_pb2.Work,
        playback: Playback,
        *,
        detached: bool,
    ) -> None:
        turn_id = work.turn.turn_id
        leased = LeasedTurn(
            self._backends.session,
            work.user_id,
            turn_id,
            work.lease.token,
            self._settings.lease_seconds,
            goes_on=detached,
        )
        self._ours[turn_id] = leased
        link_to(work.trace_parent)
        try:
            with metrics.working():
                await TurnWork(
                    self._backends,
                    leased,
                    work,
                    playback,
                    patience_seconds=self._settings.patience_seconds,
                    last_attempt=detached
                    or work.turn.attempt_count >= self._settings.turn_attempts,
                ).run()
        finally:
            if self._ours.get(turn_id) is leased:
                del self._ours[turn_id]

    async def _follow_stored(self, user: str, playback: Playback) -> None:
        """Shows what is stored and what others store, until the turn or their lease ends."""
        call = self._backends.session.WatchEvents(
            session_pb2.WatchEventsRequest(
                user_id=user,
                turn_id=playback.listener.turn_id,
                after_sequence=playback.log.sequence,
            )
        )
        try:
            async for event in call:
                await playback.show(event)
        except aio.AioRpcError as error:
            if reason_of(error) != "SHUTTING_DOWN":
                raise
            await asyncio.sleep(_CLAIM_PAUSE_SECONDS)  # then another replica is asked
        finally:
            call.cancel()  # does nothing to a call that has ended

    async def _wait_in_line(self, user: str, listener: Listener, *, detached: bool) -> None:
        """Waits until the turns before this one have ended, and tells how many there are."""
        call = self._backends.session.WatchLine(
            session_pb2.WatchLineRequest(user_id=user, turn_id=listener.turn_id)
        )
        try:
            async for place in call:
                await listener.passing(
                    progress=conversation_pb2.Progress(
                        stage=conversation_pb2.Progress.STAGE_WAITING,
                        queue_position=place.turns_ahead,
                    )
                )
        except aio.AioRpcError as error:
            if not is_transient(error):
                raise
            await asyncio.sleep(_CLAIM_PAUSE_SECONDS)  # then another replica is asked
        except asyncio.CancelledError:
            if not detached:
                await let_rest(self._backends.session, listener.turn_id)
            raise
        finally:
            call.cancel()  # does nothing to a call that has ended

    async def _granted(
        self, asked: Awaitable[session_pb2.Work], *, detached: bool
    ) -> session_pb2.Work:
        return await granted(self._backends.session, asked, goes_on=detached)

    async def _claim(self, user: str, turn_id: str, *, detached: bool) -> session_pb2.Work | None:
        """Takes a turn that rests; None where somebody else was faster, or it has ended."""
        try:
            return await self._granted(
                self._backends.session.ClaimTurn(
                    session_pb2.ClaimTurnRequest(
                        user_id=user,
                        turn_id=turn_id,
                        holder=self._holder,
                        lease_duration=duration(self._settings.lease_seconds),
                    ),
                    timeout=SESSION_TIMEOUT_SECONDS,
                ),
                detached=detached,
            )
        except aio.AioRpcError as error:
            if reason_of(error) not in {"TURN_LEASED", "TURN_ENDED"}:
                raise
            if error.code() == grpc.StatusCode.ABORTED:
                await asyncio.sleep(_CLAIM_PAUSE_SECONDS)
            return None

"""Turns: begun, followed, taken up again, cancelled; a task and a stream for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, Backends, is_transient
from services.gateway.claims import Claims
from services.gateway.files import Files
from services.gateway.following import Following
from services.gateway.listener import Listener, Wish
from services.gateway.renders import Renders
from services.gateway.settings import GatewaySettings
from services.runtime import context as request_context
from services.runtime import tracing

_log = structlog.get_logger("mixdown.gateway.turns")


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
        self._settings = settings
        self._claims = Claims(backends.session, settings.lease_seconds)
        self._renders = Renders(backends.remixer)
        self._following = Following(backends, files, settings, self._claims)
        self._tasks: set[asyncio.Task[None]] = set()
        self._background = 0
        self._news = asyncio.Event()
        metrics.observe_turns(lambda: self._following.working_count)

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

        async def work() -> None:
            ahead = self._renders.ask_ahead(request)
            try:
                begun = await self._claims.begin(request, detached=detached)
                if ahead is not None and not begun.HasField("lease"):
                    ahead.drop()  # it has ended, or others work on it
                self._renders.learn(begun)
                listener.turn_id = begun.turn.turn_id
                await self._following.follow(
                    request.user_id, listener, begun, ahead, detached=detached
                )
            finally:
                if ahead is not None:
                    ahead.drop()

        return self._stream(listener, work, detached=detached)

    async def submit(self, request: session_pb2.BeginTurnRequest) -> conversation_pb2.Turn:
        """Begins a turn that nobody waits for, or finds it; whichever gateway has room works on it.

        Args:
            request: The turn; who holds it is filled in.
        """
        begun = await self._claims.begin(request, detached=True)
        turn = await self._claims.leave_to_others(begun)
        self._news.set()
        return turn

    def watch(self, user: str, turn_id: str, wish: Wish) -> TurnStream:
        """Streams a turn's events, and goes on with it where nobody else does."""
        listener = Listener(wish, turn_id)

        async def work() -> None:
            await self._following.follow(user, listener, None, detached=False)

        return self._stream(listener, work, detached=False)

    async def cancel(self, user: str, turn_id: str) -> conversation_pb2.Turn:
        """Cancels a turn, wherever it is worked on."""
        turn = await self._backends.session.CancelTurn(
            session_pb2.CancelTurnRequest(user_id=user, turn_id=turn_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        if turn.state == conversation_pb2.Turn.STATE_CANCELLED:
            metrics.count_cancelled()
            self._following.lose(turn_id)  # other replicas notice when they renew or write
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
        claimed = await self._claims.claim_any()
        if claimed is None:
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
            await self._following.follow(claimed.user_id, listener, claimed, detached=True)
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

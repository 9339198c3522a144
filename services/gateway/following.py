"""A turn followed to its end: worked on where it is ours, else watched where others have it."""

from __future__ import annotations

import asyncio

import structlog
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import Backends, is_transient, reason_of
from services.gateway.claims import CLAIM_PAUSE_SECONDS, Claims
from services.gateway.errors import LeaseLostError
from services.gateway.files import Files
from services.gateway.lease import LeasedTurn, let_rest
from services.gateway.listener import Listener
from services.gateway.playback import Playback
from services.gateway.renders import RenderAhead
from services.gateway.settings import GatewaySettings
from services.gateway.turn_work import TurnWork
from services.runtime import context as request_context
from services.runtime import logs
from services.runtime.rpc_tracing import link_to

_log = structlog.get_logger("mixdown.gateway.turns")


class Following:
    """Follows turns, and works on those that are ours.

    Args:
        backends: The services that do the work.
        files: Where complete outputs are read.
        settings: How long leases hold, and how often a turn is tried.
        claims: Takes turns that rest.
    """

    def __init__(
        self, backends: Backends, files: Files, settings: GatewaySettings, claims: Claims
    ) -> None:
        self._backends = backends
        self._files = files
        self._settings = settings
        self._claims = claims
        self._ours: dict[str, LeasedTurn] = {}

    @property
    def working_count(self) -> int:
        """How many turns are worked on here."""
        return len(self._ours)

    def lose(self, turn_id: str) -> None:
        """Ends the work on a turn that was cancelled, if it is ours."""
        if turn_id in self._ours:
            self._ours[turn_id].lose()

    async def follow(
        self,
        user: str,
        listener: Listener,
        work: session_pb2.Work | None,
        ahead: RenderAhead | None = None,
        *,
        detached: bool,
    ) -> None:
        """Works on a turn, or follows whoever does, until the turn has ended.

        Args:
            user: Whose turn it is.
            listener: Who follows it.
            work: The turn where it is known already, with a lease where it is ours.
            ahead: A render that was asked for already.
            detached: Whether the turn goes on without its caller.
        """
        playback = Playback(self._files, listener)
        logs.bind(turn_id=listener.turn_id)
        request_context.forward(turn_id=listener.turn_id)
        while not playback.log.ended:
            if work is not None and work.HasField("lease"):
                try:
                    await self._work(work, playback, ahead, detached=detached)
                except LeaseLostError:
                    _log.info("lease_lost")
                work = None
                continue
            await self._follow_stored(user, playback)
            if not playback.log.ended:
                work = await self._claims.claim(user, listener.turn_id, detached=detached)
                if work is not None and work.turn.state == conversation_pb2.Turn.STATE_WAITING:
                    await self._wait_in_line(user, listener, detached=detached)

    async def _work(
        self,
        work: session_pb2.Work,
        playback: Playback,
        ahead: RenderAhead | None,
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
                    ahead,
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
            await asyncio.sleep(CLAIM_PAUSE_SECONDS)  # then another replica is asked
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
            await asyncio.sleep(CLAIM_PAUSE_SECONDS)  # then another replica is asked
        except asyncio.CancelledError:
            if not detached:
                await let_rest(self._backends.session, listener.turn_id)
            raise
        finally:
            call.cancel()  # does nothing to a call that has ended

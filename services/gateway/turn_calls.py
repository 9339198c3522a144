"""The calls about turns: asked for in words or as data, followed, cancelled."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix.protobuf import mix_to_message
from mixdown.session.v1 import session_pb2
from services.gateway import metrics, wordless
from services.gateway import request_rules as rules
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.gateway.batches import Batch
from services.gateway.calls import Calls, Context
from services.gateway.listener import Wish
from services.gateway.turns import TurnStream

_NewTurn = gateway_pb2.ConverseRequest | gateway_pb2.RenderRequest | gateway_pb2.SeparateRequest


class TurnCalls(Calls):
    """Turns: begun, followed, listed, cancelled."""

    async def Converse(
        self, request: gateway_pb2.ConverseRequest, context: Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Says something to the track."""
        begin = self._beginning(request, context)
        begin.prompt = rules.check_prompt(request.prompt, self._settings.prompt_limit_characters)
        async for event in self._begun(begin, request, context):
            yield event

    async def ConverseBatch(
        self, request: gateway_pb2.ConverseBatchRequest, context: Context
    ) -> gateway_pb2.ConverseBatchResponse:
        """Says something to many tracks."""
        track_ids = list(rules.check_tracks(request.track_ids))
        request_id = rules.check_request_id(request.request_id)
        batch = Batch(
            self._user(context),
            rules.check_prompt(request.prompt, self._settings.prompt_limit_characters),
            rules.check_format(request.format),
            await self._capabilities.choose_model(request.model),
            request_id,
        )
        turns = await batch.begin(self._session, self._turns, track_ids)
        return gateway_pb2.ConverseBatchResponse(turns=turns, request_id=request_id)

    async def WatchTurn(
        self, request: gateway_pb2.WatchTurnRequest, context: Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Goes on with a turn."""
        wish = _wish(
            request.delivery,
            after_sequence=request.after_sequence,
            offsets_bytes=rules.check_offsets(dict(request.offsets_bytes)),
        )
        stream = self._turns.watch(self._user(context), request.turn_id, wish)
        async for event in _read(stream, context, is_new=False):
            yield event

    async def Render(
        self, request: gateway_pb2.RenderRequest, context: Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Renders a mix given as data."""
        begin = self._beginning(request, context)
        stems = await self._stems.of(begin.user_id, request.session_id)
        mix = rules.check_mix(request.mix, stems)
        outputs = rules.check_outputs(list(request.outputs), stems)
        begin.given.CopyFrom(wordless.remix(mix_to_message(mix), outputs))
        async for event in self._begun(begin, request, context):
            yield event

    async def Separate(
        self, request: gateway_pb2.SeparateRequest, context: Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Hands out stems given as data."""
        begin = self._beginning(request, context)
        stems = await self._stems.of(begin.user_id, request.session_id)
        outputs = rules.check_separation(request.stems, request.without, stems)
        begin.given.CopyFrom(wordless.separation(request.stems, request.without, outputs))
        async for event in self._begun(begin, request, context):
            yield event

    async def CancelTurn(
        self, request: gateway_pb2.CancelTurnRequest, context: Context
    ) -> conversation_pb2.Turn:
        """Cancels a turn."""
        return await self._turns.cancel(self._user(context), request.turn_id)

    async def GetTurn(
        self, request: gateway_pb2.GetTurnRequest, context: Context
    ) -> conversation_pb2.Turn:
        """Gets a turn."""
        return await self._session.GetTurn(
            session_pb2.GetTurnRequest(user_id=self._user(context), turn_id=request.turn_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ListTurns(
        self, request: gateway_pb2.ListTurnsRequest, context: Context
    ) -> gateway_pb2.ListTurnsResponse:
        """Lists the turns of a session."""
        page = await self._session.ListTurns(
            session_pb2.ListTurnsRequest(
                user_id=self._user(context),
                session_id=request.session_id,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListTurnsResponse(turns=page.turns, next_page_token=page.next_page_token)

    def _beginning(self, request: _NewTurn, context: Context) -> session_pb2.BeginTurnRequest:
        """Returns what begins a turn, but for what is said in it."""
        return session_pb2.BeginTurnRequest(
            user_id=self._user(context),
            session_id=request.session_id,
            request_id=rules.check_request_id(request.request_id),
            format=rules.check_format(request.format),
            if_busy=request.if_busy,
        )

    def _begun(
        self, begin: session_pb2.BeginTurnRequest, request: _NewTurn, context: Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Begins a turn and follows it."""
        wish = _wish(request.delivery)
        return _read(self._turns.begin(begin, wish, detached=request.detached), context)


def _wish(
    delivery: gateway_pb2.Delivery.ValueType,
    after_sequence: int = 0,
    offsets_bytes: dict[str, int] | None = None,
) -> Wish:
    return Wish(
        after_sequence=after_sequence,
        offsets_bytes=offsets_bytes or {},
        audio=delivery != gateway_pb2.DELIVERY_EVENTS_ONLY,
    )


async def _read(
    stream: TurnStream, context: Context, *, is_new: bool = True
) -> AsyncIterator[conversation_pb2.TurnEvent]:
    watch = metrics.StreamWatch(is_new=is_new)

    def leave(_: object) -> None:
        stream.leave()
        watch.end()

    # However the call ends, and wherever its handler waits then: the work learns of it.
    # (The stubs of grpc name a class where any callable is meant.)
    context.add_done_callback(cast("Any", leave))
    async for event in stream:
        watch.see(event)
        yield event

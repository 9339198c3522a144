"""Translates turns, their events and what was understood to the contract and back."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix import Mix, MixError
from mixdown.mix.protobuf import mix_from_message, mix_to_message
from mixdown.mix.v1 import intent_pb2, mix_pb2
from mixdown.session.v1 import session_pb2
from services.session.api_tracks import (
    artifact_to_message,
    from_document,
    new_artifact_from_message,
    proposal_to_message,
    session_to_message,
    time_to_message,
    to_document,
    track_to_message,
)
from services.session.errors import MixSettingOutOfRangeError
from services.session.mix_history import MixChange, Replace, Walk
from services.session.resources import Context, Lease, Turn, TurnEvent, Work
from services.session.tables import Document
from services.session.turn_writing import FinishedOutput, Understanding
from services.session.turns import Order

_STATES: dict[str, conversation_pb2.Turn.State.ValueType] = {
    "waiting": conversation_pb2.Turn.STATE_WAITING,
    "pending": conversation_pb2.Turn.STATE_PENDING,
    "running": conversation_pb2.Turn.STATE_RUNNING,
    "completed": conversation_pb2.Turn.STATE_COMPLETED,
    "failed": conversation_pb2.Turn.STATE_FAILED,
    "cancelled": conversation_pb2.Turn.STATE_CANCELLED,
}
_ENGINES = {
    interpreter_pb2.ENGINE_BUILTIN: "builtin",
    interpreter_pb2.ENGINE_OPENAI: "openai",
}


def duration_from_message(message: Duration) -> timedelta:
    """Reads a duration."""
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def lease_duration_of(
    request: session_pb2.BeginTurnRequest
    | session_pb2.ClaimTurnRequest
    | session_pb2.ClaimExpiredTurnRequest
    | session_pb2.RenewLeaseRequest,
) -> timedelta | None:
    """Reads how long a lease is to hold; None where that is not said."""
    if not request.HasField("lease_duration"):
        return None
    return duration_from_message(request.lease_duration)


def order_from_message(message: session_pb2.BeginTurnRequest) -> Order:
    """Reads what a new turn is to do.

    Raises:
        MixSettingOutOfRangeError: it has a mix that cannot be read.
    """
    is_given = message.HasField("given")
    return Order(
        prompt=message.prompt,
        output_format=to_document(message.format),
        given=to_document(message.given) if is_given else None,
        meaning=understanding_from_message(message.given) if is_given else None,
    )


def understanding_from_message(message: interpreter_pb2.Interpretation) -> Understanding:
    """Reads an interpretation. Raises MixSettingOutOfRangeError for a mix that cannot be read."""
    return Understanding(
        intent=to_document(message.intent) if message.HasField("intent") else None,
        change=_change_from_message(message),
        reply=message.reply,
        proposal=to_document(message.proposal) if message.HasField("proposal") else None,
        targets=tuple(message.targets),
        outputs=tuple(to_document(output) for output in message.outputs),
        engine=_ENGINES.get(message.engine, "none"),
        confidence=message.confidence,
    )


def _change_from_message(message: interpreter_pb2.Interpretation) -> MixChange:
    match message.intent.WhichOneof("kind"):
        case "separation" | "clarification":
            return None
        case "history" if message.intent.history.action == intent_pb2.History.ACTION_UNDO:
            return Walk(-max(1, message.intent.history.steps))
        case "history" if message.intent.history.action == intent_pb2.History.ACTION_REDO:
            return Walk(max(1, message.intent.history.steps))
        case _:  # a remix, a reset, or a mix given as data, without an intent
            try:
                return Replace(mix_from_message(message.mix))
            except MixError as error:
                raise MixSettingOutOfRangeError(str(error)) from error


def finished_output_from_message(message: conversation_pb2.OutputFinished) -> FinishedOutput:
    """Reads an output that is complete; takes the artifact out of the message."""
    artifact = new_artifact_from_message(message.artifact)
    message.ClearField("artifact")
    return FinishedOutput(artifact, to_document(message))


def turn_to_message(turn: Turn) -> conversation_pb2.Turn:
    """Writes a turn."""
    return conversation_pb2.Turn(
        turn_id=turn.turn_id,
        session_id=turn.session_id,
        request_id=turn.request_id,
        ordinal=turn.ordinal,
        prompt=turn.prompt,
        state=_STATES[turn.state],
        intent=_intent_to_message(turn.intent),
        reply=turn.reply,
        mix=None if turn.mix is None else mix_to_message(turn.mix),
        proposal=proposal_to_message(turn.proposal),
        targets=turn.targets,
        artifacts=[artifact_to_message(artifact) for artifact in turn.artifacts],
        error=(None if turn.error is None else from_document(turn.error, conversation_pb2.Error())),
        create_time=time_to_message(turn.create_time),
        end_time=None if turn.end_time is None else time_to_message(turn.end_time),
        outputs=[from_document(output, mix_pb2.Output()) for output in turn.outputs],
        format=from_document(turn.format, audio_pb2.OutputFormat()),
        attempt_count=turn.attempt_count,
    )


def event_to_message(event: TurnEvent) -> conversation_pb2.TurnEvent:
    """Writes an event."""
    message = conversation_pb2.TurnEvent(
        turn_id=event.turn_id,
        sequence=event.sequence,
        create_time=time_to_message(event.create_time),
    )
    body = getattr(message, event.kind)
    body.SetInParent()  # an event without content, such as `cancelled`, is set all the same
    payload = dict(event.payload)
    mix = payload.pop("mix", None)
    from_document(payload, body)
    if mix is not None:
        body.mix.CopyFrom(mix_to_message(Mix.from_dict(mix)))
    return message


def lease_to_message(lease: Lease) -> session_pb2.Lease:
    """Writes a lease."""
    return session_pb2.Lease(token=lease.token, expire_time=time_to_message(lease.expire_time))


def work_to_message(work: Work) -> session_pb2.Work:
    """Writes a turn with all that is needed to work on it."""
    track = track_to_message(work.track)
    track_seconds = track.audio.frames / max(track.audio.sample_rate_hz, 1)
    return session_pb2.Work(
        user_id=work.user_id,
        turn=turn_to_message(work.turn),
        lease=None if work.lease is None else lease_to_message(work.lease),
        session=session_to_message(work.session),
        track=track,
        context=None if work.context is None else _context_to_message(work.context, track_seconds),
        events=[event_to_message(event) for event in work.events],
        given=(
            None
            if work.given is None
            else from_document(work.given, interpreter_pb2.Interpretation())
        ),
        trace_parent=work.trace_parent,
    )


def _context_to_message(context: Context, track_seconds: float) -> interpreter_pb2.Context:
    return interpreter_pb2.Context(
        mix=mix_to_message(context.mix),
        history=[
            interpreter_pb2.Exchange(
                prompt=exchange.prompt,
                intent=_intent_to_message(exchange.intent),
                targets=exchange.targets,
                reply=exchange.reply,
            )
            for exchange in context.history
        ],
        proposal=proposal_to_message(context.proposal),
        stems=context.stems,
        undo_mixes=[mix_to_message(mix) for mix in context.undo_mixes],
        redo_mixes=[mix_to_message(mix) for mix in context.redo_mixes],
        track_seconds=track_seconds,
    )


def _intent_to_message(intent: Document | None) -> intent_pb2.Intent | None:
    return None if intent is None else from_document(intent, intent_pb2.Intent())

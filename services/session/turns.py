"""Turns: durable, idempotent work.

A turn is stored before anything is done for it and ends exactly once. Its change of the mix and its
proposal take effect with its completion: a turn that fails or is cancelled leaves the conversation
as it was. A session has at most one unfinished turn; the database holds that too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import grpc
from sqlmodel import col, select

from mixdown.mix import Mix
from services.session import events, leases
from services.session.artifacts import store_artifact
from services.session.database import Transaction
from services.session.errors import (
    InvalidEventError,
    RequestIdConflictError,
    TurnEndedError,
    TurnInProgressError,
    TurnLeasedError,
)
from services.session.mix_history import MixChange
from services.session.mixes import apply_change, load_mixes
from services.session.names import check_request_id
from services.session.resources import Lease, NewArtifact, Turn, TurnEvent, Work
from services.session.sessions import lock_session, to_session
from services.session.tables import UNFINISHED, Document, SessionRow, TrackRow, TurnRow
from services.session.tracks import to_track
from services.session.turn_reading import load_context, to_turn

ATTEMPTS = 20
"""How often a turn is leased before it fails."""


@dataclass(frozen=True)
class Understanding:
    """What a prompt was understood to mean.

    Args:
        intent: The intent; None for a turn without words.
        change: What happens to the mix.
        reply: The answer to the user.
        proposal: What a plain "yes" would carry out.
        targets: Targets that the turn touches or speaks of.
        outputs: Files to render.
        engine: Which engine understood it.
        confidence: How sure it was, 0 to 1.
    """

    intent: Document | None
    change: MixChange
    reply: str
    proposal: Document | None
    targets: tuple[str, ...]
    outputs: tuple[Document, ...]
    engine: str
    confidence: float


def begin_turn(
    transaction: Transaction,
    *,
    user_id: str,
    session_id: str,
    request_id: str,
    prompt: str,
    output_format: Document,
    holder: str,
    lease_duration: timedelta | None,
    attempts: int = ATTEMPTS,
) -> Work:
    """Stores a turn and leases it; said again, returns the same turn.

    An earlier turn that is unfinished and that nobody works on is cancelled: who speaks anew has
    given it up, and a session is never stuck.

    Raises:
        SessionNotFoundError: there is no such session.
        InvalidRequestIdError: the request id is empty or too long.
        RequestIdConflictError: the request id was used with another prompt or format.
        TurnInProgressError: somebody works on another turn of the session.
    """
    check_request_id(request_id)
    duration = leases.check_duration(lease_duration)
    session = lock_session(transaction, user_id, session_id)
    turn = transaction.rows.exec(
        select(TurnRow).where(
            col(TurnRow.session_id) == session_id, col(TurnRow.request_id) == request_id
        )
    ).first()
    if turn is None:
        _supersede(transaction, session)
        turn = _new_turn(transaction, session, request_id, prompt, output_format)
    elif (turn.prompt, turn.output_format) != (prompt, output_format):
        raise RequestIdConflictError(request_id)
    lease = None
    if turn.state == UNFINISHED and not leases.is_held(transaction, turn):
        lease = _grant(transaction, turn, holder, duration, attempts)
    return _work(transaction, session, turn, lease)


def claim_turn(
    transaction: Transaction,
    *,
    user_id: str,
    turn_id: str,
    holder: str,
    lease_duration: timedelta | None,
    attempts: int = ATTEMPTS,
) -> Work:
    """Leases a turn that nobody works on; one that was leased too often fails instead.

    Raises:
        TurnNotFoundError: there is no such turn.
        TurnEndedError: the turn has ended.
        TurnLeasedError: somebody works on it.
    """
    duration = leases.check_duration(lease_duration)
    session, turn = leases.lock_turn(transaction, turn_id, user_id)
    if turn.state != UNFINISHED:
        raise TurnEndedError(turn_id)
    if leases.is_held(transaction, turn):
        raise TurnLeasedError(turn_id)
    lease = _grant(transaction, turn, holder, duration, attempts)
    return _work(transaction, session, turn, lease)


def claim_expired_turn(
    transaction: Transaction,
    *,
    holder: str,
    lease_duration: timedelta | None,
    attempts: int = ATTEMPTS,
) -> Work | None:
    """Leases any turn whose holder has died; None where there is none.

    A turn that was given back rests until somebody asks for it: only leases that ran out count.
    Many may ask at once: each gets another turn.
    """
    duration = leases.check_duration(lease_duration)
    found = transaction.rows.exec(
        select(SessionRow, TurnRow)
        .join(TurnRow, col(TurnRow.session_id) == col(SessionRow.session_id))
        .where(col(TurnRow.state) == UNFINISHED, col(TurnRow.lease_expire_time) <= transaction.now)
        .order_by(col(TurnRow.lease_expire_time))
        .limit(1)
        # The session's row is the lock of its turns.
        .with_for_update(of=SessionRow, skip_locked=True)
    ).first()
    if found is None:
        return None
    session, turn = found
    transaction.rows.refresh(turn)
    if turn.state != UNFINISHED or leases.is_held(transaction, turn):
        return None  # somebody was faster
    lease = _grant(transaction, turn, holder, duration, attempts)
    return _work(transaction, session, turn, lease)


def record_understanding(
    transaction: Transaction, *, turn_id: str, token: int, understanding: Understanding
) -> TurnEvent:
    """Stores what a prompt means, and the mix that it leads to; said again, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        UnknownMixTargetError: the new mix names a target that the session's model does not have.
        MixSettingOutOfRangeError: a setting of the new mix is out of its range.
    """
    session, turn = leases.require(transaction, turn_id, token)
    if stored := events.find(transaction, turn_id, "interpreted"):
        return stored
    line = apply_change(transaction, session, understanding.change)
    turn.interpret_time = transaction.now
    turn.intent = understanding.intent
    turn.reply = understanding.reply
    turn.mix_id, turn.redo_tip_mix_id = line.current, line.tip
    turn.proposal = understanding.proposal
    turn.targets = list(understanding.targets)
    turn.outputs = list(understanding.outputs)
    mix = load_mixes(transaction, [line.current])[line.current]
    payload = _interpreted_payload(understanding, mix)
    return events.append(transaction, turn_id, "interpreted", payload)


def record_output_started(
    transaction: Transaction, *, turn_id: str, token: int, output_name: str, payload: Document
) -> TurnEvent:
    """Stores that an output begins; said again for the same output, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the output has no name.
    """
    leases.require(transaction, turn_id, token)
    _check_output_name(output_name)
    stored = events.find(transaction, turn_id, "output_started", output_name)
    return stored or events.append(transaction, turn_id, "output_started", payload, output_name)


def record_output_finished(
    transaction: Transaction,
    *,
    turn_id: str,
    token: int,
    artifact: NewArtifact,
    details: Document,
    blob_checked: bool = False,
) -> TurnEvent:
    """Stores an artifact and that it is complete; said again, returns what is stored.

    Args:
        transaction: The transaction.
        turn_id: The turn.
        token: The fencing token.
        artifact: The file.
        details: The rest of the event's message: everything but the artifact.
        blob_checked: Whether the caller has seen the blob in the store since it was refused.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the output has no name.
        BlobLeavingError: the blob is being deleted right now.
        BlobGoneError: the blob was deleted lately, and is not `blob_checked`.
    """
    leases.require(transaction, turn_id, token)
    _check_output_name(artifact.name)
    if stored := events.find(transaction, turn_id, "output_finished", artifact.name):
        return stored
    document = store_artifact(transaction, turn_id, artifact, blob_checked=blob_checked)
    payload = {**details, "artifact": document}
    return events.append(transaction, turn_id, "output_finished", payload, artifact.name)


def complete_turn(
    transaction: Transaction, *, turn_id: str, token: int, notes: tuple[str, ...]
) -> TurnEvent:
    """Ends a turn that is done; said again by the same lease, returns what is stored.

    The turn's mix and proposal become the session's.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the turn was not understood yet.
    """
    if stored := _ended_before(transaction, turn_id, token, "completed"):
        return stored
    session, turn = leases.require(transaction, turn_id, token)
    if turn.interpret_time is None:
        raise InvalidEventError("A turn cannot be completed before it is interpreted.")
    session.mix_id, session.redo_tip_mix_id = turn.mix_id, turn.redo_tip_mix_id
    session.proposal = turn.proposal
    seconds = max(0.0, (transaction.now - turn.create_time).total_seconds())
    payload = {"duration": f"{seconds:.6f}s", "notes": list(notes)}
    return _end(transaction, turn, "completed", payload)


def fail_turn(transaction: Transaction, *, turn_id: str, token: int, error: Document) -> TurnEvent:
    """Ends a turn with an error; said again by the same lease, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
    """
    if stored := _ended_before(transaction, turn_id, token, "failed"):
        return stored
    _, turn = leases.require(transaction, turn_id, token)
    return _end(transaction, turn, "failed", {"error": error}, error)


def cancel_turn(transaction: Transaction, *, user_id: str, turn_id: str) -> Turn:
    """Cancels a turn and takes its lease away; a turn that has ended stays as it is.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    _, turn = leases.lock_turn(transaction, turn_id, user_id)
    if turn.state == UNFINISHED:
        _end(transaction, turn, "cancelled", {})
    return to_turn(transaction, turn)


def _grant(
    transaction: Transaction, turn: TurnRow, holder: str, duration: timedelta, attempts: int
) -> Lease | None:
    """Leases a turn; ends it as failed, and returns None, where it was leased too often."""
    if turn.attempt_count < attempts:
        return leases.grant(transaction, turn, holder, duration)
    error = turn.last_error or {
        "code": grpc.StatusCode.ABORTED.value[0],
        "reason": "TURN_ATTEMPTS_EXHAUSTED",
        "message": "This turn was begun again and again, and never came to its end.",
        "metadata": {"attempts": str(turn.attempt_count)},
    }
    _end(transaction, turn, "failed", {"error": error}, error)
    return None


def _supersede(transaction: Transaction, session: SessionRow) -> None:
    unfinished = transaction.rows.exec(
        select(TurnRow).where(
            col(TurnRow.session_id) == session.session_id, col(TurnRow.state) == UNFINISHED
        )
    ).first()
    if unfinished is None:
        return
    if leases.is_held(transaction, unfinished):
        raise TurnInProgressError(unfinished.turn_id)
    _end(transaction, unfinished, "cancelled", {})


def _new_turn(
    transaction: Transaction,
    session: SessionRow,
    request_id: str,
    prompt: str,
    output_format: Document,
) -> TurnRow:
    session.turn_count += 1
    session.update_time = transaction.now
    turn = TurnRow(
        session_id=session.session_id,
        request_id=request_id,
        ordinal=session.turn_count,
        prompt=prompt,
        output_format=output_format,
        create_time=transaction.now,
    )
    transaction.rows.add(turn)
    transaction.rows.flush()
    accepted = {"session_id": session.session_id, "ordinal": turn.ordinal}
    events.append(transaction, turn.turn_id, "accepted", accepted)
    return turn


def _check_output_name(name: str) -> None:
    if not name:
        raise InvalidEventError("An output must have a name.")


def _ended_before(
    transaction: Transaction, turn_id: str, token: int, outcome: Literal["completed", "failed"]
) -> TurnEvent | None:
    # A caller that lost the answer asks again; it must not take its own success for a lost lease.
    _, turn = leases.lock_turn(transaction, turn_id)
    return events.find(transaction, turn_id, outcome) if turn.lease_token == token else None


def _end(
    transaction: Transaction,
    turn: TurnRow,
    outcome: Literal["completed", "failed", "cancelled"],
    payload: Document,
    error: Document | None = None,
) -> TurnEvent:
    turn.state = outcome
    turn.end_time = transaction.now
    turn.error = error
    turn.lease_expire_time = None
    return events.append(transaction, turn.turn_id, outcome, payload)


def _interpreted_payload(understanding: Understanding, mix: Mix) -> Document:
    payload: Document = {
        "reply": understanding.reply,
        "mix": mix.to_dict(),
        "outputs": list(understanding.outputs),
        "engine": understanding.engine,
        "confidence": understanding.confidence,
    }
    if understanding.intent is not None:
        payload["intent"] = understanding.intent
    if understanding.proposal is not None:
        payload["proposal"] = understanding.proposal
    return payload


def _work(
    transaction: Transaction, session: SessionRow, turn: TurnRow, lease: Lease | None
) -> Work:
    transaction.rows.flush()
    track = transaction.rows.get_one(TrackRow, session.track_id)
    return Work(
        user_id=session.user_id,
        turn=to_turn(transaction, turn),
        lease=lease,
        session=to_session(transaction, session),
        track=to_track(track),
        context=load_context(transaction, session) if turn.state == UNFINISHED else None,
        events=events.list_after(transaction, turn.turn_id, 0),
    )

"""Turns: durable, idempotent work, begun, claimed and cancelled.

A turn is stored before anything is done for it and ends exactly once. A session has at most one
unfinished turn; the database holds that too. Others are refused or wait in line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import grpc
from sqlalchemy import bindparam, or_
from sqlmodel import col, select

from services.session import events, leases, quotas, turn_line, turn_writing
from services.session.columns import new_id
from services.session.database import Transaction
from services.session.errors import (
    RequestIdConflictError,
    TurnEndedError,
    TurnInProgressError,
    TurnLeasedError,
)
from services.session.names import check_request_id
from services.session.quotas import Quotas
from services.session.resources import Lease, Turn, TurnEvent, Work
from services.session.sessions import lock_session, to_session
from services.session.tables import (
    UNFINISHED,
    WAITING,
    Document,
    SessionRow,
    TrackRow,
    TurnRow,
)
from services.session.tracks import to_track
from services.session.turn_reading import load_context, to_turn
from services.session.turn_writing import Understanding

ATTEMPTS = 20
"""How often a turn is leased before it fails."""

_FIRST_CLAIM = timedelta(seconds=2)
"""A turn whose time has come is left so long to whoever has waited with it."""


_SAME_AND_OPEN = (
    select(TurnRow)
    .where(
        col(TurnRow.session_id) == bindparam("session_id"),
        or_(
            col(TurnRow.request_id) == bindparam("request_id"),
            col(TurnRow.state).in_((UNFINISHED, WAITING)),
        ),
    )
    .order_by(col(TurnRow.ordinal))
)


@dataclass(frozen=True)
class TurnRules:
    """The rules of an installation.

    Args:
        attempts: How often a turn is leased before it fails.
        line_limit: How many turns of one session may wait.
        quotas: What one user may use.
    """

    attempts: int = ATTEMPTS
    line_limit: int = turn_line.LIMIT
    quotas: Quotas = quotas.UNLIMITED


DEFAULT_RULES = TurnRules()


@dataclass(frozen=True)
class Order:
    """What a new turn is to do.

    Args:
        prompt: What is said; empty for a turn without words.
        output_format: Format of the outputs.
        given: The interpretation of a turn without words.
        meaning: The same, as it is stored with the turn.
    """

    prompt: str
    output_format: Document
    given: Document | None = None
    meaning: Understanding | None = field(default=None, compare=False)


def begin_turn(
    transaction: Transaction,
    *,
    user_id: str,
    session_id: str,
    request_id: str,
    order: Order,
    waits: bool,
    holder: str,
    lease_duration: timedelta | None,
    trace_parent: str = "",
    rules: TurnRules = DEFAULT_RULES,
) -> Work:
    """Stores a turn, and leases it or lets it wait in line; said again, returns the same turn.

    Where the turn does not wait, an earlier one that is unfinished and that nobody works on is
    cancelled: who speaks anew has given it up, and a session is never stuck. Where it waits, that
    one is finished before it.

    Args:
        transaction: The transaction.
        user_id: The user.
        session_id: The session.
        request_id: The caller's identifier of the turn.
        order: What is to be done.
        waits: Whether the turn waits where another is worked on.
        holder: Who asks for the lease.
        lease_duration: How long the lease holds; None means 30 s.
        trace_parent: The trace that a new turn belongs to, as W3C `traceparent`.
        rules: The rules of this installation.

    Raises:
        SessionNotFoundError: there is no such session.
        InvalidRequestIdError: the request id is empty or too long.
        RequestIdConflictError: the request id was used with another order.
        TurnInProgressError: somebody works on another turn of the session, or others wait.
        TurnLineFullError: too many turns of the session wait.
        TurnQuotaError: too many turns of the user run or wait.
        AudioQuotaError: the user's minutes of the day are used up.
    """
    check_request_id(request_id)
    duration = leases.check_duration(lease_duration)
    session = lock_session(transaction, user_id, session_id)
    found = _same_and_open(transaction, session_id, request_id)
    turn = next((row for row in found if row.request_id == request_id), None)
    if turn is None:
        turn = _new_turn(session, request_id, order, transaction)
        turn.trace_parent = trace_parent
        _queue(transaction, turn, found, waits, rules)
        return _first_work(transaction, session, turn, order.meaning, holder, duration, rules)
    if Order(turn.prompt, turn.output_format, turn.given) != order:
        raise RequestIdConflictError(request_id)
    return _claim(transaction, session, turn, holder, duration, rules)


def claim_turn(
    transaction: Transaction,
    *,
    user_id: str,
    turn_id: str,
    holder: str,
    lease_duration: timedelta | None,
    rules: TurnRules = DEFAULT_RULES,
) -> Work:
    """Leases a turn that nobody works on; one that was leased too often fails instead.

    A turn that waits comes without a lease, and is carried out when its time has come.

    Raises:
        TurnNotFoundError: there is no such turn.
        TurnEndedError: the turn has ended.
        TurnLeasedError: somebody works on it.
        TurnQuotaError: it rested, and too many turns of the user run or wait.
    """
    duration = leases.check_duration(lease_duration)
    session, turn = leases.lock_turn(transaction, turn_id, user_id)
    if turn.state not in {UNFINISHED, WAITING}:
        raise TurnEndedError(turn_id)
    if leases.is_held(transaction, turn):
        raise TurnLeasedError(turn_id)
    return _claim(transaction, session, turn, holder, duration, rules)


def claim_expired_turn(
    transaction: Transaction,
    *,
    holder: str,
    lease_duration: timedelta | None,
    rules: TurnRules = DEFAULT_RULES,
) -> Work | None:
    """Leases any turn whose holder has died; None where there is none.

    A turn that was given back rests until somebody asks for it: only leases that ran out count.
    Many may ask at once: each gets another turn.
    """
    duration = leases.check_duration(lease_duration)
    found = transaction.rows.exec(
        select(SessionRow, TurnRow)
        .join(TurnRow, col(TurnRow.session_id) == col(SessionRow.session_id))
        .where(
            col(TurnRow.state) == UNFINISHED,
            col(TurnRow.lease_expire_time) <= transaction.now,
            or_(
                col(TurnRow.attempt_count) > 0,
                col(TurnRow.lease_expire_time) <= transaction.now - _FIRST_CLAIM,
            ),
        )
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
    return _claim(transaction, session, turn, holder, duration, rules)


def cancel_turn(transaction: Transaction, *, user_id: str, turn_id: str) -> Turn:
    """Cancels a turn and takes its lease away; a turn that has ended stays as it is.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    _, turn = leases.lock_turn(transaction, turn_id, user_id)
    if turn.state in {UNFINISHED, WAITING}:
        turn_line.end(transaction, turn, "cancelled", {})
    return to_turn(transaction, turn)


def _same_and_open(transaction: Transaction, session_id: str, request_id: str) -> Sequence[TurnRow]:
    """Returns the turn with a request id and those that have not ended, in order."""
    return transaction.rows.exec(
        _SAME_AND_OPEN, params={"session_id": session_id, "request_id": request_id}
    ).all()


def _new_turn(
    session: SessionRow, request_id: str, order: Order, transaction: Transaction
) -> TurnRow:
    session.turn_count += 1
    session.update_time = transaction.now
    return TurnRow(
        turn_id=new_id(),
        session_id=session.session_id,
        request_id=request_id,
        ordinal=session.turn_count,
        prompt=order.prompt,
        output_format=order.output_format,
        given=order.given,
        create_time=transaction.now,
    )


def _queue(
    transaction: Transaction,
    turn: TurnRow,
    before: Sequence[TurnRow],
    waits: bool,
    rules: TurnRules,
) -> None:
    """Decides what a new turn does where others have not ended."""
    if not before:
        return
    if waits:
        turn_line.join(transaction, turn, before, rules.line_limit)
        return
    if len(before) > 1 or leases.is_held(transaction, before[0]):
        raise TurnInProgressError(before[0].turn_id)
    turn_line.end(transaction, before[0], "cancelled", {})


def _first_work(
    transaction: Transaction,
    session: SessionRow,
    turn: TurnRow,
    meaning: Understanding | None,
    holder: str,
    duration: timedelta,
    rules: TurnRules,
) -> Work:
    waits = turn.state == WAITING
    lease = None if waits else leases.grant(transaction, turn, holder, duration)
    transaction.rows.add(turn)
    quotas.check_turns(transaction, session.user_id, rules.quotas)
    quotas.check_audio(transaction, session.user_id, rules.quotas)
    accepted = events.append(
        transaction,
        turn.turn_id,
        "accepted",
        {"session_id": session.session_id, "ordinal": turn.ordinal},
    )
    interpreted: tuple[TurnEvent, ...] = ()
    if meaning is not None and not waits:  # who waits means it of the mix as it will be then
        interpreted = turn_writing.record_at_once(transaction, session, turn, meaning, rules.quotas)
    return Work(
        user_id=session.user_id,
        turn=to_turn(transaction, turn, is_new=True),
        lease=lease,
        session=to_session(transaction, session),
        track=to_track(transaction.rows.get_one(TrackRow, session.track_id)),
        context=None if waits or interpreted else load_context(transaction, session),
        events=(accepted, *interpreted),
        given=turn.given,
        trace_parent=turn.trace_parent,
    )


def _claim(
    transaction: Transaction,
    session: SessionRow,
    turn: TurnRow,
    holder: str,
    duration: timedelta,
    rules: TurnRules,
) -> Work:
    """Leases a turn if it can be leased, and returns it as it is then."""
    lease = None
    rested = turn.lease_expire_time is None and turn.end_time is None
    if turn.state == WAITING:
        turn_line.want(transaction, turn)
    elif turn.state == UNFINISHED and not leases.is_held(transaction, turn):
        lease = _grant(transaction, turn, holder, duration, rules.attempts)
    transaction.rows.flush()
    if rested:
        quotas.check_turns(transaction, session.user_id, rules.quotas)
    return Work(
        user_id=session.user_id,
        turn=to_turn(transaction, turn),
        lease=lease,
        session=to_session(transaction, session),
        track=to_track(transaction.rows.get_one(TrackRow, session.track_id)),
        context=load_context(transaction, session) if turn.state == UNFINISHED else None,
        events=events.list_after(transaction, turn.turn_id, 0),
        given=turn.given,
        trace_parent=turn.trace_parent,
    )


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
    turn_line.end(transaction, turn, "failed", {"error": error}, error)
    return None

"""The line of a session's turns: one at a time, the others in order of arrival.

A session has at most one *unfinished* turn, whose time has come; those that came later and chose to
wait are *waiting*. When the unfinished turn ends, the first of them becomes the unfinished one. It
is not leased by that: whoever follows it claims it, and where nobody does, because its gateway has
died, it is found like any turn whose lease has run out. A turn that nobody wants any more rests; it
is found too as soon as others wait behind it, so that a line always moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import bindparam, func
from sqlmodel import col, select

from services.session import events, quotas
from services.session.database import Transaction
from services.session.errors import TurnLineFullError
from services.session.resources import TurnEvent
from services.session.tables import UNFINISHED, WAITING, Document, TurnRow

LIMIT = 8
"""Turns of one session that may wait at once."""


_FIRST_WAITING = (
    select(TurnRow)
    .where(col(TurnRow.session_id) == bindparam("session_id"), col(TurnRow.state) == WAITING)
    .order_by(col(TurnRow.ordinal))
    .limit(1)
)


def join(transaction: Transaction, turn: TurnRow, before: Sequence[TurnRow], limit: int) -> None:
    """Lets a new turn wait behind those that have not ended, the unfinished one first.

    Raises:
        TurnLineFullError: too many wait already.
    """
    if len(before) > limit:
        raise TurnLineFullError(limit)
    turn.state = WAITING
    want(transaction, turn)
    if before[0].lease_expire_time is None:
        wake(transaction, before[0])


def want(transaction: Transaction, turn: TurnRow) -> None:
    """Remembers that somebody asks for a turn that waits."""
    turn.lease_expire_time = transaction.now


def rest(transaction: Transaction, turn: TurnRow) -> None:
    """Lets a turn rest, unless others wait behind it."""
    if turn.state == UNFINISHED and _first_waiting(transaction, turn.session_id) is not None:
        wake(transaction, turn)
    else:
        turn.lease_expire_time = None


def wake(transaction: Transaction, turn: TurnRow) -> None:
    """Makes a turn that nobody holds one that anybody may take over at once."""
    turn.lease_token += 1  # whoever held it before writes no more
    turn.lease_expire_time = transaction.now
    transaction.touch(turn.turn_id)


def end(
    transaction: Transaction,
    turn: TurnRow,
    outcome: Literal["completed", "failed", "cancelled"],
    payload: Document,
    error: Document | None = None,
) -> TurnEvent:
    """Ends a turn, whose session the caller has locked; the next one in line begins."""
    was_waiting = turn.state == WAITING
    if outcome == "failed":
        quotas.return_audio(transaction, turn)
    turn.state = outcome
    turn.end_time = transaction.now
    turn.error = error
    turn.lease_expire_time = None
    if was_waiting:
        _tell_line(transaction, turn.session_id)
    else:
        _advance(transaction, turn.session_id)
    return events.append(transaction, turn.turn_id, outcome, payload)


def turns_ahead(transaction: Transaction, turn: TurnRow) -> int:
    """Returns how many turns come before a turn; 0 where it need not wait."""
    if turn.state != WAITING:
        return 0
    return transaction.rows.exec(
        select(func.count())
        .select_from(TurnRow)
        .where(
            col(TurnRow.session_id) == turn.session_id,
            col(TurnRow.state).in_((UNFINISHED, WAITING)),
            col(TurnRow.ordinal) < turn.ordinal,
        )
    ).one()


def _advance(transaction: Transaction, session_id: str) -> None:
    following = _first_waiting(transaction, session_id)
    if following is None:
        return
    transaction.rows.flush()  # the one before has ended: there is one unfinished turn at any time
    following.state = UNFINISHED
    transaction.rows.flush()
    if following.lease_expire_time is not None:
        following.lease_expire_time = transaction.now
    else:
        rest(transaction, following)
    transaction.touch(following.turn_id)
    _tell_line(transaction, session_id)


def _first_waiting(transaction: Transaction, session_id: str) -> TurnRow | None:
    with transaction.rows.no_autoflush:
        return transaction.rows.exec(_FIRST_WAITING, params={"session_id": session_id}).first()


def _tell_line(transaction: Transaction, session_id: str) -> None:
    """Tells those who wait that something has changed before them."""
    waiting = transaction.rows.exec(
        select(TurnRow.turn_id).where(
            col(TurnRow.session_id) == session_id, col(TurnRow.state) == WAITING
        )
    )
    for turn_id in waiting:
        transaction.touch(turn_id)

"""Leases: who may work on a turn.

A lease is a fencing token and a time. The token grows with every lease of the turn, and a write
counts only with the newest one, so a worker that was thought dead and comes back cannot spoil the
work of its successor. The time says when others may take the turn; a holder that is late but was
not replaced keeps its lease.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import bindparam
from sqlmodel import col, select

from services.session import turn_line
from services.session.database import Transaction
from services.session.errors import InvalidLeaseDurationError, LeaseLostError, TurnNotFoundError
from services.session.resources import Lease
from services.session.tables import UNFINISHED, Document, SessionRow, TurnRow

DEFAULT_DURATION = timedelta(seconds=30)
MIN_DURATION = timedelta(seconds=5)
MAX_DURATION = timedelta(seconds=300)


_SESSION_OF_TURN = (
    select(SessionRow)
    .where(
        col(SessionRow.session_id)
        == select(TurnRow.session_id)
        .where(col(TurnRow.turn_id) == bindparam("turn_id"))
        .scalar_subquery()
    )
    .with_for_update(of=SessionRow)
    .execution_options(populate_existing=True)
)
_SESSION_OF_USERS_TURN = _SESSION_OF_TURN.where(col(SessionRow.user_id) == bindparam("user_id"))


def check_duration(duration: timedelta | None) -> timedelta:
    """Returns how long a lease holds without renewal; None means 30 s.

    Raises:
        InvalidLeaseDurationError: it is not 5 to 300 s.
    """
    if duration is None:
        return DEFAULT_DURATION
    if not MIN_DURATION <= duration <= MAX_DURATION:
        raise InvalidLeaseDurationError(
            "A lease holds 5 to 300 seconds.",
            metadata={"seconds": f"{duration.total_seconds():g}"},
        )
    return duration


def is_held(transaction: Transaction, turn: TurnRow) -> bool:
    """Returns whether somebody works on a turn."""
    return (
        turn.state == UNFINISHED
        and turn.lease_expire_time is not None
        and turn.lease_expire_time > transaction.now
    )


def grant(transaction: Transaction, turn: TurnRow, holder: str, duration: timedelta) -> Lease:
    """Leases a turn that nobody holds, whose session the caller has locked."""
    turn.lease_token += 1
    turn.attempt_count += 1
    turn.lease_holder = holder
    return _prolong(transaction, turn, duration)


def renew_lease(
    transaction: Transaction, *, turn_id: str, token: int, duration: timedelta | None
) -> Lease:
    """Prolongs a lease.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: another holds the turn, or it has ended.
    """
    _, turn = require(transaction, turn_id, token)
    return _prolong(transaction, turn, check_duration(duration))


def release_turn(
    transaction: Transaction,
    *,
    turn_id: str,
    token: int,
    error: Document | None = None,
    go_on: bool = False,
) -> None:
    """Gives a lease back. What is not held any more needs no giving back.

    Args:
        transaction: The transaction.
        turn_id: The turn.
        token: The fencing token; 0 of a turn that was never leased.
        error: What kept the holder from going on, which the turn fails with if it is given up.
        go_on: Whether others are to go on at once; otherwise it rests until somebody asks for it.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    _, turn = lock_turn(transaction, turn_id)
    if turn.lease_expire_time is None or turn.lease_token != token:
        return
    if error is not None:
        turn.last_error = error
    if go_on and turn.state == UNFINISHED:
        turn_line.wake(transaction, turn)
    elif not go_on:
        turn_line.rest(transaction, turn)
    transaction.touch(turn_id)


def require(transaction: Transaction, turn_id: str, token: int) -> tuple[SessionRow, TurnRow]:
    """Locks a turn's session and checks that the turn is leased by this token.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: another holds the turn, it was given back, or it has ended.
    """
    session, turn = lock_turn(transaction, turn_id)
    check(turn, token)
    return session, turn


def check(turn: TurnRow, token: int) -> None:
    """Checks that a turn, whose session the caller has locked, is leased by this token.

    Raises:
        LeaseLostError: another holds the turn, it was given back, or it has ended.
    """
    held = turn.state == UNFINISHED and turn.lease_expire_time is not None
    if not held or turn.lease_token != token or token < 1:
        raise LeaseLostError(turn.turn_id)


def lock_turn(
    transaction: Transaction, turn_id: str, user_id: str | None = None
) -> tuple[SessionRow, TurnRow]:
    """Locks a turn's session and returns both rows.

    Every change of a turn goes through the one lock of its session, so no two can deadlock.

    Raises:
        TurnNotFoundError: there is no such turn, or it is not the user's, where one is named.
    """
    parameters = {"turn_id": turn_id}
    if user_id is None:
        session = transaction.rows.exec(_SESSION_OF_TURN, params=parameters).first()
    else:  # nobody waits for what is not theirs
        parameters["user_id"] = user_id
        session = transaction.rows.exec(_SESSION_OF_USERS_TURN, params=parameters).first()
    # Read after the lock: what the holder before us has left.
    turn = session and transaction.rows.get(TurnRow, turn_id, populate_existing=True)
    if not session or not turn:
        raise TurnNotFoundError(turn_id)
    return session, turn


def _prolong(transaction: Transaction, turn: TurnRow, duration: timedelta) -> Lease:
    turn.lease_expire_time = transaction.now + duration
    return Lease(turn.lease_token, turn.lease_expire_time)

"""Leases: who may work on a turn.

A lease is a fencing token and a time. The token grows with every lease of the turn, and a write
counts only with the newest one, so a worker that was thought dead and comes back cannot spoil the
work of its successor. The time says when others may take the turn; a holder that is late but was
not replaced keeps its lease.
"""

from __future__ import annotations

from datetime import timedelta

from services.session.database import Transaction
from services.session.errors import (
    InvalidLeaseDurationError,
    LeaseLostError,
    SessionNotFoundError,
    TurnNotFoundError,
)
from services.session.resources import Lease
from services.session.sessions import lock_session
from services.session.tables import UNFINISHED, Document, SessionRow, TurnRow

DEFAULT_DURATION = timedelta(seconds=30)
MIN_DURATION = timedelta(seconds=5)
MAX_DURATION = timedelta(seconds=300)


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
    return turn.lease_expire_time is not None and turn.lease_expire_time > transaction.now


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
    transaction: Transaction, *, turn_id: str, token: int, error: Document | None = None
) -> None:
    """Gives a lease back. What is not held any more needs no giving back.

    Args:
        transaction: The transaction.
        turn_id: The turn.
        token: The fencing token.
        error: What kept the holder from going on, which the turn fails with if it is given up.

    Raises:
        TurnNotFoundError: there is no such turn.
    """
    try:
        _, turn = require(transaction, turn_id, token)
    except LeaseLostError:
        return
    turn.lease_expire_time = None
    if error is not None:
        turn.last_error = error


def require(transaction: Transaction, turn_id: str, token: int) -> tuple[SessionRow, TurnRow]:
    """Locks a turn's session and checks that the turn is leased by this token.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: another holds the turn, it was given back, or it has ended.
    """
    session, turn = lock_turn(transaction, turn_id)
    held = turn.state == UNFINISHED and turn.lease_expire_time is not None
    if not held or turn.lease_token != token:
        raise LeaseLostError(turn_id)
    return session, turn


def lock_turn(
    transaction: Transaction, turn_id: str, user_id: str | None = None
) -> tuple[SessionRow, TurnRow]:
    """Locks a turn's session and returns both rows.

    Every change of a turn goes through the one lock of its session, so no two can deadlock.

    Raises:
        TurnNotFoundError: there is no such turn, or it is not the user's, where one is named.
    """
    turn = transaction.rows.get(TurnRow, turn_id)
    session = turn and transaction.rows.get(SessionRow, turn.session_id)
    if not turn or not session or user_id not in {None, session.user_id}:
        raise TurnNotFoundError(turn_id)
    try:
        session = lock_session(transaction, session.user_id, session.session_id)
    except SessionNotFoundError:  # deleted while we waited
        raise TurnNotFoundError(turn_id) from None
    transaction.rows.refresh(turn)
    return session, turn


def _prolong(transaction: Transaction, turn: TurnRow, duration: timedelta) -> Lease:
    turn.lease_expire_time = transaction.now + duration
    return Lease(turn.lease_token, turn.lease_expire_time)

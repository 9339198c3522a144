"""Sessions: conversations about one track each."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, tuple_
from sqlmodel import col, select

from services.session import deletions
from services.session.columns import new_id
from services.session.database import Transaction
from services.session.errors import RequestIdConflictError, SessionNotFoundError
from services.session.mixes import load_mixes
from services.session.names import check_display_name, check_request_id
from services.session.pagination import Page, PageRequest, after_time_key, cut_page, time_key
from services.session.resources import Session
from services.session.tables import SessionRow
from services.session.tracks import artifact_blobs, track_row

# Built once: to put a statement together costs about as much as to run it.
_LOCKED = (
    select(SessionRow)
    # Nobody waits for what is not theirs.
    .where(
        col(SessionRow.session_id) == bindparam("session_id"),
        col(SessionRow.user_id) == bindparam("user_id"),
    )
    .with_for_update()
    .execution_options(populate_existing=True)
)


def create_session(
    transaction: Transaction,
    *,
    user_id: str,
    track_id: str,
    display_name: str,
    model: str,
    stems: Sequence[str],
    request_id: str,
) -> Session:
    """Begins a conversation; said again with the same request id, returns the same one.

    Raises:
        TrackNotFoundError: there is no such track.
        InvalidNameError: the name for people is not one.
        RequestIdConflictError: the request id was used for another track or model.
    """
    track = track_row(transaction, user_id, track_id, lock=True)
    session_id = new_id()
    transaction.insert_if_absent(
        SessionRow,
        {
            "session_id": session_id,
            "user_id": user_id,
            "track_id": track_id,
            "request_id": check_request_id(request_id) if request_id else None,
            "display_name": check_display_name(display_name or track.display_name),
            "model": model,
            "stems": list(stems),
            "turn_count": 0,
            "create_time": transaction.now,
            "update_time": transaction.now,
        },
    )
    query = select(SessionRow).where(col(SessionRow.session_id) == session_id)
    if request_id:
        query = select(SessionRow).where(
            col(SessionRow.user_id) == user_id, col(SessionRow.request_id) == request_id
        )
    row = transaction.rows.exec(query).one()
    if (row.track_id, row.model) != (track_id, model):
        raise RequestIdConflictError(request_id)
    return to_session(transaction, row)


def get_session(transaction: Transaction, *, user_id: str, session_id: str) -> Session:
    """Returns a session. Raises SessionNotFoundError."""
    return to_session(transaction, session_row(transaction, user_id, session_id))


def list_sessions(
    transaction: Transaction, *, user_id: str, track_id: str, page: PageRequest
) -> Page[Session]:
    """Returns a page of a user's sessions, the last used first.

    Args:
        transaction: The transaction.
        user_id: The user.
        track_id: Only sessions about this track; empty means all.
        page: Which page.
    """
    listing = f"sessions {track_id}"
    query = select(SessionRow).where(col(SessionRow.user_id) == user_id)
    if track_id:
        track_row(transaction, user_id, track_id)
        query = query.where(col(SessionRow.track_id) == track_id)
    key = tuple_(col(SessionRow.update_time), col(SessionRow.session_id))
    if after := after_time_key(listing, page.page_token):
        query = query.where(key < after)
    query = query.order_by(col(SessionRow.update_time).desc(), col(SessionRow.session_id).desc())
    rows = transaction.rows.exec(query.limit(page.limit + 1)).all()
    cut = cut_page(listing, rows, page.limit, lambda row: time_key(row.update_time, row.session_id))
    return cut.map(lambda items: to_sessions(transaction, items))


def rename_session(
    transaction: Transaction, *, user_id: str, session_id: str, display_name: str
) -> Session:
    """Gives a session another name for people.

    Raises:
        SessionNotFoundError: there is no such session.
        InvalidNameError: the name is not one.
    """
    row = lock_session(transaction, user_id, session_id)
    row.display_name = check_display_name(display_name)
    return to_session(transaction, row)


def delete_session(transaction: Transaction, *, user_id: str, session_id: str) -> None:
    """Deletes a session; blobs that nobody refers to any more follow later.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    lock_session(transaction, user_id, session_id)
    blobs = artifact_blobs(transaction, [session_id])
    transaction.rows.connection().execute(
        delete(SessionRow).where(col(SessionRow.session_id) == session_id)
    )
    deletions.drop_blobs(transaction, blobs)


def session_row(transaction: Transaction, user_id: str, session_id: str) -> SessionRow:
    """Returns the row of a user's session. Raises SessionNotFoundError."""
    row = transaction.rows.get(SessionRow, session_id)
    if row is None or row.user_id != user_id:
        raise SessionNotFoundError(session_id)
    return row


def lock_session(transaction: Transaction, user_id: str, session_id: str) -> SessionRow:
    """Locks the row of a user's session until the transaction ends, and returns it.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    row = transaction.rows.exec(
        _LOCKED, params={"session_id": session_id, "user_id": user_id}
    ).first()
    if row is None:
        raise SessionNotFoundError(session_id)
    return row


def to_session(transaction: Transaction, row: SessionRow) -> Session:
    """Returns a row as a value, with its mix."""
    return to_sessions(transaction, [row])[0]


def to_sessions(transaction: Transaction, rows: Sequence[SessionRow]) -> list[Session]:
    """Returns rows as values, with their mixes."""
    mixes = load_mixes(transaction, [row.mix_id for row in rows])
    return [
        Session(
            session_id=row.session_id,
            track_id=row.track_id,
            display_name=row.display_name,
            model=row.model,
            stems=tuple(row.stems),
            mix=mixes[row.mix_id],
            proposal=row.proposal,
            turn_count=row.turn_count,
            create_time=row.create_time,
            update_time=row.update_time,
        )
        for row in rows
    ]

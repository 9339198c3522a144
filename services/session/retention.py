"""Retention: what nobody has used for long goes, as if its user had deleted it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import col, exists, select

from services.session import deletions, quotas
from services.session.database import Transaction
from services.session.sessions import delete_session
from services.session.tables import UNFINISHED, WAITING, SessionRow, TrackRow, TurnRow, UploadRow
from services.session.tracks import delete_track

BATCH = 50
"""At most so many of each kind in one transaction."""


def expire(transaction: Transaction, *, keep: timedelta | None, keep_uploads: timedelta) -> int:
    """Deletes a batch of what is too old; returns how many, 0 once nothing is left.

    A session is as old as its last turn, and stays while a turn of it is unfinished; a track goes
    once it has no session and is old itself.

    Args:
        transaction: The transaction.
        keep: How long sessions and tracks stay; None for ever.
        keep_uploads: How long an upload that never became a track stays.
    """
    quotas.forget_old_usage(transaction)
    count = _expire_uploads(transaction, transaction.now - keep_uploads)
    if keep is not None:
        count += _expire_sessions(transaction, transaction.now - keep)
        count += _expire_tracks(transaction, transaction.now - keep)
    return count


def _expire_sessions(transaction: Transaction, limit: datetime) -> int:
    busy = exists().where(
        col(TurnRow.session_id) == col(SessionRow.session_id),
        col(TurnRow.state).in_((UNFINISHED, WAITING)),
    )
    rows = transaction.rows.exec(
        select(SessionRow)
        .where(col(SessionRow.update_time) < limit, ~busy)
        .order_by(col(SessionRow.session_id))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        delete_session(transaction, user_id=row.user_id, session_id=row.session_id)
    return len(rows)


def _expire_tracks(transaction: Transaction, limit: datetime) -> int:
    used = exists().where(col(SessionRow.track_id) == col(TrackRow.track_id))
    rows = transaction.rows.exec(
        select(TrackRow)
        .where(col(TrackRow.create_time) < limit, ~used)
        .order_by(col(TrackRow.track_id))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        delete_track(transaction, user_id=row.user_id, track_id=row.track_id)
    return len(rows)


def _expire_uploads(transaction: Transaction, limit: datetime) -> int:
    rows = transaction.rows.exec(
        select(UploadRow)
        .where(col(UploadRow.track_id).is_(None), col(UploadRow.create_time) < limit)
        .order_by(col(UploadRow.user_id), col(UploadRow.upload_id))
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    deletions.drop_parts(transaction, [row.staging_key for row in rows])
    for row in rows:
        transaction.rows.delete(row)
    return len(rows)

"""What one user may use of an installation, counted where it cannot be raced past.

Every check locks the row of its user first, and after the session's where that is locked too, so
that of many calls at once each sees what those before it have stored. A limit of 0 is none, and
costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Float, case, cast, delete, func, literal, union, update
from sqlmodel import col, select

from services.session.database import Transaction
from services.session.errors import AudioQuotaError, StorageQuotaError, TurnQuotaError
from services.session.resources import Usage
from services.session.tables import (
    UNFINISHED,
    WAITING,
    ArtifactRow,
    Document,
    SessionRow,
    TrackRow,
    TurnRow,
    UploadRow,
    UsageRow,
    UserRow,
)

_KEPT = timedelta(days=40)
"""How long it is remembered what was used in a day."""


@dataclass(frozen=True)
class Quotas:
    """What one user may use; 0 is no limit.

    Args:
        turns: Turns that run, or wait to run, at once.
        stored_bytes: Tracks, files and uploads on their way; the same content counts once.
        daily_minutes: Minutes of audio that turns render in a day of UTC: the track's length for
            each file.
    """

    turns: int = 0
    stored_bytes: int = 0
    daily_minutes: float = 0.0


UNLIMITED = Quotas()


def get_usage(transaction: Transaction, *, user_id: str) -> Usage:
    """Returns what a user uses now."""
    return Usage(
        turns=_count_turns(transaction, user_id),
        stored_bytes=stored_bytes(transaction, user_id),
        daily_minutes=_used_seconds(transaction, user_id) / 60,
        reset_time=_next_day(transaction.now),
    )


def check_turns(transaction: Transaction, user_id: str, quotas: Quotas) -> None:
    """Checks that not too many turns run or wait, those that this transaction stores included.

    A turn that rests counts only when somebody asks for it again.

    Raises:
        TurnQuotaError: there are too many.
    """
    if not quotas.turns:
        return
    _lock_user(transaction, user_id)
    transaction.rows.flush()
    if _count_turns(transaction, user_id) > quotas.turns:
        raise TurnQuotaError(quotas.turns)


def check_bytes(
    transaction: Transaction, user_id: str, quotas: Quotas, *, room_bytes: int = 0
) -> None:
    """Checks that not too much is stored, what this transaction stores included.

    Args:
        transaction: The transaction.
        user_id: The user.
        quotas: What is allowed.
        room_bytes: How much must be left besides.

    Raises:
        StorageQuotaError: it is too much.
    """
    if not quotas.stored_bytes:
        return
    _lock_user(transaction, user_id)
    transaction.rows.flush()
    stored = stored_bytes(transaction, user_id)
    if stored + room_bytes > quotas.stored_bytes:
        raise StorageQuotaError(quotas.stored_bytes, stored)


def stored_bytes(transaction: Transaction, user_id: str) -> int:
    """Returns the size of a user's tracks, files and uploads on their way, in bytes."""
    contents = union(
        select(TrackRow.sha256, TrackRow.size_bytes).where(col(TrackRow.user_id) == user_id),
        select(ArtifactRow.sha256, ArtifactRow.size_bytes)
        .join(TurnRow, col(TurnRow.turn_id) == col(ArtifactRow.turn_id))
        .join(SessionRow, col(SessionRow.session_id) == col(TurnRow.session_id))
        .where(col(SessionRow.user_id) == user_id),
    ).subquery()
    uploads = select(func.coalesce(func.sum(UploadRow.total_size_bytes), 0)).where(
        col(UploadRow.user_id) == user_id, col(UploadRow.track_id).is_(None)
    )
    total = select(func.coalesce(func.sum(contents.c.size_bytes), 0) + uploads.scalar_subquery())
    return int(transaction.rows.connection().execute(total).scalar_one())


def check_audio(transaction: Transaction, user_id: str, quotas: Quotas) -> None:
    """Checks that a user may render anything more today. Raises AudioQuotaError."""
    if not quotas.daily_minutes:
        return
    used = _used_seconds(transaction, user_id)
    if used >= 60 * quotas.daily_minutes:
        raise _audio_error(transaction, quotas, used)


def charge_audio(
    transaction: Transaction, session: SessionRow, quotas: Quotas, turn: TurnRow
) -> None:
    """Charges to the day what a turn renders. Nothing is charged where that is not limited.

    Raises:
        AudioQuotaError: it is more than is left of the day.
    """
    if not quotas.daily_minutes or not turn.outputs:
        return
    user_id = session.user_id
    track = transaction.rows.get_one(TrackRow, session.track_id)
    seconds = len(turn.outputs) * audio_seconds(track.audio)
    transaction.insert_if_absent(
        UsageRow, {"user_id": user_id, "day": _day(transaction.now), "audio_seconds": 0.0}
    )
    # One statement: it waits for whoever charges the same day, and then sees what they charged.
    charged = transaction.rows.connection().execute(
        update(UsageRow)
        .where(
            *_today(transaction.now, user_id),
            col(UsageRow.audio_seconds) + seconds <= 60 * quotas.daily_minutes,
        )
        .values(audio_seconds=col(UsageRow.audio_seconds) + seconds)
    )
    if not charged.rowcount:
        raise _audio_error(transaction, quotas, _used_seconds(transaction, user_id))
    turn.audio_seconds = seconds


def return_audio(transaction: Transaction, turn: TurnRow) -> None:
    """Gives back what a turn was charged that could not be done."""
    if not turn.audio_seconds or turn.interpret_time is None:
        return
    user_id = transaction.rows.get_one(SessionRow, turn.session_id).user_id
    left = col(UsageRow.audio_seconds) - cast(literal(turn.audio_seconds), Float)
    transaction.rows.connection().execute(
        update(UsageRow)
        .where(*_today(turn.interpret_time, user_id))
        .values(audio_seconds=case((left > 0, left), else_=0.0))
    )
    turn.audio_seconds = 0.0


def audio_seconds(audio: Document) -> float:
    """Returns the length of a track in seconds, from what was found in its file."""
    rate_hz = int(audio.get("sample_rate_hz", 0))
    return int(audio.get("frames", 0)) / rate_hz if rate_hz else 0.0


def forget_old_usage(transaction: Transaction) -> None:
    """Deletes what was used in days long gone."""
    transaction.rows.connection().execute(
        delete(UsageRow).where(col(UsageRow.day) < _day(transaction.now - _KEPT))
    )


def _lock_user(transaction: Transaction, user_id: str) -> None:
    # Without its key: rows that refer to the user can be stored meanwhile.
    transaction.rows.exec(
        select(UserRow.user_id)
        .where(col(UserRow.user_id) == user_id)
        .with_for_update(key_share=True)
    ).all()


def _count_turns(transaction: Transaction, user_id: str) -> int:
    return transaction.rows.exec(
        select(func.count())
        .select_from(TurnRow)
        .join(SessionRow, col(SessionRow.session_id) == col(TurnRow.session_id))
        .where(
            col(SessionRow.user_id) == user_id,
            col(TurnRow.state).in_((UNFINISHED, WAITING)),
            col(TurnRow.lease_expire_time).is_not(None),
        )
    ).one()


def _used_seconds(transaction: Transaction, user_id: str) -> float:
    used = transaction.rows.exec(
        select(UsageRow.audio_seconds).where(*_today(transaction.now, user_id))
    ).first()
    return used or 0.0


def _today(time: datetime, user_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(UsageRow.user_id) == user_id, col(UsageRow.day) == _day(time)


def _day(time: datetime) -> str:
    return time.date().isoformat()


def _audio_error(transaction: Transaction, quotas: Quotas, used: float) -> AudioQuotaError:
    reset = _next_day(transaction.now)
    return AudioQuotaError(
        quotas.daily_minutes,
        used / 60,
        reset.isoformat().replace("+00:00", "Z"),
        (reset - transaction.now).total_seconds(),
    )


def _next_day(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

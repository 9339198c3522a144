"""Uploads and the tracks that come of them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, tuple_
from sqlmodel import col, select

from services.runtime.blobs import Blob
from services.session import deletions
from services.session.columns import new_id
from services.session.database import Transaction
from services.session.errors import (
    TrackNotFoundError,
    UploadConflictError,
    UploadNotFoundError,
)
from services.session.names import check_display_name
from services.session.pagination import Page, PageRequest, after_time_key, cut_page, time_key
from services.session.quotas import UNLIMITED, Quotas, check_bytes
from services.session.resources import Track, Upload
from services.session.tables import (
    ArtifactRow,
    Document,
    SessionRow,
    TrackRow,
    TurnRow,
    UploadRow,
    UserRow,
)


def begin_upload(
    transaction: Transaction,
    *,
    user_id: str,
    upload_id: str,
    display_name: str,
    total_size_bytes: int,
    quotas: Quotas = UNLIMITED,
) -> Upload:
    """Begins an upload, or returns it where it exists. Its size counts as stored from here on.

    Raises:
        StorageQuotaError: it is larger than what is left to the user.
        InvalidNameError: the name for people is not one.
        UploadConflictError: the upload exists with another size.
    """
    name = check_display_name(display_name)
    transaction.insert_if_absent(UserRow, {"user_id": user_id, "create_time": transaction.now})
    is_new = transaction.insert_if_absent(
        UploadRow,
        {
            "user_id": user_id,
            "upload_id": upload_id,
            "staging_key": f"uploads/{new_id()}",
            "display_name": name,
            "total_size_bytes": total_size_bytes,
            "create_time": transaction.now,
        },
    )
    if is_new:
        check_bytes(transaction, user_id, quotas)
    row = _upload_row(transaction, user_id, upload_id)
    if row.total_size_bytes != total_size_bytes:
        raise UploadConflictError(
            f"This upload was begun with {row.total_size_bytes} bytes.",
            metadata={"upload_id": upload_id, "total_size_bytes": str(row.total_size_bytes)},
        )
    return _upload(row)


def get_upload(transaction: Transaction, *, user_id: str, upload_id: str) -> Upload:
    """Returns an upload. Raises UploadNotFoundError."""
    return _upload(_upload_row(transaction, user_id, upload_id))


def create_track(
    transaction: Transaction,
    *,
    user_id: str,
    upload_id: str,
    blob: Blob,
    audio: Document,
    blob_checked: bool = False,
) -> Track:
    """Stores the track of a complete upload; said again, returns the same track.

    Raises:
        UploadNotFoundError: there is no such upload.
        BlobLeavingError: the blob is being deleted right now.
        BlobGoneError: the blob was deleted lately, and is not `blob_checked`.
    """
    upload = _upload_row(transaction, user_id, upload_id, lock=True)
    if upload.track_id is not None:
        return get_track(transaction, user_id=user_id, track_id=upload.track_id)
    deletions.refer(transaction, blob.sha256, checked=blob_checked)
    deletions.drop_parts(transaction, [upload.staging_key])
    row = TrackRow(
        user_id=user_id,
        display_name=upload.display_name,
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        audio=audio,
        create_time=transaction.now,
    )
    transaction.rows.add(row)
    transaction.rows.flush()
    upload.track_id = row.track_id
    return to_track(row)


def get_track(transaction: Transaction, *, user_id: str, track_id: str) -> Track:
    """Returns a track. Raises TrackNotFoundError."""
    return to_track(track_row(transaction, user_id, track_id))


def list_tracks(transaction: Transaction, *, user_id: str, page: PageRequest) -> Page[Track]:
    """Returns a page of a user's tracks, newest first."""
    listing = "tracks"
    query = select(TrackRow).where(col(TrackRow.user_id) == user_id)
    key = tuple_(col(TrackRow.create_time), col(TrackRow.track_id))
    if after := after_time_key(listing, page.page_token):
        query = query.where(key < after)
    query = query.order_by(col(TrackRow.create_time).desc(), col(TrackRow.track_id).desc())
    rows = transaction.rows.exec(query.limit(page.limit + 1)).all()
    cut = cut_page(listing, rows, page.limit, lambda row: time_key(row.create_time, row.track_id))
    return cut.map(lambda items: [to_track(row) for row in items])


def delete_track(transaction: Transaction, *, user_id: str, track_id: str) -> None:
    """Deletes a track with its sessions; blobs that nobody refers to any more follow later.

    Raises:
        TrackNotFoundError: there is no such track.
    """
    row = track_row(transaction, user_id, track_id, lock=True)
    # Sessions are the locks of their turns: first wait for whoever writes there.
    sessions = select(SessionRow.session_id).where(col(SessionRow.track_id) == track_id)
    transaction.rows.exec(sessions.order_by(col(SessionRow.session_id)).with_for_update()).all()
    blobs = {
        Blob(row.sha256, row.size_bytes),
        *artifact_blobs(transaction, transaction.rows.exec(sessions).all()),
    }
    transaction.rows.connection().execute(
        delete(TrackRow).where(col(TrackRow.track_id) == track_id)
    )
    deletions.drop_blobs(transaction, blobs)


def artifact_blobs(transaction: Transaction, session_ids: Iterable[str]) -> set[Blob]:
    """Returns the blobs of all artifacts of some sessions."""
    rows = transaction.rows.exec(
        select(ArtifactRow.sha256, ArtifactRow.size_bytes)
        .join(TurnRow, col(TurnRow.turn_id) == col(ArtifactRow.turn_id))
        .where(col(TurnRow.session_id).in_(tuple(session_ids)))
        .distinct()
    )
    return {Blob(sha256, size_bytes) for sha256, size_bytes in rows}


def track_row(
    transaction: Transaction, user_id: str, track_id: str, *, lock: bool = False
) -> TrackRow:
    """Returns the row of a user's track, locked until the transaction ends where `lock` is said.

    Raises:
        TrackNotFoundError: there is no such track.
    """
    row = transaction.rows.get(TrackRow, track_id)
    if row is None or row.user_id != user_id:  # nobody waits for what is not theirs
        raise TrackNotFoundError(track_id)
    if not lock:
        return row
    row = transaction.rows.get(TrackRow, track_id, with_for_update=True, populate_existing=True)
    if row is None:  # deleted while we waited
        raise TrackNotFoundError(track_id)
    return row


def to_track(row: TrackRow) -> Track:
    """Returns a row as a value."""
    return Track(
        track_id=row.track_id,
        display_name=row.display_name,
        blob=Blob(row.sha256, row.size_bytes),
        audio=row.audio,
        create_time=row.create_time,
    )


def _upload_row(
    transaction: Transaction, user_id: str, upload_id: str, *, lock: bool = False
) -> UploadRow:
    row = transaction.rows.get(UploadRow, (user_id, upload_id), with_for_update=lock)
    if row is None:
        raise UploadNotFoundError(upload_id)
    return row


def _upload(row: UploadRow) -> Upload:
    return Upload(
        upload_id=row.upload_id,
        staging_key=row.staging_key,
        display_name=row.display_name,
        total_size_bytes=row.total_size_bytes,
        track_id=row.track_id,
        create_time=row.create_time,
    )

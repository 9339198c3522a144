"""Deleting from the blob store, as durable work that any process can do.

What nobody refers to any more is written down in the same transaction that drops the last
reference. After a time of grace somebody claims it, deletes it from the store and confirms. A new
reference in the meantime takes it off the list; one that comes while it is being deleted is
refused for as long as that takes, and one that comes afterwards is refused until its writer has
looked whether the blob is there, for it may have found the blob before it was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, or_, update
from sqlmodel import col, select

from services.runtime.blobs import Blob
from services.session.database import Transaction
from services.session.errors import BlobGoneError, BlobLeavingError
from services.session.tables import ArtifactRow, DeletionRow, TrackRow

GRACE = timedelta(hours=1)
"""How long something stays by default after nobody refers to it: longer than any transaction, and
than a render under way wants to read it."""

CLAIM = timedelta(seconds=120)
"""How long who has claimed a deletion may take for it."""

REMEMBERED = timedelta(days=1)
"""How long it is remembered that something was deleted: longer than any render takes."""

MAX_CLAIMED = 100


@dataclass(frozen=True)
class Deletions:
    """What the caller is to delete: blobs, and the parts of uploads by their staging keys."""

    blobs: tuple[Blob, ...]
    staging_keys: tuple[str, ...]


def drop_blobs(transaction: Transaction, blobs: Iterable[Blob]) -> None:
    """Writes down those of the blobs that no track and no artifact of anybody refers to."""
    for blob in _unreferenced(transaction, blobs):
        _write_down(transaction, blob.sha256, "blob", blob.size_bytes)


def drop_parts(transaction: Transaction, staging_keys: Iterable[str]) -> None:
    """Writes down the parts of uploads that nobody needs any more."""
    for key in sorted(staging_keys):
        _write_down(transaction, key, "parts", 0)


def report_blobs(transaction: Transaction, *, blobs: Iterable[Blob]) -> None:
    """Writes down what was found in the store without a reference."""
    drop_blobs(transaction, blobs)


def refer(transaction: Transaction, sha256: str, *, checked: bool) -> None:
    """Takes a blob off the list, because something is about to refer to it.

    Args:
        transaction: The transaction that stores the reference.
        sha256: The blob.
        checked: Whether the caller has seen the blob in the store since it was refused.

    Raises:
        BlobLeavingError: it is being deleted right now.
        BlobGoneError: it was deleted lately, and is not `checked`.
    """
    row = transaction.rows.get(DeletionRow, sha256, with_for_update=True)
    if row is None:
        return
    if row.delete_time is None and row.claim_expire_time is not None:
        raise BlobLeavingError(sha256)
    if row.delete_time is not None and not checked:
        raise BlobGoneError(sha256)
    transaction.rows.delete(row)
    transaction.rows.flush()


def claim_deletions(transaction: Transaction, *, limit: int, grace: timedelta = GRACE) -> Deletions:
    """Returns what is due, for the caller to delete and confirm within `CLAIM`.

    Args:
        transaction: The transaction.
        limit: At most so many; 0 and more than 100 mean 100.
        grace: How long something stays after nobody refers to it.
    """
    rows = transaction.rows.exec(
        select(DeletionRow)
        .where(
            col(DeletionRow.delete_time).is_(None),
            col(DeletionRow.drop_time) <= transaction.now - grace,
            or_(
                col(DeletionRow.claim_expire_time).is_(None),
                col(DeletionRow.claim_expire_time) <= transaction.now,
            ),
        )
        .order_by(col(DeletionRow.drop_time))
        .limit(min(limit if limit > 0 else MAX_CLAIMED, MAX_CLAIMED))
        .with_for_update(skip_locked=True)
    ).all()
    blobs = {row.name: Blob(row.name, row.size_bytes) for row in rows if row.kind == "blob"}
    unreferenced = {blob.sha256 for blob in _unreferenced(transaction, blobs.values())}
    for row in rows:
        if row.name in blobs and row.name not in unreferenced:
            transaction.rows.delete(row)  # somebody refers to it again
        else:
            row.claim_expire_time = transaction.now + CLAIM
    _forget_old(transaction)
    return Deletions(
        blobs=tuple(blob for blob in blobs.values() if blob.sha256 in unreferenced),
        staging_keys=tuple(row.name for row in rows if row.kind == "parts"),
    )


def confirm_deletions(transaction: Transaction, *, names: Sequence[str]) -> None:
    """Stores that what was claimed is gone. Said again, changes nothing."""
    connection = transaction.rows.connection()
    mine = (
        col(DeletionRow.name).in_(tuple(names)),
        col(DeletionRow.claim_expire_time).is_not(None),
        col(DeletionRow.delete_time).is_(None),
    )
    connection.execute(delete(DeletionRow).where(*mine, col(DeletionRow.kind) == "parts"))
    connection.execute(update(DeletionRow).where(*mine).values(delete_time=transaction.now))


def _unreferenced(transaction: Transaction, blobs: Iterable[Blob]) -> tuple[Blob, ...]:
    by_sha256 = {blob.sha256: blob for blob in blobs}
    for column in (col(TrackRow.sha256), col(ArtifactRow.sha256)):
        used = transaction.rows.exec(select(column).where(column.in_(tuple(by_sha256))).distinct())
        for sha256 in used.all():
            by_sha256.pop(sha256, None)
    return tuple(by_sha256[sha256] for sha256 in sorted(by_sha256))  # in order: no deadlock


def _write_down(transaction: Transaction, name: str, kind: str, size_bytes: int) -> None:
    connection = transaction.rows.connection()
    # What was deleted before and has come back since is deleted again.
    connection.execute(
        delete(DeletionRow).where(
            col(DeletionRow.name) == name, col(DeletionRow.delete_time).is_not(None)
        )
    )
    transaction.insert_if_absent(
        DeletionRow,
        {
            "name": name,
            "kind": kind,
            "size_bytes": size_bytes,
            "drop_time": transaction.now,
        },
    )


def _forget_old(transaction: Transaction) -> None:
    transaction.rows.connection().execute(
        delete(DeletionRow).where(col(DeletionRow.delete_time) < transaction.now - REMEMBERED)
    )

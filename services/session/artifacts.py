"""Artifacts: the files that turns made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC

from sqlmodel import col, select

from services.runtime.blobs import Blob
from services.session import deletions
from services.session.database import Transaction
from services.session.errors import ArtifactNotFoundError
from services.session.resources import Artifact, NewArtifact
from services.session.tables import ArtifactRow, Document, SessionRow, TurnRow


def store_artifact(
    transaction: Transaction, turn_id: str, artifact: NewArtifact, *, blob_checked: bool
) -> Document:
    """Stores a file of a turn and returns it as the contract's message in JSON.

    Raises:
        BlobLeavingError: its blob is being deleted right now.
        BlobGoneError: its blob was deleted lately, and is not `blob_checked`.
    """
    deletions.refer(transaction, artifact.blob.sha256, checked=blob_checked)
    row = ArtifactRow(
        turn_id=turn_id,
        name=artifact.name,
        sha256=artifact.blob.sha256,
        size_bytes=artifact.blob.size_bytes,
        media_type=artifact.media_type,
        file_name=artifact.file_name,
        clipped_samples=artifact.clipped_samples,
        create_time=transaction.now,
    )
    transaction.rows.add(row)
    transaction.rows.flush()
    return {
        "artifact_id": row.artifact_id,
        "turn_id": turn_id,
        "name": row.name,
        "blob": {"sha256": row.sha256, "size_bytes": row.size_bytes},
        "media_type": row.media_type,
        "file_name": row.file_name,
        "clipped_samples": row.clipped_samples,
        "create_time": row.create_time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }


def get_artifact(transaction: Transaction, *, user_id: str, artifact_id: str) -> Artifact:
    """Returns an artifact. Raises ArtifactNotFoundError."""
    row = transaction.rows.exec(
        select(ArtifactRow)
        .join(TurnRow, col(TurnRow.turn_id) == col(ArtifactRow.turn_id))
        .join(SessionRow, col(SessionRow.session_id) == col(TurnRow.session_id))
        .where(col(ArtifactRow.artifact_id) == artifact_id, col(SessionRow.user_id) == user_id)
    ).first()
    if row is None:
        raise ArtifactNotFoundError(artifact_id)
    return _artifact(row)


def artifacts_of(
    transaction: Transaction, turn_ids: Iterable[str]
) -> dict[str, tuple[Artifact, ...]]:
    """Returns the artifacts of some turns by turn, in the order they were made."""
    rows = transaction.rows.exec(
        select(ArtifactRow)
        .where(col(ArtifactRow.turn_id).in_(tuple(turn_ids)))
        .order_by(col(ArtifactRow.create_time), col(ArtifactRow.name))
    )
    artifacts: dict[str, tuple[Artifact, ...]] = {}
    for row in rows:
        artifacts[row.turn_id] = (*artifacts.get(row.turn_id, ()), _artifact(row))
    return artifacts


def _artifact(row: ArtifactRow) -> Artifact:
    return Artifact(
        artifact_id=row.artifact_id,
        turn_id=row.turn_id,
        name=row.name,
        blob=Blob(row.sha256, row.size_bytes),
        media_type=row.media_type,
        file_name=row.file_name,
        clipped_samples=row.clipped_samples,
        create_time=row.create_time,
    )

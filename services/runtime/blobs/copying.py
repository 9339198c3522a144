"""Copies a blob store to another place: a backup, a restore, a move to a bucket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from services.runtime.blobs.port import Blob, BlobStore
from services.runtime.errors import BlobDamagedError, BlobNotFoundError

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Copied:
    """What a copy has done.

    Args:
        blobs: Blobs that were copied; those that were there already are none of them.
        size_bytes: Their size.
        records: Records that were copied, all of them each time.
    """

    blobs: int
    size_bytes: int
    records: int


def copy_store(source: BlobStore, target: BlobStore, *, at_once: int = 4) -> Copied:
    """Copies what `target` does not have; every blob is checked against its name on the way.

    Records follow the blobs that they name. Uploads on their way and what is being written stay
    behind. What is deleted from the source meanwhile is left out.

    Args:
        source: From where; it may be in use.
        target: To where; what it has besides stays.
        at_once: Blobs that are copied at the same time.

    Raises:
        BlobDamagedError: a blob of the source is not what its name says.
        BlobStoreUnavailableError: one of the stores cannot be reached.
    """
    keys = sorted(source.list_records())
    with ThreadPoolExecutor(at_once, thread_name_prefix="copy") as threads:
        listed = (entry.blob for entry in source.list_blobs())
        copied = list(threads.map(partial(_copy_blob, source, target), listed))
        records = sum(threads.map(partial(_copy_record, source, target), keys))
    sizes = [size for size in copied if size is not None]
    return Copied(len(sizes), sum(sizes), records)


def _copy_blob(source: BlobStore, target: BlobStore, blob: Blob) -> int | None:
    """Returns how many bytes were copied; None where it was there, or is not in the source now."""
    if target.find(blob.sha256) == blob:
        return None
    try:
        file = source.open(blob.sha256)
    except BlobNotFoundError:
        return None
    with file, target.create() as writer:
        while piece := file.read(_PIECE_BYTES):
            writer.write(piece)
        written = writer.commit()
    if written.sha256 != blob.sha256:
        raise BlobDamagedError(
            f"The file {blob.sha256} in the store is damaged.", metadata={"sha256": blob.sha256}
        )
    return written.size_bytes


def _copy_record(source: BlobStore, target: BlobStore, key: str) -> bool:
    document = source.read_record(key)
    if document is None:
        return False
    target.write_record(key, document)
    return True

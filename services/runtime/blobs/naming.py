"""Names in a blob store. They come in messages, so they are checked before they become paths."""

from __future__ import annotations

import re

from services.runtime.errors import BlobNotFoundError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


def blob_path(sha256: str) -> str:
    """Returns where a blob lies in a store. Raises BlobNotFoundError for what is no SHA-256."""
    if not _SHA256.fullmatch(sha256):
        raise BlobNotFoundError("That is not the SHA-256 of a file.")
    return f"blobs/{sha256[:2]}/{sha256}"


def check_key(key: str) -> str:
    """Returns the key of a record or of parts. Raises ValueError where it is none."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key!r}")
    return key


def blob_missing(sha256: str) -> BlobNotFoundError:
    """Returns the error of a blob that is not in the store."""
    return BlobNotFoundError(
        f"There is no file {sha256} in the store.", metadata={"sha256": sha256}
    )

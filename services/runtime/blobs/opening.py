"""Opens the blob store that a location names."""

from __future__ import annotations

from services.runtime.blobs.folder import FolderBlobStore
from services.runtime.blobs.observed import ObservedBlobStore
from services.runtime.blobs.port import BlobStore
from services.runtime.settings import S3Settings


def open_blob_store(location: str, s3: S3Settings | None = None) -> BlobStore:
    """Opens the store at a location, with metrics and spans of what is done with it.

    Args:
        location: A folder's path, made where it is missing, or "s3://BUCKET" or "s3://BUCKET/PREFIX".
        s3: How to speak to S3; ignored for a folder.

    Raises:
        ValueError: the location names neither, or no bucket.
    """
    scheme, separator, place = location.partition("://")
    if not separator:
        return ObservedBlobStore(FolderBlobStore(location), "folder")
    bucket, _, prefix = place.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError("a blob store is a folder or s3://BUCKET/PREFIX")
    from services.runtime.blobs.s3 import S3BlobStore  # with its library, which not all have

    return ObservedBlobStore(S3BlobStore(bucket, prefix.strip("/"), s3 or S3Settings()), "s3")

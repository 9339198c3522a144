"""The blob store: originals, stems and artifacts, by content.

`port` says what a store does; `folder`, `s3` and `memory` do it; `opening` picks one by location.
"""

from services.runtime.blobs.opening import open_blob_store
from services.runtime.blobs.port import Blob, BlobStore, BlobWriter, ListedBlob

__all__ = ["Blob", "BlobStore", "BlobWriter", "ListedBlob", "open_blob_store"]

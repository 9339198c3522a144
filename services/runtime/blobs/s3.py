"""A blob store in S3, or in what speaks its protocol: SeaweedFS, MinIO, Ceph.

Layout below the prefix as in a folder: `blobs/ab/abcdef…`, `records/<key>.json`, `partial/` for
what is being written; the parts of an upload are objects `parts/<key>/<offset>`. A blob's name is
known once all of it was written, so a large one goes to `partial/` in a multipart upload and is
then copied to its name by the server; a small one is held in memory and put there at once. What a
crash leaves in `partial/` is removed when a store is opened a day later; multipart uploads that
never ended are for a lifecycle rule of the bucket.

Appending a part is a put of an object that must not exist (`If-None-Match: *`).
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, BinaryIO, Self

import obstore
import structlog
from obstore import exceptions
from obstore.store import S3Store

from services.runtime.blobs.naming import blob_missing, blob_path, check_key
from services.runtime.blobs.port import Blob, ListedBlob
from services.runtime.blobs.s3_file import S3File
from services.runtime.blobs.verified import verified
from services.runtime.errors import BlobNotFoundError, BlobStoreUnavailableError
from services.runtime.settings import S3Settings

_log = structlog.get_logger("mixdown.blobs")

_SMALL_BYTES = 8 << 20
_PART_BYTES = 8 << 20  # of at most 10,000, so that a blob may have 80 GB
_CONCURRENT_PARTS = 4
_COPY_LIMIT_BYTES = 5 << 30  # of S3's CopyObject
_PIECE_BYTES = 1 << 20
_OFFSET_DIGITS = 16
_ABANDONED = timedelta(days=1)


class S3BlobStore:
    """The store in a bucket, below a prefix. Safe for many processes.

    Args:
        bucket: The bucket; it must exist.
        prefix: Where in the bucket, without slashes around it; may be empty.
        settings: How to speak to the server. Credentials come as AWS's own tools find them.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self._store = _connect(bucket, prefix, settings)
        # A signature holds for one host: the one under which the caller knows the server.
        self._public = (
            _connect(
                bucket,
                prefix,
                settings.model_copy(update={"s3_endpoint": settings.s3_public_endpoint}),
            )
            if settings.s3_public_endpoint
            else self._store
        )
        threading.Thread(target=self._remove_abandoned, name="blobs-abandoned", daemon=True).start()

    def create(self) -> S3BlobWriter:
        """Begins a new blob."""
        return S3BlobWriter(self._store)

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading and seeking. Raises BlobNotFoundError."""
        blob = self.find(sha256)
        if blob is None:
            blob_path(sha256)
            raise blob_missing(sha256)

        def fetch(start: int, length: int) -> bytes:
            with _reporting():
                try:
                    return bytes(
                        obstore.get_range(
                            self._store, blob_path(sha256), start=start, length=length
                        )
                    )
                except (exceptions.NotFoundError, FileNotFoundError):
                    raise blob_missing(sha256) from None

        return verified(S3File(fetch, blob.size_bytes), sha256, blob.size_bytes)

    def find(self, sha256: str) -> Blob | None:
        """Returns the blob where it exists."""
        try:
            path = blob_path(sha256)
        except BlobNotFoundError:
            return None
        with _reporting():
            try:
                return Blob(sha256, obstore.head(self._store, path)["size"])
            except (exceptions.NotFoundError, FileNotFoundError):
                return None

    def delete(self, sha256: str) -> None:
        """Deletes a blob; deleting what is not there does nothing."""
        self._delete(blob_path(sha256))

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yields all blobs."""
        for meta in self._list("blobs"):
            sha256 = meta["path"].rpartition("/")[2]
            yield ListedBlob(Blob(sha256, meta["size"]), meta["last_modified"])

    def presign(self, sha256: str, lifetime: timedelta) -> str | None:
        """Returns a URL that whoever has it can read the blob from, for as long as `lifetime`."""
        with _reporting():
            return obstore.sign(self._public, "GET", blob_path(sha256), lifetime)

    def write_record(self, key: str, document: bytes) -> None:
        """Stores a record, replacing an older one."""
        with _reporting():
            obstore.put(self._store, _record(key), document, use_multipart=False)

    def read_record(self, key: str) -> bytes | None:
        """Returns a record, or None."""
        with _reporting():
            try:
                return bytes(obstore.get(self._store, _record(key)).bytes())
            except (exceptions.NotFoundError, FileNotFoundError):
                return None

    def delete_record(self, key: str) -> None:
        """Deletes a record; deleting what is not there does nothing."""
        self._delete(_record(key))

    def list_records(self, folder: str = "") -> Iterator[str]:
        """Yields the keys of the records below `folder`, or of all."""
        for meta in self._list(f"records/{check_key(folder)}" if folder else "records"):
            yield meta["path"].removeprefix("records/").removesuffix(".json")

    def append_part(self, key: str, offset_bytes: int, data: bytes) -> bool:
        """Appends to the parts under `key` where `offset_bytes` is the committed size."""
        if self.parts_size(key) != offset_bytes:
            return False
        if not data:
            return True
        with _reporting():
            try:
                obstore.put(
                    self._store, _part(key, offset_bytes), data, mode="create", use_multipart=False
                )
            except exceptions.AlreadyExistsError:
                return False
        return True

    def parts_size(self, key: str) -> int:
        """Returns the committed size of the parts under `key`; 0 where there are none."""
        return sum(size for _, size in self._parts(key))

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Yields the bytes of the parts under `key`, in order."""
        for path, _ in self._parts(key):
            with _reporting():
                stream = obstore.get(self._store, path).stream(min_chunk_size=_PIECE_BYTES)
                for piece in stream:
                    yield bytes(piece)

    def delete_parts(self, key: str) -> None:
        """Deletes the parts under `key`; deleting what is not there does nothing."""
        # The last first: what is left of them is always a beginning.
        for path in sorted((meta["path"] for meta in self._list_parts(key)), reverse=True):
            self._delete(path)

    def _parts(self, key: str) -> list[tuple[str, int]]:
        """Returns the parts that follow each other from the beginning, with their sizes."""
        parts: list[tuple[str, int]] = []
        size = 0
        for meta in sorted(self._list_parts(key), key=lambda meta: str(meta["path"])):
            if meta["path"] != _part(key, size):
                break
            parts.append((meta["path"], meta["size"]))
            size += meta["size"]
        return parts

    def _list_parts(self, key: str) -> Iterator[Any]:
        return self._list(f"parts/{check_key(key)}")

    def _list(self, folder: str) -> Iterator[Any]:
        with _reporting():
            for page in obstore.list(self._store, folder):
                yield from page

    def _delete(self, path: str) -> None:
        with _reporting():
            try:
                obstore.delete(self._store, path)
            except (exceptions.NotFoundError, FileNotFoundError):
                return

    def _remove_abandoned(self) -> None:
        try:
            limit = datetime.now(UTC) - _ABANDONED
            for meta in self._list("partial"):
                if meta["last_modified"] < limit:
                    self._delete(meta["path"])
        except BlobStoreUnavailableError as error:
            _log.warning("abandoned_not_removed", error=str(error.__cause__))


class S3BlobWriter:
    """Writes one blob of an S3BlobStore."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._held = bytearray()
        self._partial = f"partial/{uuid.uuid4().hex}"
        self._upload: obstore.WritableFile | None = None
        self._ended = False

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        self._hash.update(data)
        self._size_bytes += len(data)
        self._held += data
        if len(self._held) >= _SMALL_BYTES:
            self._send()
        return len(data)

    def commit(self) -> Blob:
        """Makes the blob visible, durably, and returns its name."""
        blob = Blob(self._hash.hexdigest(), self._size_bytes)
        path = blob_path(blob.sha256)
        with _reporting():
            if self._upload is None:
                obstore.put(self._store, path, bytes(self._held), use_multipart=False)
            else:
                self._send()
                self._upload.close()
                self._move(path)
            stored = obstore.head(self._store, path)["size"]
        if stored != blob.size_bytes:
            raise BlobStoreUnavailableError(
                f"The store kept {stored} of {blob.size_bytes} bytes.",
                metadata={"sha256": blob.sha256},
            )
        self._ended = True
        return blob

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        if self._ended:
            return
        self._ended = True
        self._held.clear()
        if self._upload is None:
            return
        try:
            if not self._upload.closed():
                self._upload.close()
            obstore.delete(self._store, self._partial)
        except (exceptions.BaseError, OSError) as error:
            _log.info("partial_not_removed", path=self._partial, error=str(error))  # a day later

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def _send(self) -> None:
        with _reporting():
            if self._upload is None:
                self._upload = obstore.open_writer(
                    self._store,
                    self._partial,
                    buffer_size=_PART_BYTES,
                    max_concurrency=_CONCURRENT_PARTS,
                )
            self._upload.write(bytes(self._held))
        self._held.clear()

    def _move(self, path: str) -> None:
        if self._size_bytes <= _COPY_LIMIT_BYTES:
            obstore.copy(self._store, self._partial, path)
        else:
            pieces = obstore.get(self._store, self._partial).stream(min_chunk_size=_PART_BYTES)
            obstore.put(
                self._store, path, pieces, chunk_size=_PART_BYTES, max_concurrency=_CONCURRENT_PARTS
            )
        obstore.delete(self._store, self._partial)


def _connect(bucket: str, prefix: str, settings: S3Settings) -> S3Store:
    config: dict[str, Any] = {"checksum_algorithm": "SHA256"}
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
        config["virtual_hosted_style_request"] = settings.s3_virtual_hosts
    if settings.s3_region:
        config["region"] = settings.s3_region
    if settings.s3_encryption:
        config["server_side_encryption"] = settings.s3_encryption
    if settings.s3_kms_key:
        config["sse_kms_key_id"] = settings.s3_kms_key
    make: Callable[..., S3Store] = S3Store
    return make(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": settings.s3_endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=5),
            "timeout": timedelta(seconds=settings.s3_timeout_seconds),
        },
        retry_config={
            "max_retries": 20,
            "retry_timeout": timedelta(seconds=settings.s3_retry_seconds),
            "backoff": {
                "init_backoff": timedelta(seconds=0.1),
                "max_backoff": timedelta(seconds=2),
                "base": 2,
            },
        },
    )


@contextmanager
def _reporting() -> Iterator[None]:
    """Turns what the library says of an outage into our error."""
    try:
        yield
    except exceptions.BaseError as error:
        _log.warning("blob_store_failed", error=str(error).partition("\n")[0])
        raise BlobStoreUnavailableError from error


def _record(key: str) -> str:
    return f"records/{check_key(key)}.json"


def _part(key: str, offset_bytes: int) -> str:
    return f"parts/{check_key(key)}/{offset_bytes:0{_OFFSET_DIGITS}}"

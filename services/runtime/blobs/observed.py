"""A blob store that is watched: seconds, bytes, errors and spans of the store behind it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, cast

from opentelemetry.trace import Span, SpanKind

from services.runtime import tracing
from services.runtime.blobs.port import Blob, BlobStore, BlobWriter, ListedBlob
from services.runtime.errors import BlobDamagedError, BlobStoreUnavailableError, MixdownError
from services.runtime.metrics import begin_at_zero, counter, histogram

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Adapter = Literal["folder", "s3"]

_SECONDS = histogram(
    "mixdown_blob_seconds",
    "How long operations of the blob store took; reads and writes by the buffer.",
    ("adapter", "operation"),
    buckets=(0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
)
_BYTES = counter(
    "mixdown_blob_bytes_total",
    "Bytes read from the blob store and written to it.",
    ("adapter", "direction"),
)
_ERRORS = counter(
    "mixdown_blob_errors_total",
    "Operations of the blob store that failed, by the reason of the error.",
    ("adapter", "operation", "reason"),
)

_OPERATIONS = (
    *("open", "find", "delete", "read", "write", "commit"),
    *("read_record", "write_record", "delete_record"),
    *("append_part", "parts_size", "delete_parts"),
)

_BUFFER_BYTES = 1 << 16


class ObservedBlobStore:
    """A store that does what `store` does, and counts it.

    Args:
        store: The store.
        adapter: What it is, for metrics and spans.
    """

    def __init__(self, store: BlobStore, adapter: Adapter) -> None:
        self._store = store
        self._adapter = adapter
        self._watch = _Watch(adapter)

    def create(self) -> ObservedBlobWriter:
        """Begins a new blob."""
        return ObservedBlobWriter(self._store.create(), self._watch)

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading and seeking. Raises BlobNotFoundError."""
        with self._watch.operation("open"):
            file = self._store.open(sha256)
        if isinstance(file, io.BufferedReader):
            file = cast("BinaryIO", file.detach())  # ours is the one buffer
        return io.BufferedReader(_ObservedFile(file, self._watch), _BUFFER_BYTES)

    def find(self, sha256: str) -> Blob | None:
        """Returns the blob where it exists."""
        with self._watch.operation("find"):
            return self._store.find(sha256)

    def delete(self, sha256: str) -> None:
        """Deletes a blob; deleting what is not there does nothing."""
        with self._watch.operation("delete"):
            self._store.delete(sha256)

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yields all blobs."""
        return self._store.list_blobs()

    def presign(self, sha256: str, lifetime: timedelta) -> str | None:
        """Returns a URL from which a blob can be read without us, where the store can do that."""
        return self._store.presign(sha256, lifetime)

    def write_record(self, key: str, document: bytes) -> None:
        """Stores a record, replacing an older one."""
        with self._watch.operation("write_record"):
            self._store.write_record(key, document)
        self._watch.count_written(len(document))

    def read_record(self, key: str) -> bytes | None:
        """Returns a record, or None."""
        with self._watch.operation("read_record"):
            document = self._store.read_record(key)
        self._watch.count_read(len(document or b""))
        return document

    def delete_record(self, key: str) -> None:
        """Deletes a record; deleting what is not there does nothing."""
        with self._watch.operation("delete_record"):
            self._store.delete_record(key)

    def list_records(self, folder: str = "") -> Iterator[str]:
        """Yields the keys of the records below `folder`, or of all."""
        return self._store.list_records(folder)

    def append_part(self, key: str, offset_bytes: int, data: bytes) -> bool:
        """Appends to the parts under `key` where `offset_bytes` is the committed size."""
        with self._watch.operation("append_part"):
            is_appended = self._store.append_part(key, offset_bytes, data)
        if is_appended:
            self._watch.count_written(len(data))
        return is_appended

    def parts_size(self, key: str) -> int:
        """Returns the committed size of the parts under `key`; 0 where there are none."""
        with self._watch.operation("parts_size"):
            return self._store.parts_size(key)

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Yields the bytes of the parts under `key`, in order."""
        for data in self._store.read_parts(key):
            self._watch.count_read(len(data))
            yield data

    def delete_parts(self, key: str) -> None:
        """Deletes the parts under `key`; deleting what is not there does nothing."""
        with self._watch.operation("delete_parts"):
            self._store.delete_parts(key)


class ObservedBlobWriter:
    """Writes one blob of an ObservedBlobStore; its span lasts until `commit` or `discard`."""

    def __init__(self, writer: BlobWriter, watch: _Watch) -> None:
        self._writer = writer
        self._watch = watch
        self._span: Span | None = watch.begin_span("write")
        self._size_bytes = 0

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        with self._watch.timed("write"):
            count = self._writer.write(data)
        self._size_bytes += count
        self._watch.count_written(count)
        return count

    def commit(self) -> Blob:
        """Makes the blob visible, durably, and returns its name."""
        try:
            with self._watch.timed("commit"):
                return self._writer.commit()
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._end()

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        self._writer.discard()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def _end(self, error: BaseException | None = None) -> None:
        if self._span is not None:
            self._span.set_attribute("mixdown.bytes", self._size_bytes)
            tracing.end_span(self._span, error)
            self._span = None


class _ObservedFile(io.RawIOBase):
    """A blob that is read; its span lasts until it is closed."""

    def __init__(self, file: BinaryIO, watch: _Watch) -> None:
        self._file = file
        self._watch = watch
        self._span: Span | None = watch.begin_span("read")
        self._read_bytes = 0
        self._seconds = 0.0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        began = time.perf_counter()
        with self._watch.timed("read"):
            count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._seconds += time.perf_counter() - began
        self._read_bytes += count
        self._watch.count_read(count)
        return count

    def close(self) -> None:
        self._file.close()
        if self._span is not None:
            self._span.set_attribute("mixdown.bytes", self._read_bytes)
            self._span.set_attribute("mixdown.reading_seconds", self._seconds)
            tracing.end_span(self._span)
            self._span = None
        super().close()


class _Watch:
    """Counts for one adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        begin_at_zero(_ERRORS, [adapter], _OPERATIONS, [BlobStoreUnavailableError.reason])
        begin_at_zero(_ERRORS, [adapter], ["read"], [BlobDamagedError.reason])
        self._read = _BYTES.labels(adapter, "read")
        self._written = _BYTES.labels(adapter, "written")

    def count_read(self, size_bytes: int) -> None:
        """Counts bytes that were read."""
        self._read.inc(size_bytes)

    def count_written(self, size_bytes: int) -> None:
        """Counts bytes that were written."""
        self._written.inc(size_bytes)

    def begin_span(self, operation: str) -> Span:
        """Begins the span of an operation that lasts."""
        return tracing.begin_span(f"blob {operation}", SpanKind.CLIENT, self._attributes)

    @contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """Counts the seconds and the errors of a step of an operation that has a span."""
        began = time.perf_counter()
        try:
            yield
        except (MixdownError, OSError) as error:
            reason = str(getattr(error, "reason", "") or type(error).__name__)
            _ERRORS.labels(self._adapter, operation, reason).inc()
            raise
        finally:
            _SECONDS.labels(self._adapter, operation).observe(time.perf_counter() - began)

    @contextmanager
    def operation(self, operation: str) -> Iterator[None]:
        """Counts an operation and gives it a span."""
        with (
            tracing.span(f"blob {operation}", SpanKind.CLIENT, self._attributes),
            self.timed(operation),
        ):
            yield

    @property
    def _attributes(self) -> dict[str, str]:
        return {"mixdown.blob_store": self._adapter}

"""A blob store in a folder of one machine.

Layout: `blobs/ab/abcdef…`, `records/<key>.json`, `parts/<key>`, `partial/` for what is being
written. A blob is written to `partial/`, flushed to disk and renamed, so that a crash leaves no
half blob; what a crash leaves in `partial/` is removed when a store is opened a day later.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

from services.runtime.blobs.naming import blob_missing, blob_path, check_key
from services.runtime.blobs.port import Blob, ListedBlob
from services.runtime.blobs.verified import verified
from services.runtime.errors import BlobNotFoundError

_READ_BYTES = 1 << 20
_ABANDONED_SECONDS = 24 * 3600.0
_SENT_AT_ONCE_BYTES = 8 << 20


class FolderBlobStore:
    """The store in `folder`, which is made where it is missing. Safe for many processes."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._partial = self._folder / "partial"
        for name in ("blobs", "records", "parts", "partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()

    def create(self) -> FolderBlobWriter:
        """Begins a new blob."""
        return FolderBlobWriter(self._partial, self._path)

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading and seeking. Raises BlobNotFoundError."""
        try:
            file = self._path(sha256).open("rb", buffering=0)
        except FileNotFoundError:
            raise blob_missing(sha256) from None
        return verified(file, sha256, os.fstat(file.fileno()).st_size)

    def find(self, sha256: str) -> Blob | None:
        """Returns the blob where it exists."""
        try:
            return Blob(sha256, self._path(sha256).stat().st_size)
        except (FileNotFoundError, BlobNotFoundError):
            return None

    def delete(self, sha256: str) -> None:
        """Deletes a blob; deleting what is not there does nothing."""
        self._path(sha256).unlink(missing_ok=True)

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yields all blobs."""
        for path in (self._folder / "blobs").glob("*/*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # deleted meanwhile
            time = datetime.fromtimestamp(status.st_mtime, UTC)
            yield ListedBlob(Blob(path.name, status.st_size), time)

    def presign(self, sha256: str, lifetime: timedelta) -> str | None:
        """Returns None: nobody serves the folder."""
        return None

    def write_record(self, key: str, document: bytes) -> None:
        """Stores a record, replacing an older one."""
        path = self._keyed("records", key, ".json")
        _make_folder(path.parent)
        with tempfile.NamedTemporaryFile(dir=self._partial, delete=False) as file:
            file.write(document)
            _flush_to_disk(file)
        _rename_durably(Path(file.name), path)

    def read_record(self, key: str) -> bytes | None:
        """Returns a record, or None."""
        try:
            return self._keyed("records", key, ".json").read_bytes()
        except FileNotFoundError:
            return None

    def delete_record(self, key: str) -> None:
        """Deletes a record; deleting what is not there does nothing."""
        self._keyed("records", key, ".json").unlink(missing_ok=True)

    def list_records(self, folder: str = "") -> Iterator[str]:
        """Yields the keys of the records below `folder`, or of all."""
        records = self._folder / "records"
        for path in (records / check_key(folder) if folder else records).rglob("*.json"):
            yield str(path.relative_to(records)).removesuffix(".json")

    def append_part(self, key: str, offset_bytes: int, data: bytes) -> bool:
        """Appends to the parts under `key` where `offset_bytes` is the committed size."""
        path = self._keyed("parts", key)
        _make_folder(path.parent)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: look and write are one step
            deleted = os.fstat(file.fileno()).st_nlink == 0  # while we waited for the lock
            if deleted or file.seek(0, os.SEEK_END) != offset_bytes:
                return False
            file.write(data)
            _flush_to_disk(file)
            return True

    def parts_size(self, key: str) -> int:
        """Returns the committed size of the parts under `key`; 0 where there are none."""
        try:
            return self._keyed("parts", key).stat().st_size
        except FileNotFoundError:
            return 0

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Yields the bytes of the parts under `key`, in order."""
        path = self._keyed("parts", key)
        if path.exists():
            with path.open("rb") as file:
                while data := file.read(_READ_BYTES):
                    yield data

    def delete_parts(self, key: str) -> None:
        """Deletes the parts under `key`; deleting what is not there does nothing."""
        self._keyed("parts", key).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self._folder / blob_path(sha256)

    def _keyed(self, room: str, key: str, suffix: str = "") -> Path:
        return self._folder / room / f"{check_key(key)}{suffix}"

    def _remove_abandoned(self) -> None:
        limit = time.time() - _ABANDONED_SECONDS
        for path in self._partial.iterdir():
            try:
                if path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # another process was faster


class FolderBlobWriter:
    """Writes one blob of a FolderBlobStore."""

    def __init__(self, partial: Path, path_of: Callable[[str], Path]) -> None:
        handle, name = tempfile.mkstemp(dir=partial)
        self._file = os.fdopen(handle, "wb")
        self._name = Path(name)
        self._path_of = path_of
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._sent_bytes = 0
        self._ended = False

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        self._hash.update(data)
        self._size_bytes += len(data)
        written = self._file.write(data)
        if self._size_bytes - self._sent_bytes >= _SENT_AT_ONCE_BYTES:
            self._send_to_disk()
        return written

    def _send_to_disk(self) -> None:
        """Has the system begin to write to the disk, so that `commit` has little left to wait for.

        That is what Linux does where it is told that pages are not needed and they are not on the
        disk yet. It waits for nothing, and such pages stay in memory for whoever reads them.
        """
        self._file.flush()
        if hasattr(os, "posix_fadvise"):  # not everywhere
            fresh = self._size_bytes - self._sent_bytes
            handle = self._file.fileno()
            os.posix_fadvise(handle, self._sent_bytes, fresh, os.POSIX_FADV_DONTNEED)
        self._sent_bytes = self._size_bytes

    def commit(self) -> Blob:
        """Makes the blob visible, durably, and returns its name."""
        _flush_to_disk(self._file)
        self._file.close()
        self._ended = True
        blob = Blob(self._hash.hexdigest(), self._size_bytes)
        path = self._path_of(blob.sha256)
        _make_folder(path.parent)
        _rename_durably(self._name, path)
        return blob

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        if not self._ended:
            self._ended = True
            self._file.close()
            self._name.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def _flush_to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _rename_durably(source: Path, target: Path) -> None:
    source.replace(target)
    _flush_folder(target.parent)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)  # or a crash could take the folder, and the file in it


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A copy of a store has all that the store has, and nothing that is not what its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.blobs.copying import Copied, copy_store
from services.runtime.blobs.folder import FolderBlobStore
from services.runtime.blobs.memory import MemoryBlobStore
from services.runtime.errors import BlobDamagedError
from tests.unit.runtime.blobs.store_behaviour import write


def test_what_is_not_there_is_copied(tmp_path: Path) -> None:
    source, target = FolderBlobStore(tmp_path / "source"), MemoryBlobStore()
    first, second = write(source, b"first"), write(source, b"second" * 500_000)
    empty = write(source)
    source.write_record("stems/a/1", b"{}")
    source.append_part("uploads/1", 0, b"on its way")
    assert copy_store(source, target) == Copied(3, first.size_bytes + second.size_bytes, 1)
    for blob in (first, second, empty):
        assert target.find(blob.sha256) == blob
    assert target.read_record("stems/a/1") == b"{}"
    assert target.parts_size("uploads/1") == 0
    third = write(source, b"third")
    assert copy_store(source, target) == Copied(1, third.size_bytes, 1)


def test_a_damaged_blob_is_told_and_not_copied(tmp_path: Path) -> None:
    source, target = FolderBlobStore(tmp_path / "source"), MemoryBlobStore()
    blob = write(source, b"as it was")
    (tmp_path / "source" / "blobs" / blob.sha256[:2] / blob.sha256).write_bytes(b"as it is!")
    with pytest.raises(BlobDamagedError):
        copy_store(source, target)
    assert list(target.list_blobs()) == []


def test_half_a_blob_of_a_broken_copy_is_copied_anew(tmp_path: Path) -> None:
    source, target = MemoryBlobStore(), FolderBlobStore(tmp_path / "target")
    blob = write(source, b"the whole")
    write(target, b"the whole")
    (tmp_path / "target" / "blobs" / blob.sha256[:2] / blob.sha256).write_bytes(b"the")
    assert copy_store(source, target).blobs == 1
    with target.open(blob.sha256) as file:
        assert file.read() == b"the whole"

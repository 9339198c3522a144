"""The blob store in a folder: what every store does, and what only files can do wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from services.runtime.blobs import open_blob_store
from services.runtime.blobs.folder import FolderBlobStore
from services.runtime.errors import BlobDamagedError
from tests.unit.runtime.blobs.store_behaviour import BlobStoreBehaviour, OpenStore, write


class TestFolderBlobStore(BlobStoreBehaviour):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return lambda: FolderBlobStore(tmp_path / "blobs")


def test_the_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    store = open_blob_store(str(tmp_path / "a" / "b"))
    assert store.find(write(store, b"x").sha256) is not None


def test_nothing_is_left_in_the_folder_of_what_is_being_written(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    write(store, b"kept")
    store.write_record("kept", b"{}")
    with store.create() as writer:
        writer.write(b"dropped")
    assert list((tmp_path / "partial").iterdir()) == []


def test_what_a_crash_left_is_removed_a_day_later_and_nothing_else(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    blob = write(store, b"kept")
    partial = tmp_path / "partial"
    (partial / "old").write_bytes(b"half")
    (partial / "young").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    for path in (partial / "old", tmp_path / "blobs" / blob.sha256[:2] / blob.sha256):
        os.utime(path, (yesterday, yesterday))
    store = FolderBlobStore(tmp_path)
    assert [path.name for path in partial.iterdir()] == ["young"]
    assert store.find(blob.sha256) == blob


def test_damage_is_noticed_by_whoever_reads_all_of_it(tmp_path: Path) -> None:
    store = FolderBlobStore(tmp_path)
    blob = write(store, bytes(200_000))
    path = tmp_path / "blobs" / blob.sha256[:2] / blob.sha256
    for damaged in (bytes(199_999) + b"x", bytes(199_999)):
        path.write_bytes(damaged)
        with store.open(blob.sha256) as file, pytest.raises(BlobDamagedError):
            file.read()
    with store.open(blob.sha256) as file:
        file.seek(100_000)
        assert file.read(5) == bytes(5)


def test_a_location_is_a_folder_or_s3(tmp_path: Path) -> None:
    for location in ("gs://bucket", "s3://", "s3:///prefix"):
        with pytest.raises(ValueError, match="a blob store is a folder or s3"):
            open_blob_store(location)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no such advice")
def test_a_large_blob_is_on_its_way_to_the_disk_before_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advised: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, *advice: advised.append(advice))
    store = FolderBlobStore(tmp_path)
    piece = os.urandom(3 << 20)
    with store.create() as writer:
        for _ in range(7):
            writer.write(piece)
        blob = writer.commit()
    # Each byte once, in order, and as it lies in the file already.
    dirty = os.POSIX_FADV_DONTNEED
    assert advised == [(0, 9 << 20, dirty), (9 << 20, 9 << 20, dirty)]
    with store.open(blob.sha256) as file:
        assert file.read() == 7 * piece

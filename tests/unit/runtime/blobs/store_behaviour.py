"""What every blob store does. A store's test module subclasses this and says how to open one."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from services.runtime.blobs import Blob, BlobStore
from services.runtime.errors import BlobNotFoundError

OpenStore = Callable[[], BlobStore]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(store: BlobStore, *parts: bytes) -> Blob:
    with store.create() as writer:
        for part in parts:
            assert writer.write(part) == len(part)
        return writer.commit()


class BlobStoreBehaviour:
    """Needs a fixture `open_store`: each call opens the same place once more."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> BlobStore:
        return open_store()

    def test_a_blob_is_named_by_its_content(self, store: BlobStore) -> None:
        blob = write(store, b"some ", b"", b"audio")
        assert blob == Blob(sha256(b"some audio"), 10)
        assert store.find(blob.sha256) == blob
        with store.open(blob.sha256) as file:
            assert file.read() == b"some audio"

    def test_an_empty_blob_is_a_blob(self, store: BlobStore) -> None:
        blob = write(store)
        assert blob == Blob(sha256(b""), 0)
        assert store.find(blob.sha256) == blob

    def test_a_blob_can_be_read_from_anywhere(self, store: BlobStore) -> None:
        data = bytes(range(256)) * 5000
        with store.open(write(store, data).sha256) as file:
            file.seek(700_000)
            assert file.read(3) == data[700_000:700_003]
            assert file.tell() == 700_003
            file.seek(0)
            assert file.read() == data

    def test_a_blob_appears_whole_or_not_at_all(self, store: BlobStore) -> None:
        name = sha256(b"half of it")
        with store.create() as writer:
            writer.write(b"half ")
            assert store.find(name) is None
            writer.write(b"of it")
            assert store.find(name) is None
            writer.commit()
            assert store.find(name) == Blob(name, 10)

    def test_what_was_not_committed_is_forgotten(self, store: BlobStore) -> None:
        with pytest.raises(ZeroDivisionError), store.create() as writer:
            writer.write(b"lost")
            raise ZeroDivisionError
        with store.create() as writer:
            writer.write(b"lost too")
            writer.discard()
            writer.discard()
        for data in (b"lost", b"lost too"):
            assert store.find(sha256(data)) is None

    def test_discarding_what_was_committed_does_nothing(self, store: BlobStore) -> None:
        with store.create() as writer:
            writer.write(b"kept")
            blob = writer.commit()
            writer.discard()
        assert store.find(blob.sha256) == blob

    def test_the_same_content_twice_is_one_blob(self, store: BlobStore) -> None:
        first = write(store, b"same")
        with store.open(first.sha256) as reading:
            assert write(store, b"same") == first
            assert reading.read() == b"same"  # whoever reads is not disturbed

    def test_a_blob_is_there_for_everybody(self, open_store: OpenStore) -> None:
        blob = write(open_store(), b"shared")
        assert open_store().find(blob.sha256) == blob

    def test_a_deleted_blob_is_gone(self, store: BlobStore) -> None:
        blob = write(store, b"old")
        store.delete(blob.sha256)
        store.delete(blob.sha256)
        assert store.find(blob.sha256) is None
        with pytest.raises(BlobNotFoundError) as caught:
            store.open(blob.sha256)
        assert caught.value.metadata == {"sha256": blob.sha256}

    def test_all_blobs_are_listed_with_when_they_were_written(self, store: BlobStore) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        blobs = {write(store, b"one"), write(store, b"two")}
        listed = list(store.list_blobs())
        assert {entry.blob for entry in listed} == blobs
        assert all(
            before < entry.write_time < datetime.now(UTC) + timedelta(seconds=2) for entry in listed
        )

    def test_a_large_blob_is_kept_and_found_whole(self, store: BlobStore) -> None:
        piece = bytes(range(256)) * 4096
        blob = write(store, *[piece] * 20)
        assert blob == Blob(sha256(piece * 20), 20 << 20)
        with store.open(blob.sha256) as file:
            assert file.read() == piece * 20
            file.seek(-3, io.SEEK_END)
            assert file.read(10) == piece[-3:]
            assert file.read(10) == b""

    def test_what_was_dropped_of_a_large_blob_leaves_nothing(self, store: BlobStore) -> None:
        with store.create() as writer:
            for _ in range(20):
                writer.write(bytes(1 << 20))
        assert list(store.list_blobs()) == []

    @pytest.mark.parametrize(
        "name",
        ["", "x", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "a/" * 32],
    )
    def test_what_is_no_sha256_names_no_blob(self, store: BlobStore, name: str) -> None:
        assert store.find(name) is None
        with pytest.raises(BlobNotFoundError):
            store.open(name)

    def test_many_may_write_the_same_blob_at_once(self, open_store: OpenStore) -> None:
        data = [b"x" * 65_536] * 16
        with ThreadPoolExecutor(8) as threads:
            blobs = set(threads.map(lambda _: write(open_store(), *data), range(16)))
        assert blobs == {Blob(sha256(b"".join(data)), 1 << 20)}

    def test_a_record_is_what_was_written_last(self, store: BlobStore) -> None:
        key = "stems/htdemucs-0.1/vocals"
        assert store.read_record(key) is None
        store.write_record(key, b'{"sha256": "1"}')
        assert store.read_record(key) == b'{"sha256": "1"}'
        store.write_record(key, b"{}")
        assert store.read_record(key) == b"{}"
        assert store.read_record("stems/htdemucs-0.1") is None
        store.delete_record(key)
        store.delete_record(key)
        assert store.read_record(key) is None

    def test_records_are_listed_by_folder(self, store: BlobStore) -> None:
        for key in ("stems/a/1", "stems/a/2", "stems/ab/3", "levels/a/1"):
            store.write_record(key, b"{}")
        assert sorted(store.list_records("stems/a")) == ["stems/a/1", "stems/a/2"]
        assert len(list(store.list_records("stems"))) == 3
        assert list(store.list_records("none")) == []
        assert set(store.list_records("stems")) <= set(store.list_records())

    def test_a_record_is_never_read_half_written(self, open_store: OpenStore) -> None:
        documents = {bytes([letter]) * 200_000 for letter in b"ab"}
        open_store().write_record("busy", next(iter(documents)))
        done = threading.Event()

        def rewrite() -> None:
            store = open_store()
            for _ in range(50):
                for document in documents:
                    store.write_record("busy", document)
            done.set()

        writer = threading.Thread(target=rewrite)
        writer.start()
        reader = open_store()
        while not done.is_set():
            assert reader.read_record("busy") in documents
        writer.join()

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "A", "a\0", "é"]
    )
    def test_keys_that_are_none_are_refused(self, store: BlobStore, key: str) -> None:
        for use in (
            lambda: store.write_record(key, b""),
            lambda: store.read_record(key),
            lambda: store.append_part(key, 0, b""),
            lambda: store.parts_size(key),
        ):
            with pytest.raises(ValueError, match="not a key"):
                use()

    def test_parts_are_put_together_in_order(self, store: BlobStore) -> None:
        key = "uploads/1"
        assert store.parts_size(key) == 0
        assert list(store.read_parts(key)) == []
        assert store.append_part(key, 0, b"one ")
        assert store.append_part(key, 4, b"two")
        assert store.parts_size(key) == 7
        assert b"".join(store.read_parts(key)) == b"one two"
        store.delete_parts(key)
        store.delete_parts(key)
        assert store.parts_size(key) == 0

    def test_a_part_at_the_wrong_place_is_not_written(self, store: BlobStore) -> None:
        store.append_part("uploads/1", 0, b"one ")
        assert not store.append_part("uploads/1", 0, b"two ")
        assert not store.append_part("uploads/1", 9, b"gap")
        assert b"".join(store.read_parts("uploads/1")) == b"one "
        assert not store.append_part("uploads/2", 5, b"gap")
        assert store.parts_size("uploads/2") == 0

    def test_parts_are_there_for_everybody(self, open_store: OpenStore) -> None:
        open_store().append_part("uploads/1", 0, b"one ")
        assert open_store().append_part("uploads/1", 4, b"two")

    def test_long_parts_come_in_pieces(self, store: BlobStore) -> None:
        data = bytes(range(256)) * 12_000
        store.append_part("uploads/long", 0, data)
        pieces = list(store.read_parts("uploads/long"))
        assert len(pieces) > 1
        assert b"".join(pieces) == data

    def test_many_who_append_at_once_lose_and_double_nothing(self, open_store: OpenStore) -> None:
        """Each tries until its own piece was taken where it offered it, as resumed uploads do."""

        def append(letter: int) -> None:
            store, piece = open_store(), bytes([letter]) * 1000
            while not store.append_part("uploads/race", store.parts_size("uploads/race"), piece):
                pass

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(append, range(16)))
        data = b"".join(open_store().read_parts("uploads/race"))
        assert len(data) == 16_000
        pieces = [data[start : start + 1000] for start in range(0, 16_000, 1000)]
        assert sorted(pieces) == [bytes([letter]) * 1000 for letter in range(16)]

"""What is deleted leaves the blob store, with all that was derived from it, and nothing else.

The session service is the real one, over SQLite, with a clock that can be turned on.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from mixdown.session.v1 import session_pb2
from services.gateway.cleaning import Cleaner
from services.runtime.blobs import BlobStore
from services.runtime.blobs.memory import MemoryBlobStore
from services.session.database import create_database_engine
from services.session.schema import migrate
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import Driver, mix, remix

GRACE_SECONDS = 3601
LATER = timedelta(days=2)


def write(store: BlobStore, data: bytes) -> str:
    with store.create() as writer:
        writer.write(data)
        return writer.commit().sha256


def names(store: BlobStore) -> set[str]:
    return {entry.blob.sha256 for entry in store.list_blobs()}


@pytest.fixture
def store() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def driver(tmp_path: Path, clock: Clock) -> AsyncIterator[Driver]:
    url = f"sqlite:///{tmp_path / 'session.db'}"
    engine = create_database_engine(url, 1)
    migrate(engine)
    engine.dispose()
    async with serving(url, clock) as stub:
        yield Driver(stub)


@pytest.fixture
def cleaner(driver: Driver, store: MemoryBlobStore) -> Cleaner:
    return Cleaner(driver.stub, store, 60, 3600)


async def test_what_is_due_is_deleted_once_its_grace_is_over(
    driver: Driver, clock: Clock, cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    gone, kept = write(store, b"gone"), write(store, b"kept")
    track = await driver.track(content="gone")
    await driver.track(content="kept")
    await driver.delete_track(track)
    assert await cleaner.clean() == 0
    assert names(store) == {gone, kept}
    clock.advance(GRACE_SECONDS)
    assert await cleaner.clean() == 3  # with the parts of both uploads
    assert names(store) == {kept}
    assert await cleaner.clean() == 0


async def test_the_parts_of_an_upload_go_once_it_is_a_track(
    driver: Driver, clock: Clock, cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    upload = await driver.stub.BeginUpload(
        session_pb2.BeginUploadRequest(
            user_id=driver.user_id, upload_id="one", display_name="a.wav", total_size_bytes=4
        )
    )
    store.append_part(upload.staging_key, 0, b"song")
    blob = write(store, b"song")
    await driver.stub.CreateTrack(
        session_pb2.CreateTrackRequest(
            user_id=driver.user_id,
            upload_id="one",
            blob={"sha256": blob, "size_bytes": 4},
        )
    )
    clock.advance(GRACE_SECONDS)
    await cleaner.clean()
    assert store.parts_size(upload.staging_key) == 0
    assert names(store) == {blob}


async def test_a_file_stays_as_long_as_any_turn_has_it(
    driver: Driver, clock: Clock, cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    write(store, b"song")
    rendered = write(store, b"rendered")
    track = await driver.track(content="song")
    sessions = [await driver.session(track) for _ in range(2)]
    for session in sessions:
        work = await driver.begin(session)
        await driver.record(work, remix(mix(vocals=3)))
        await driver.output_finished(work, content="rendered")
        await driver.complete(work)
    await driver.delete_session(sessions[0])
    clock.advance(GRACE_SECONDS)
    await cleaner.clean()
    assert rendered in names(store)
    await driver.delete_session(sessions[1])
    clock.advance(GRACE_SECONDS)
    await cleaner.clean()
    assert rendered not in names(store)


async def test_with_an_original_goes_what_was_derived_from_it(
    driver: Driver, clock: Clock, cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    song, other = write(store, b"song"), write(store, b"other")
    stem, shared, rendered = (write(store, name) for name in (b"stem", b"shared", b"rendered"))
    track = await driver.track(content="song")
    await driver.track(content="other")
    await driver.track(content="shared")  # somebody has uploaded what is a stem of both
    for original in (song, other):
        store.write_record(f"stems/{original}/x", json.dumps({"blob_sha256": shared}).encode())
        store.write_record(f"levels/{original}/y", b"{}")
        store.write_record(f"originals/{original}", b"{}")
        store.write_record(f"renders/{original}/z", json.dumps({"sha256": rendered}).encode())
    store.write_record(f"stems/{song}/own", json.dumps({"blob_sha256": stem}).encode())
    await driver.delete_track(track)
    for _ in range(2):  # the original; then what it has left without an owner
        clock.advance(GRACE_SECONDS)
        await cleaner.clean()
    assert names(store) == {other, shared}
    assert sorted(store.list_records()) == [
        *(f"levels/{other}/y", f"originals/{other}", f"renders/{other}/z", f"stems/{other}/x")
    ]


async def test_a_sweep_finds_what_is_old_and_what_nobody_knows(
    driver: Driver, clock: Clock, cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    song, stem = write(store, b"song"), write(store, b"stem")
    orphan = write(store, b"rendered for a turn that was cancelled")
    await driver.track(content="song")
    store.write_record(f"stems/{song}/x", json.dumps({"blob_sha256": stem}).encode())
    await cleaner.sweep()
    clock.advance(GRACE_SECONDS)
    await cleaner.clean()
    assert orphan in names(store)  # it is young: a turn may still tell of it
    await cleaner.sweep(datetime.now(UTC) + LATER)
    clock.advance(GRACE_SECONDS)
    await cleaner.clean()
    assert names(store) == {song, stem}


async def test_a_sweep_forgets_renders_whose_file_has_gone(
    cleaner: Cleaner, store: MemoryBlobStore
) -> None:
    there = write(store, b"there")
    for key, sha256 in (("renders/a/1", there), ("renders/a/2", "f" * 64), ("renders/old", "")):
        store.write_record(key, json.dumps({"sha256": sha256}).encode())
    await cleaner.sweep()
    assert [*store.list_records()] == ["renders/a/1"]

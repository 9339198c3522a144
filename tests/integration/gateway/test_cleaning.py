"""What is deleted leaves the blob store, with all that was derived from it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import empty_pb2
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.cleaning import Cleaner
from services.runtime.blobs import BlobStore
from services.runtime.blobs.memory import MemoryBlobStore


def write(store: BlobStore, data: bytes) -> str:
    with store.create() as writer:
        writer.write(data)
        return writer.commit().sha256


class Sessions(session_pb2_grpc.SessionServiceServicer):
    """Has a list of deletions, and remembers what it is told."""

    def __init__(self) -> None:
        self.due: list[session_pb2.Deletions] = []
        self.confirmed: list[str] = []
        self.reported: list[str] = []

    async def ClaimDeletions(self, request, context):
        return self.due.pop(0) if self.due else session_pb2.Deletions()

    async def ConfirmDeletions(self, request, context):
        self.confirmed += request.names
        return empty_pb2.Empty()

    async def ReportBlobs(self, request, context):
        self.reported += [blob.sha256 for blob in request.blobs]
        return empty_pb2.Empty()


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def store() -> MemoryBlobStore:
    return MemoryBlobStore()


@pytest.fixture
async def cleaner(sessions: Sessions, store: MemoryBlobStore) -> AsyncIterator[Cleaner]:
    server = aio.server()
    session_pb2_grpc.add_SessionServiceServicer_to_server(sessions, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Cleaner(session_pb2_grpc.SessionServiceStub(channel), store, 60, 3600)
    await server.stop(0)


async def test_what_is_due_is_deleted_and_confirmed(
    cleaner: Cleaner, sessions: Sessions, store: MemoryBlobStore
) -> None:
    gone, kept = write(store, b"gone"), write(store, b"kept")
    store.append_part("uploads/1", 0, b"part")
    sessions.due = [
        session_pb2.Deletions(blobs=[audio_pb2.Blob(sha256=gone, size_bytes=4)]),
        session_pb2.Deletions(staging_keys=["uploads/1"]),
    ]
    assert await cleaner.clean() == 2
    assert [entry.blob.sha256 for entry in store.list_blobs()] == [kept]
    assert store.parts_size("uploads/1") == 0
    assert sessions.confirmed == [gone, "uploads/1"]


async def test_with_an_original_goes_what_was_derived_from_it(
    cleaner: Cleaner, sessions: Sessions, store: MemoryBlobStore
) -> None:
    song, other, stem = write(store, b"song"), write(store, b"other"), write(store, b"stem")
    for track in (song, other):
        store.write_record(f"stems/{track}/x", json.dumps({"blob_sha256": stem}).encode())
        store.write_record(f"levels/{track}/y", b"{}")
        store.write_record(f"properties/{track}", b"{}")
    sessions.due = [session_pb2.Deletions(blobs=[audio_pb2.Blob(sha256=song, size_bytes=4)])]
    await cleaner.clean()
    assert [*store.list_records("stems")] == [f"stems/{other}/x"]
    assert [*store.list_records("levels")] == [f"levels/{other}/y"]
    assert [*store.list_records("properties")] == [f"properties/{other}"]
    assert sessions.reported == [stem]  # for the session service to decide


async def test_a_sweep_reports_what_is_old_and_no_stem(
    cleaner: Cleaner, sessions: Sessions, store: MemoryBlobStore
) -> None:
    song, stem = write(store, b"song"), write(store, b"stem")
    store.write_record(f"stems/{song}/x", json.dumps({"blob_sha256": stem}).encode())
    await cleaner.sweep()
    assert sessions.reported == []  # all of it is young
    await cleaner.sweep(datetime.now(UTC) + timedelta(days=2))
    assert sessions.reported == [song]

"""A stubborn caller, and what must hold after all it has said."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from grpc import aio
from sqlalchemy import text

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.runtime.blobs import BlobStore
from services.session.database import create_database_engine

PROMPTS = (
    "make the vocals 4 dB louder",
    "only the drums",
    "undo that",
    "give me the bass and the vocals as separate files",
    "drums 3 dB quieter",
)
_PAUSE_SECONDS = 0.3
_TURN_SECONDS = 150


class Talk:
    """A conversation by someone who asks the same again until it is answered."""

    def __init__(self, stub: gateway_pb2_grpc.GatewayServiceAsyncStub) -> None:
        self._stub = stub
        self.session_id = ""
        self.attempts = 0

    async def begin(self, song: Path) -> str:
        """Uploads a song and begins a session; returns the song's SHA-256."""
        data = await asyncio.to_thread(song.read_bytes)
        start = gateway_pb2.UploadStart(
            upload_id="song", display_name=song.name, total_size_bytes=len(data)
        )
        pieces = [data[at : at + (1 << 18)] for at in range(0, len(data), 1 << 18)]
        messages = [
            gateway_pb2.UploadTrackRequest(start=start),
            *(gateway_pb2.UploadTrackRequest(data=piece) for piece in pieces),
        ]
        track = await self._stub.UploadTrack(iter(messages))
        session = await self._stub.CreateSession(
            gateway_pb2.CreateSessionRequest(track_id=track.track_id)
        )
        self.session_id = session.session_id
        return track.blob.sha256

    async def say(self, prompt: str, request_id: str) -> dict[str, str]:
        """Says something until the turn has ended; returns the SHA-256 of each file by name."""
        async with asyncio.timeout(_TURN_SECONDS):
            while True:
                self.attempts += 1
                try:
                    return await self._listen(prompt, request_id)
                except aio.AioRpcError as error:
                    if error.code().name not in {"UNAVAILABLE", "ABORTED", "INTERNAL", "CANCELLED"}:
                        raise
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, prompt: str, request_id: str) -> dict[str, str]:
        received: dict[str, bytearray] = {}
        files: dict[str, str] = {}
        call = self._stub.Converse(
            gateway_pb2.ConverseRequest(
                session_id=self.session_id, prompt=prompt, request_id=request_id
            )
        )
        async for event in call:
            match event.WhichOneof("event"):
                case "audio":
                    data = received.setdefault(event.audio.name, bytearray())
                    assert event.audio.offset_bytes == len(data)
                    data += event.audio.data
                case "output_finished":
                    artifact = event.output_finished.artifact
                    data = received[artifact.name]
                    assert hashlib.sha256(data).hexdigest() == artifact.blob.sha256
                    files[artifact.name] = artifact.blob.sha256
                case "completed":
                    return files
                case "failed":
                    raise AssertionError(f"the turn failed: {event.failed.error}")
        raise AssertionError("the stream ended before the turn")

    async def turns(self) -> list[conversation_pb2.Turn]:
        """Returns the history."""
        page = await self._stub.ListTurns(
            gateway_pb2.ListTurnsRequest(session_id=self.session_id, page_size=200)
        )
        return list(page.turns)


def check_events(database_url: str) -> None:
    """Checks that every turn ended once and that no event is missing or doubled."""
    engine = create_database_engine(database_url, 1)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT turn_id, sequence, kind FROM turn_events ORDER BY turn_id, sequence")
        ).all()
        turns = set(connection.execute(text("SELECT turn_id FROM turns")).scalars())
    engine.dispose()
    events: dict[str, list[str]] = {}
    for turn_id, sequence, kind in rows:
        kinds = events.setdefault(turn_id, [])
        kinds.append(kind)
        assert sequence == len(kinds)
    assert set(events) == turns
    for kinds in events.values():
        assert kinds[:2] == ["accepted", "interpreted"]
        assert kinds[-1] == "completed"
        ends = {"completed", "failed", "cancelled"}
        assert sum(kind in ends for kind in kinds) == 1
        assert kinds.count("output_started") == kinds.count("output_finished")


def check_blobs(
    store: BlobStore, track_sha256: str, turns: Iterable[conversation_pb2.Turn]
) -> None:
    """Checks that exactly the blobs are there that something refers to, and that they are whole."""
    stems = {
        json.loads(store.read_record(key) or b"{}")["blob_sha256"]
        for key in store.list_records("stems")
    }
    artifacts = {artifact.blob.sha256 for turn in turns for artifact in turn.artifacts}
    there = {entry.blob.sha256 for entry in store.list_blobs()}
    assert there == {track_sha256} | stems | artifacts
    for sha256 in there:
        with store.open(sha256) as file:
            assert hashlib.sha256(file.read()).hexdigest() == sha256

"""Links to files in S3: for the owner, for a while, and only where they are switched on."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import MixdownError
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.runtime.blobs import BlobStore, open_blob_store
from tests.integration.gateway.conftest import (
    GATEWAY,
    GATEWAY_SETTINGS,
    Caller,
    Suite,
    call_as,
)
from tests.s3 import BUCKET, S3MissingError, S3Server

SECONDS = 3


@pytest.fixture(scope="module")
def store(suite: Suite) -> Iterator[BlobStore]:
    """A store in S3, and two gateways over it: one gives links, one does not."""
    try:
        server = S3Server().__enter__()
    except S3MissingError as error:
        pytest.skip(f"no S3: {error}")
    location = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    # Callers know the server under another name than the services.
    public = server.endpoint.replace("127.0.0.1", "localhost")
    settings = {
        **GATEWAY_SETTINGS,
        **server.environment,
        "MIXDOWN_BLOB_STORE": location,
        "MIXDOWN_S3_PUBLIC_ENDPOINT": public,
    }
    suite.start("gateway-links", GATEWAY, **settings, MIXDOWN_DIRECT_DOWNLOAD_SECONDS=str(SECONDS))
    suite.start("gateway-s3", GATEWAY, **settings)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        suite.wait("gateway-links", "gateway-s3")
        yield open_blob_store(location, server.settings)
    suite.kill("gateway-links")
    suite.kill("gateway-s3")
    server.__exit__()


@pytest_asyncio.fixture
async def ada(suite: Suite, store: BlobStore) -> AsyncIterator[Caller]:
    caller = call_as(suite, f"ada-{uuid.uuid4().hex}", "gateway-links")
    async with caller.client:
        yield caller


@pytest_asyncio.fixture
async def artifact(suite: Suite, store: BlobStore, ada: Caller, song) -> conversation_pb2.Artifact:
    """A file of hers: in the store, and in the session service."""
    with store.create() as writer:
        writer.write(b"what was rendered")
        blob = writer.commit()
    session = await ada.client.create_session(await ada.client.upload(song))
    async with aio.insecure_channel(suite.address("session")) as channel:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        work = await stub.BeginTurn(
            session_pb2.BeginTurnRequest(
                user_id=ada.metadata[0][1],
                session_id=session.session_id,
                request_id="one",
                prompt="only the vocals",
                holder="test",
            )
        )
        token = {"turn_id": work.turn.turn_id, "lease_token": work.lease.token}
        await stub.RecordInterpretation(
            session_pb2.RecordInterpretationRequest(
                **token, interpretation=interpreter_pb2.Interpretation(reply="Here.")
            )
        )
        finished = conversation_pb2.OutputFinished(
            artifact=conversation_pb2.Artifact(
                name="vocals",
                blob=audio_pb2.Blob(sha256=blob.sha256, size_bytes=blob.size_bytes),
                media_type="audio/flac",
                file_name="song - vocals.flac",
            )
        )
        ended = await stub.CompleteTurn(
            session_pb2.CompleteTurnRequest(**token, outputs=[finished])
        )
    return ended.events[0].output_finished.artifact


def _get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return answer.read()


async def _get_in_time(ada: Caller, artifact, **headers: str) -> bytes:
    """Downloads by a new link; by another one where we came too late."""
    while True:
        link = await ada.client.artifact_url(artifact)
        try:
            return await asyncio.to_thread(_get, link.url, **headers)
        except urllib.error.HTTPError:
            if datetime.now(UTC) < link.expire_time.ToDatetime(UTC):
                raise


async def test_a_link_gives_the_file_for_a_while(ada: Caller, artifact):
    assert await _get_in_time(ada, artifact) == b"what was rendered"
    assert await _get_in_time(ada, artifact, Range="bytes=5-7") == b"was"
    link = await ada.client.artifact_url(artifact)
    assert link.artifact == artifact
    assert "//localhost:" in link.url
    left = link.expire_time.ToDatetime() - artifact.create_time.ToDatetime()
    assert left.total_seconds() >= SECONDS - 1
    expired = link.expire_time.ToDatetime(UTC) + timedelta(seconds=1.5)
    await asyncio.sleep((expired - datetime.now(UTC)).total_seconds())
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(_get, link.url)
    assert refused.value.code == 403


async def test_nobody_else_gets_one(suite: Suite, artifact):
    eve = call_as(suite, "eve", "gateway-links")
    async with eve.client:
        with pytest.raises(MixdownError) as refused:
            await eve.client.artifact_url(artifact)
    assert refused.value.reason == "ARTIFACT_NOT_FOUND"


@pytest.mark.parametrize("gateway", ["gateway-s3", "gateway"])
async def test_where_it_is_off_or_a_folder_there_is_none(
    suite: Suite, ada: Caller, artifact, gateway: str
):
    same = call_as(suite, ada.metadata[0][1], gateway)
    async with same.client:
        with pytest.raises(MixdownError) as refused:
            await same.client.artifact_url(artifact)
    assert refused.value.reason == "NO_DIRECT_DOWNLOAD"


async def test_a_folder_gives_none_though_it_is_on(suite: Suite, ada: Caller, artifact):
    suite.start("gateway-folder", GATEWAY, **GATEWAY_SETTINGS, MIXDOWN_DIRECT_DOWNLOAD_SECONDS="60")
    suite.wait("gateway-folder")
    same = call_as(suite, ada.metadata[0][1], "gateway-folder")
    async with same.client:
        with pytest.raises(MixdownError) as refused:
            await same.client.artifact_url(artifact)
    suite.kill("gateway-folder")
    assert refused.value.reason == "NO_DIRECT_DOWNLOAD"

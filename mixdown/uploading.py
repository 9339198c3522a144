"""Uploads a file; where the line breaks, goes on from what has arrived."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import MixdownError, error_from_call
from mixdown.gateway.v1 import gateway_pb2
from mixdown.link import Link
from mixdown.retrying import Patience

_CHUNK_BYTES = 256 * 1024

Progress = Callable[[int, int], None]
"""Is told the bytes sent so far and the bytes in all."""


async def upload(
    link: Link,
    path: Path,
    display_name: str,
    progress: Progress | None,
) -> conversation_pb2.Track:
    """Uploads the file at `path`.

    Raises:
        OSError: the file cannot be read.
        MixdownError: Mixdown does not take it, or cannot be reached.
    """
    start = gateway_pb2.UploadStart(
        upload_id=str(uuid.uuid4()),
        display_name=display_name or path.name,
        total_size_bytes=(await asyncio.to_thread(path.stat)).st_size,
        sha256=await asyncio.to_thread(_sha256, path),
    )
    patience = Patience(link.address)
    while True:
        try:
            return await link.stub.UploadTrack(
                _messages(path, start, progress), metadata=link.metadata
            )
        except aio.AioRpcError as error:
            if not _is_incomplete(error_from_call(error, link.address)):
                await patience.after(error)
        committed = await _ask(link, start)
        if isinstance(committed, conversation_pb2.Track):
            return committed
        if committed > start.offset_bytes:
            patience.progressed()
        start.offset_bytes = committed


async def _messages(
    path: Path, start: gateway_pb2.UploadStart, progress: Progress | None
) -> AsyncIterator[gateway_pb2.UploadTrackRequest]:
    yield gateway_pb2.UploadTrackRequest(start=start)
    sent = start.offset_bytes
    with await asyncio.to_thread(path.open, "rb") as file:
        file.seek(sent)
        while data := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield gateway_pb2.UploadTrackRequest(data=data)
            sent += len(data)
            if progress is not None:
                progress(sent, start.total_size_bytes)


async def _ask(link: Link, start: gateway_pb2.UploadStart) -> int | conversation_pb2.Track:
    """Returns how much has arrived; the track, where all has.

    Asks by saying `start` and sending nothing. That also tells why an upload was refused: while
    data is being sent, grpc's client takes the end of the stream for an error of its own and loses
    the status.

    Raises:
        MixdownError: the upload is refused, or Mixdown cannot be reached.
    """
    patience = Patience(link.address)
    while True:
        only_start = iter([gateway_pb2.UploadTrackRequest(start=start)])
        try:
            return await link.stub.UploadTrack(only_start, metadata=link.metadata)
        except aio.AioRpcError as error:
            answer = error_from_call(error, link.address)
            if _is_incomplete(answer):
                return int(answer.metadata["committed_size_bytes"])
            await patience.after(error)


def _is_incomplete(error: MixdownError) -> bool:
    """Tells whether an upload can go on, from the offset that the error names."""
    return error.reason == "OFFSET_MISMATCH"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

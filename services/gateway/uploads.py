"""Uploads: from a stream of bytes to a checked track.

The bytes lie as *parts* in the blob store until all are there, so that any replica can go on with
an upload. Then they are checked in one pass (checksum, decoding) and become a blob and a track.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import tempfile
from collections.abc import AsyncIterator
from typing import BinaryIO

from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, Backends, reason_of
from services.gateway.errors import (
    REFUSED_FILES,
    ChecksumMismatchError,
    EmptyFileError,
    MissingStartError,
    OffsetMismatchError,
    RepeatedStartError,
    UploadTooLargeError,
)
from services.gateway.probing import Probed, Prober
from services.gateway.request_rules import check_display_name, check_upload_id
from services.gateway.settings import GatewaySettings
from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.levels import LEVEL_CHANNELS, LEVEL_RATE_HZ
from services.runtime.audio.measured_store import MeasuredStore
from services.runtime.blobs import BlobStore
from services.runtime.metrics import counted

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_BATCH_BYTES = 1 << 20  # every batch is flushed to disk, which costs milliseconds
_COPY_BYTES = 1 << 20
_LEAVING_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)


class Uploads:
    """Takes uploads."""

    def __init__(self, backends: Backends, blobs: BlobStore, settings: GatewaySettings) -> None:
        self._session = backends.session
        self._blobs = blobs
        self._settings = settings
        self._prober = Prober(settings)

    async def query(self, user: str, upload_id: str) -> gateway_pb2.UploadStatus:
        """Tells how much of an upload has arrived."""
        upload = await self._session.GetUpload(
            session_pb2.GetUploadRequest(user_id=user, upload_id=check_upload_id(upload_id)),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        committed = upload.total_size_bytes
        if not upload.track_id:
            committed = await asyncio.to_thread(self._blobs.parts_size, upload.staging_key)
        return gateway_pb2.UploadStatus(
            upload_id=upload_id, committed_size_bytes=committed, track_id=upload.track_id
        )

    async def receive(
        self, user: str, messages: AsyncIterator[gateway_pb2.UploadTrackRequest]
    ) -> conversation_pb2.Track:
        """Receives the rest of an upload and returns the track. Raises as the contract tells."""
        with counted(metrics.UPLOADS):
            return await self._receive(user, messages)

    async def _receive(
        self, user: str, messages: AsyncIterator[gateway_pb2.UploadTrackRequest]
    ) -> conversation_pb2.Track:
        start = await self._start(messages)
        upload = await self._begin(user, start)
        if upload.track_id:
            return await self._session.GetTrack(
                session_pb2.GetTrackRequest(user_id=user, track_id=upload.track_id),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
        await self._receive_data(upload, start.offset_bytes, messages)
        try:
            return await self._complete(user, upload, start.sha256.lower())
        except REFUSED_FILES:
            # These bytes never become a track: the same upload may begin anew with others.
            await asyncio.to_thread(self._blobs.delete_parts, upload.staging_key)
            raise

    async def _start(
        self, messages: AsyncIterator[gateway_pb2.UploadTrackRequest]
    ) -> gateway_pb2.UploadStart:
        first = await anext(aiter(messages), None)
        if first is None or not first.HasField("start"):
            raise MissingStartError("An upload begins with `start`.")
        start = first.start
        check_upload_id(start.upload_id)
        check_display_name(start.display_name, required=True)
        if start.total_size_bytes <= 0:
            raise EmptyFileError("The file is empty.")
        if start.total_size_bytes > self._settings.upload_limit_bytes:
            raise UploadTooLargeError(
                f"A file may have {self._settings.upload_limit_bytes} bytes at most.",
                metadata={"limit_bytes": str(self._settings.upload_limit_bytes)},
            )
        if start.sha256 and not _SHA256.fullmatch(start.sha256):
            raise ChecksumMismatchError("A SHA-256 has 64 hexadecimal digits.")
        return start

    async def _begin(self, user: str, start: gateway_pb2.UploadStart) -> session_pb2.Upload:
        if start.offset_bytes != 0:  # only what exists can go on
            await self._session.GetUpload(
                session_pb2.GetUploadRequest(user_id=user, upload_id=start.upload_id),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
        return await self._session.BeginUpload(
            session_pb2.BeginUploadRequest(
                user_id=user,
                upload_id=start.upload_id,
                display_name=start.display_name.strip(),
                total_size_bytes=start.total_size_bytes,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def _receive_data(
        self,
        upload: session_pb2.Upload,
        offset_bytes: int,
        messages: AsyncIterator[gateway_pb2.UploadTrackRequest],
    ) -> None:
        staging = _Staging(self._blobs, upload)
        await staging.check_offset(offset_bytes)
        try:
            async for message in messages:
                if message.HasField("start"):
                    raise RepeatedStartError("`start` is said once.")
                metrics.UPLOAD_BYTES.inc(len(message.data))
                await staging.append(message.data)
            await staging.flush()
        except asyncio.CancelledError:
            # The caller has gone. What came is kept, so that even a line that breaks every
            # second gets a file across; the write outlives the cancellation.
            await asyncio.shield(staging.flush())
            raise
        if staging.committed_bytes < upload.total_size_bytes:
            raise OffsetMismatchError(
                f"The upload is not complete: {staging.committed_bytes} of "
                f"{upload.total_size_bytes} bytes are there.",
                metadata={"committed_size_bytes": str(staging.committed_bytes)},
            )

    async def _complete(
        self, user: str, upload: session_pb2.Upload, announced_sha256: str
    ) -> conversation_pb2.Track:
        # Without a name in the file system: nothing stays behind, however this process ends.
        with tempfile.TemporaryFile() as file:
            sha256 = await asyncio.to_thread(self._copy_parts, upload.staging_key, file)
            if announced_sha256 and announced_sha256 != sha256:
                raise ChecksumMismatchError(
                    "The bytes that came are not those that were announced.",
                    metadata={"sha256": sha256},
                )
            probed = await self._prober.probe(file)
            await asyncio.to_thread(self._store, sha256, file)
            request = session_pb2.CreateTrackRequest(
                user_id=user,
                upload_id=upload.upload_id,
                blob=audio_pb2.Blob(sha256=sha256, size_bytes=upload.total_size_bytes),
                audio=probed.audio,
            )
            track = await self._create_track(request, file)
            await asyncio.to_thread(self._keep_measured, sha256, probed)
        await asyncio.to_thread(self._blobs.delete_parts, upload.staging_key)
        return track

    async def _create_track(
        self, request: session_pb2.CreateTrackRequest, file: BinaryIO
    ) -> conversation_pb2.Track:
        """Stores a track; its blob too, again where it is being deleted for others."""
        pauses = iter(_LEAVING_PAUSES_SECONDS)
        while True:
            try:
                return await self._session.CreateTrack(request, timeout=SESSION_TIMEOUT_SECONDS)
            except aio.AioRpcError as error:
                reason = reason_of(error)
                if reason == "BLOB_GONE" and not request.blob_checked:
                    await asyncio.to_thread(self._store, request.blob.sha256, file)
                    request.blob_checked = True
                elif reason == "BLOB_LEAVING" and (pause := next(pauses, None)) is not None:
                    await asyncio.sleep(pause)
                else:
                    raise

    def _copy_parts(self, staging_key: str, file: BinaryIO) -> str:
        digest = hashlib.sha256()
        for data in self._blobs.read_parts(staging_key):
            digest.update(data)
            file.write(data)
        file.flush()
        return digest.hexdigest()

    def _keep_measured(self, sha256: str, probed: Probed) -> None:
        """Spares the first turn over a track its passes over all of it."""
        if probed.measured is not None:
            MeasuredStore(self._blobs).keep(sha256, probed.measured)
        levels = probed.levels
        fits = probed.audio.channels in {1, LEVEL_CHANNELS}
        if fits and math.isfinite(levels.mean):  # of music; the rest is told when it is used
            LevelStore(self._blobs).keep(sha256, LEVEL_RATE_HZ, LEVEL_CHANNELS, levels)

    def _store(self, sha256: str, file: BinaryIO) -> None:
        if self._blobs.find(sha256) is not None:
            return
        file.seek(0)
        with self._blobs.create() as writer:
            while data := file.read(_COPY_BYTES):
                writer.write(data)
            writer.commit()


class _Staging:
    """The parts of one upload, written in batches."""

    def __init__(self, blobs: BlobStore, upload: session_pb2.Upload) -> None:
        self._blobs = blobs
        self._upload = upload
        self._batch = bytearray()
        self._writing = asyncio.Lock()
        self.committed_bytes = 0

    async def check_offset(self, offset_bytes: int) -> None:
        """Begins at `offset_bytes`. Raises OffsetMismatchError where the parts end elsewhere."""
        self.committed_bytes = await asyncio.to_thread(
            self._blobs.parts_size, self._upload.staging_key
        )
        if offset_bytes != self.committed_bytes:
            self._refuse()

    async def append(self, data: bytes) -> None:
        """Takes the next bytes. Raises UploadTooLargeError where they are too many."""
        received = self.committed_bytes + len(self._batch) + len(data)
        if received > self._upload.total_size_bytes:
            raise UploadTooLargeError("More bytes came than were announced.")
        self._batch += data
        if len(self._batch) >= _BATCH_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Writes what was taken. Raises OffsetMismatchError where somebody else wrote meanwhile."""
        async with self._writing:
            if not self._batch:
                return
            batch, self._batch = bytes(self._batch), bytearray()
            written = await asyncio.to_thread(
                self._blobs.append_part, self._upload.staging_key, self.committed_bytes, batch
            )
            if not written:
                self.committed_bytes = await asyncio.to_thread(
                    self._blobs.parts_size, self._upload.staging_key
                )
                self._refuse()
            self.committed_bytes += len(batch)

    def _refuse(self) -> None:
        raise OffsetMismatchError(
            f"{self.committed_bytes} bytes are there; go on from that offset.",
            metadata={"committed_size_bytes": str(self.committed_bytes)},
        )

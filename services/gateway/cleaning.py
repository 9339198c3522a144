"""Deletes from the blob store what the session service says that nobody refers to.

Deletions are durable work of the session service: whoever claims them deletes and confirms, and
what a crash leaves is claimed again. With an original goes what was derived from it: the records
below its SHA-256, and the blobs that they name. Now and then the whole store is walked for what
no crash should have left, but did: blobs that are old and that nobody knows; and for records of
renders whose file has gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway import metrics
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.runtime.blobs import Blob, BlobStore
from services.runtime.errors import BlobStoreUnavailableError

_log = structlog.get_logger("mixdown.gateway.cleaning")

_DERIVED = ("stems", "levels", "originals", "renders")
"""Folders of records about originals, by the original's SHA-256."""

_YOUNG = timedelta(days=1)
"""What is younger may belong to a turn that has not told of it yet."""

_CLAIMED = 20
_REPORTED = 500


class Cleaner:
    """Keeps the blob store free of what nobody needs. Every gateway has one; they share the work.

    Args:
        session: Who knows what is needed.
        blobs: The store.
        clean_seconds: How often deletions are asked for.
        sweep_seconds: How often the whole store is walked.
    """

    def __init__(
        self,
        session: session_pb2_grpc.SessionServiceAsyncStub,
        blobs: BlobStore,
        clean_seconds: float,
        sweep_seconds: float,
    ) -> None:
        self._session = session
        self._blobs = blobs
        self._clean_seconds = clean_seconds
        self._sweep_seconds = sweep_seconds

    async def run(self) -> None:
        """Cleans until it is cancelled."""
        loop = asyncio.get_running_loop()
        next_sweep = loop.time() + self._sweep_seconds
        while True:
            await asyncio.sleep(self._clean_seconds)
            try:
                await self.clean()
                if loop.time() >= next_sweep:
                    next_sweep = loop.time() + self._sweep_seconds
                    await self.sweep()
            except (aio.AioRpcError, BlobStoreUnavailableError) as error:
                _log.info("not_cleaned", error=type(error).__name__)  # the next time, then

    async def clean(self) -> int:
        """Deletes what is due; returns how much."""
        count = 0
        while True:
            due = await self._session.ClaimDeletions(
                session_pb2.ClaimDeletionsRequest(limit=_CLAIMED), timeout=SESSION_TIMEOUT_SECONDS
            )
            names = [*(blob.sha256 for blob in due.blobs), *due.staging_keys]
            if not names:
                return count
            for blob in due.blobs:
                await self._report(await asyncio.to_thread(self._drop_derived, blob.sha256))
                await asyncio.to_thread(self._blobs.delete, blob.sha256)
            for key in due.staging_keys:
                await asyncio.to_thread(self._blobs.delete_parts, key)
            await self._session.ConfirmDeletions(
                session_pb2.ConfirmDeletionsRequest(names=names), timeout=SESSION_TIMEOUT_SECONDS
            )
            count += len(names)
            metrics.DELETED.inc(len(names))
            _log.info("deleted", blobs=len(due.blobs), parts=len(due.staging_keys))

    async def sweep(self, now: datetime | None = None) -> None:
        """Reports the blobs that are old and that no stem's record names; forgets lost renders."""
        limit = (now or datetime.now(UTC)) - _YOUNG
        await self._report(await asyncio.to_thread(self._find_unknown, limit))
        await asyncio.to_thread(self._forget_renders)

    async def _report(self, blobs: list[Blob]) -> None:
        for start in range(0, len(blobs), _REPORTED):
            batch = blobs[start : start + _REPORTED]
            await self._session.ReportBlobs(
                session_pb2.ReportBlobsRequest(
                    blobs=[
                        audio_pb2.Blob(sha256=blob.sha256, size_bytes=blob.size_bytes)
                        for blob in batch
                    ]
                ),
                timeout=SESSION_TIMEOUT_SECONDS,
            )

    def _drop_derived(self, sha256: str) -> list[Blob]:
        """Deletes the records about an original; returns the blobs that they named."""
        named: list[str] = []
        for folder in _DERIVED:
            for key in [*self._blobs.list_records(f"{folder}/{sha256}")]:
                named += self._named_by(key)
                self._blobs.delete_record(key)
            self._blobs.delete_record(f"{folder}/{sha256}")
        return [blob for name in named if (blob := self._blobs.find(name)) is not None]

    def _find_unknown(self, limit: datetime) -> list[Blob]:
        stems = {name for key in self._blobs.list_records("stems") for name in self._named_by(key)}
        return [
            entry.blob
            for entry in self._blobs.list_blobs()
            if entry.write_time < limit and entry.blob.sha256 not in stems
        ]

    def _forget_renders(self) -> None:
        """Deletes the records of renders whose file is not in the store any more."""
        for key in [*self._blobs.list_records("renders")]:
            if not any(self._blobs.find(name) for name in self._named_by(key)):
                self._blobs.delete_record(key)

    def _named_by(self, key: str) -> Iterator[str]:
        document = json.loads(self._blobs.read_record(key) or b"{}")
        # A stem's record names its samples, a render's its file.
        for field in ("blob_sha256", "sha256"):
            if name := document.get(field):
                yield name

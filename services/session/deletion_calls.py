"""The calls of those who delete from the blob store."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from mixdown.session.v1 import session_pb2
from services.session import deletions
from services.session.api_tracks import blob_from_message, blob_to_message
from services.session.calls import Calls, Context


class DeletionCalls(Calls):
    """Deletions."""

    async def ClaimDeletions(
        self, request: session_pb2.ClaimDeletionsRequest, context: Context
    ) -> session_pb2.Deletions:
        """Hands out deletions."""
        due = await self._database.write(
            deletions.claim_deletions, limit=request.limit, grace=self._deletion_grace
        )
        return session_pb2.Deletions(
            blobs=map(blob_to_message, due.blobs), staging_keys=due.staging_keys
        )

    async def ConfirmDeletions(
        self, request: session_pb2.ConfirmDeletionsRequest, context: Context
    ) -> Empty:
        """Stores that something is gone."""
        await self._database.write(deletions.confirm_deletions, names=tuple(request.names))
        return Empty()

    async def ReportBlobs(self, request: session_pb2.ReportBlobsRequest, context: Context) -> Empty:
        """Makes deletions of what nobody refers to."""
        await self._database.write(
            deletions.report_blobs, blobs=[blob_from_message(blob) for blob in request.blobs]
        )
        return Empty()

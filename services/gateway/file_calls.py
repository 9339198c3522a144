"""The calls about files that turns have made."""

# ruff: noqa: N802 - the methods have the names of the contract

from __future__ import annotations

from collections.abc import AsyncIterator

from google.api import httpbody_pb2

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics
from services.gateway.backends import SESSION_TIMEOUT_SECONDS
from services.gateway.calls import Calls, Context
from services.gateway.files import check_offset


class FileCalls(Calls):
    """Files: downloaded, through us or by a link."""

    async def DownloadArtifact(
        self, request: gateway_pb2.DownloadArtifactRequest, context: Context
    ) -> AsyncIterator[gateway_pb2.DownloadArtifactResponse]:
        """Sends a file."""
        artifact = await self._find_artifact(self._user(context), request.artifact_id)
        check_offset(request.offset_bytes, artifact.blob.size_bytes)
        yield gateway_pb2.DownloadArtifactResponse(artifact=artifact)
        async for data in self._files.read(artifact.blob.sha256, request.offset_bytes):
            metrics.SENT_BYTES.labels("download").inc(len(data))
            yield gateway_pb2.DownloadArtifactResponse(data=data)

    async def DownloadArtifactFile(
        self, request: gateway_pb2.DownloadArtifactFileRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Sends a file as the body of an HTTP response."""
        artifact = await self._find_artifact(self._user(context), request.artifact_id)
        check_offset(request.offset_bytes, artifact.blob.size_bytes)
        # The first message alone, even of no bytes, says what follows.
        yield httpbody_pb2.HttpBody(content_type=artifact.media_type)
        async for data in self._files.read(artifact.blob.sha256, request.offset_bytes):
            metrics.SENT_BYTES.labels("download").inc(len(data))
            yield httpbody_pb2.HttpBody(data=data)

    async def GetArtifactUrl(
        self, request: gateway_pb2.GetArtifactUrlRequest, context: Context
    ) -> gateway_pb2.ArtifactUrl:
        """Gives a link to a file."""
        artifact = await self._find_artifact(self._user(context), request.artifact_id)
        return await self._direct.link(artifact)

    async def _find_artifact(self, user: str, artifact_id: str) -> conversation_pb2.Artifact:
        return await self._session.GetArtifact(
            session_pb2.GetArtifactRequest(user_id=user, artifact_id=artifact_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

"""Links by which callers download files from the blob store without us."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from services.gateway.errors import NoDirectDownloadError
from services.runtime.blobs import BlobStore


class DirectDownloads:
    """Gives links.

    Args:
        blobs: The store.
        seconds: How long a link is good; 0 gives none.
    """

    def __init__(self, blobs: BlobStore, seconds: float) -> None:
        self._blobs = blobs
        self._seconds = seconds

    async def link(self, artifact: conversation_pb2.Artifact) -> gateway_pb2.ArtifactUrl:
        """Returns a link to a file. Raises NoDirectDownloadError where there are none."""
        if not self._seconds:
            raise NoDirectDownloadError
        expires = time.time() + self._seconds
        url = await asyncio.to_thread(
            self._blobs.presign, artifact.blob.sha256, timedelta(seconds=self._seconds)
        )
        if url is None:
            raise NoDirectDownloadError
        link = gateway_pb2.ArtifactUrl(artifact=artifact, url=url)
        link.expire_time.FromNanoseconds(int(expires * 1e9))
        return link

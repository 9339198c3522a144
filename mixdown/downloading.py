"""Downloads a file; where the line breaks, goes on from what has arrived."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.files import PartialFile
from mixdown.gateway.v1 import gateway_pb2
from mixdown.link import Link
from mixdown.retrying import Patience


async def download(link: Link, artifact: conversation_pb2.Artifact, folder: Path) -> Path:
    """Downloads an artifact into `folder` and returns its path.

    Raises:
        DamagedFileError: what arrived is not what was sent.
        MixdownError: there is no such file, or Mixdown cannot be reached.
        OSError: the file cannot be written.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    patience = Patience(link.address)
    with PartialFile(folder / (Path(artifact.file_name).name or artifact.name)) as file:
        while True:
            request = gateway_pb2.DownloadArtifactRequest(
                artifact_id=artifact.artifact_id, offset_bytes=file.size_bytes
            )
            call: Any = link.stub.DownloadArtifact(request, metadata=link.metadata)
            try:
                async for message in call:
                    patience.progressed()
                    file.write(message.data)
                return file.keep(artifact.blob.sha256)
            except aio.AioRpcError as error:
                await patience.after(error)
            finally:
                call.cancel()  # does nothing to a call that has ended

"""Translates uploads that come as the body of an HTTP request."""

from __future__ import annotations

from collections.abc import AsyncIterator

from mixdown.gateway.v1 import gateway_pb2


async def as_upload(
    messages: AsyncIterator[gateway_pb2.UploadTrackFileRequest],
) -> AsyncIterator[gateway_pb2.UploadTrackRequest]:
    """Yields the messages of a body as those of an upload."""
    is_first = True
    async for message in messages:
        if is_first:
            is_first = False
            yield gateway_pb2.UploadTrackRequest(
                start=gateway_pb2.UploadStart(
                    upload_id=message.upload_id,
                    display_name=message.display_name,
                    total_size_bytes=message.total_size_bytes,
                    offset_bytes=message.offset_bytes,
                    sha256=message.sha256,
                )
            )
        if message.file.data:
            yield gateway_pb2.UploadTrackRequest(data=message.file.data)

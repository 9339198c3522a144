"""Shows a turn to a listener: durable events in order, and the audio of complete outputs."""

from __future__ import annotations

from collections.abc import Iterable

from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix.protobuf import output_from_message
from mixdown.mix.v1 import mix_pb2
from services.gateway.files import Files, check_offset
from services.gateway.listener import Listener
from services.gateway.turn_log import TurnLog


class Playback:
    """What was read of a turn, and who listens to it.

    Attributes:
        log: The durable events so far.
        listener: Who listens.
    """

    def __init__(self, files: Files, listener: Listener) -> None:
        self._files = files
        self.log = TurnLog()
        self.listener = listener

    async def show(self, event: conversation_pb2.TurnEvent) -> None:
        """Shows a durable event, once. Before an output is told to be complete it is sent.

        Raises:
            InvalidOffsetError: the listener says that it has more bytes than the output.
            BlobNotFoundError: the output has left the store.
        """
        if not self.log.add(event):
            return
        if event.WhichOneof("event") == "output_finished":
            await self._send(event.output_finished.artifact)
        await self.listener.durable(event)

    async def has_blob(self, sha256: str) -> bool:
        """Tells whether a file is in the store."""
        return await self._files.has(sha256)

    def offsets_bytes(self, outputs: Iterable[mix_pb2.Output]) -> dict[str, int]:
        """Returns how much of each output need not be made for the listener again."""
        offsets: dict[str, int] = {}
        for output in outputs:
            name = output_from_message(output).name
            done = self.log.finished.get(name)
            offsets[name] = (
                done.blob.size_bytes if done else self.listener.offsets_bytes.get(name, 0)
            )
        return {name: offset for name, offset in offsets.items() if offset}

    async def _send(self, artifact: conversation_pb2.Artifact) -> None:
        """Sends what the listener has not got of a complete output."""
        if not self.listener.wants_audio:
            return
        offset = self.listener.offsets_bytes.get(artifact.name, 0)
        check_offset(offset, artifact.blob.size_bytes)
        if offset == artifact.blob.size_bytes:
            return
        async for data in self._files.read(artifact.blob.sha256, offset):
            await self.listener.audio(artifact.name, offset, data)
            offset += len(data)

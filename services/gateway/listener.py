"""Whoever follows a turn: what it has, what it wants, and the short pipe to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from mixdown.conversation.v1 import conversation_pb2
from services.runtime.errors import InternalError

_PIPE_EVENTS = 2
"""Events that wait for a slow reader: with 512 KiB of audio each, 1 MiB at most."""


@dataclass(frozen=True)
class Wish:
    """What a caller wants of a turn.

    Args:
        after_sequence: The last durable event that it has.
        offsets_bytes: Bytes that it has, by name of output.
        audio: Whether it wants audio, or events only.
    """

    after_sequence: int = 0
    offsets_bytes: dict[str, int] = field(default_factory=dict)
    audio: bool = True


class Listener:
    """The one who follows a turn.

    The pipe is bounded: a slow reader makes `durable`, `passing` and `audio` wait, and so the
    render behind them. Once the reader has gone they wait no more and deliver nothing.

    Attributes:
        turn_id: The turn; "" until it is known.
        offsets_bytes: Position in each output: what the reader has.
    """

    def __init__(self, wish: Wish, turn_id: str = "") -> None:
        self.turn_id = turn_id
        self.offsets_bytes = dict(wish.offsets_bytes)
        self._after_sequence = wish.after_sequence
        self._sequence = 0
        self._audio = wish.audio
        self._present = True
        self._pipe: asyncio.Queue[conversation_pb2.TurnEvent | None] = asyncio.Queue(_PIPE_EVENTS)

    @property
    def is_present(self) -> bool:
        """Whether it has not gone."""
        return self._present

    @property
    def wants_audio(self) -> bool:
        """Whether audio would be delivered."""
        return self._audio and self._present

    async def durable(self, event: conversation_pb2.TurnEvent) -> None:
        """Delivers a durable event, unless the reader has it."""
        self._sequence = event.sequence
        if event.sequence > self._after_sequence:
            await self._put(event)

    async def passing(
        self,
        *,
        progress: conversation_pb2.Progress | None = None,
        audio: conversation_pb2.Audio | None = None,
    ) -> None:
        """Delivers a passing event."""
        event = conversation_pb2.TurnEvent(
            turn_id=self.turn_id, sequence=self._sequence, progress=progress, audio=audio
        )
        event.create_time.GetCurrentTime()
        await self._put(event)

    async def audio(self, name: str, offset_bytes: int, data: bytes) -> None:
        """Delivers bytes of an output, less those that the reader has.

        Raises:
            InternalError: bytes are missing before these.
        """
        position = self.offsets_bytes.get(name, 0)
        if offset_bytes > position:
            raise InternalError(f"Bytes {position} to {offset_bytes} of {name!r} never came.")
        data = data[position - offset_bytes :]
        if not data:
            return
        self.offsets_bytes[name] = position + len(data)
        if self.wants_audio:
            await self.passing(
                audio=conversation_pb2.Audio(name=name, offset_bytes=position, data=data)
            )

    async def end(self) -> None:
        """Says that nothing more will come."""
        await self._put(None)

    async def next(self, heartbeat_seconds: float) -> conversation_pb2.TurnEvent | None:
        """Returns the next event, a heartbeat after a silence, or None at the end."""
        while True:
            try:
                async with asyncio.timeout(heartbeat_seconds):
                    return await self._pipe.get()
            except TimeoutError:
                if self.turn_id:
                    return self._heartbeat()

    def leave(self) -> None:
        """Says that the reader has gone: who waits for it goes on."""
        self._present = False
        while not self._pipe.empty():
            self._pipe.get_nowait()

    async def _put(self, event: conversation_pb2.TurnEvent | None) -> None:
        if self._present:
            await self._pipe.put(event)

    def _heartbeat(self) -> conversation_pb2.TurnEvent:
        event = conversation_pb2.TurnEvent(
            turn_id=self.turn_id,
            sequence=max(self._sequence, self._after_sequence),
            heartbeat=conversation_pb2.Heartbeat(),
        )
        event.create_time.GetCurrentTime()
        return event

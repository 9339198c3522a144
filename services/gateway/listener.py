"""Whoever follows a turn: what it has, what it wants, and the short pipe to it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from mixdown.conversation.v1 import conversation_pb2
from services.gateway.metrics import SENT_BYTES
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

    async def passing(self, *, progress: conversation_pb2.Progress) -> None:
        """Delivers how far the work is."""
        event = self._event(self._sequence)
        event.progress.CopyFrom(progress)
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
            event = self._event(self._sequence)
            # Written in place: a message made apart would be copied, bytes and all.
            event.audio.name, event.audio.offset_bytes, event.audio.data = name, position, data
            await self._put(event)
            SENT_BYTES.labels("turn").inc(len(data))

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
        event = self._event(max(self._sequence, self._after_sequence))
        event.heartbeat.SetInParent()
        return event

    def _event(self, sequence: int) -> conversation_pb2.TurnEvent:
        event = conversation_pb2.TurnEvent(turn_id=self.turn_id, sequence=sequence)
        event.create_time.FromNanoseconds(time.time_ns())
        return event

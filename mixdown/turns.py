"""Follows a turn; where the line breaks, goes on from what has arrived."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import (
    DamagedFileError,
    MixdownError,
    TurnCancelledError,
    TurnFailedError,
)
from mixdown.files import File, FolderWriter
from mixdown.gateway.v1 import gateway_pb2
from mixdown.link import Link
from mixdown.retrying import Patience

_ENDS = {"completed", "failed", "cancelled"}

_PASSING = {"progress", "heartbeat"}

_INTERPRETED = 2
"""The sequence number of `interpreted`: only `accepted` comes before it."""

TurnEvents = AsyncIterable[conversation_pb2.TurnEvent]


@dataclass(frozen=True)
class Turn:
    """What came of a prompt.

    Args:
        turn_id: Identifier.
        reply: The answer in words.
        interpreted: What was understood: intent, mix, outputs.
        files: The files.
        notes: What had to be changed on the way, for people.
        seconds: From acceptance to the end, as the server measured it.
    """

    turn_id: str
    reply: str
    interpreted: conversation_pb2.Interpreted
    files: tuple[File, ...]
    notes: tuple[str, ...]
    seconds: float


async def follow(
    link: Link,
    position: gateway_pb2.WatchTurnRequest,
    begin: Callable[[], TurnEvents] | None = None,
) -> AsyncIterator[conversation_pb2.TurnEvent]:
    """Yields a turn's events, each once and the bytes of each output in order and without gaps.

    Args:
        link: The gateway.
        position: Which turn, where we are in it, what is wanted. It moves as events come.
        begin: Where the turn is not known yet, makes the call that begins it; made again, as
            after an early cut, it must mean the same turn.

    Raises:
        MixdownError: the call cannot be made, or broke too often.
    """
    patience = Patience(link.address)
    while True:
        # Until it is stored what is to be done, only the call that began the turn can say it.
        if begin is not None and position.after_sequence < _INTERPRETED:
            call: Any = begin()
        else:
            call = link.stub.WatchTurn(position, metadata=link.metadata)
        try:
            async for event in call:
                kind = event.WhichOneof("event")
                if _take(event, position):
                    if kind not in _PASSING:  # a turn that only waits gets nowhere
                        patience.progressed()
                    yield event
                if kind in _ENDS:
                    return
            raise MixdownError(
                "The stream ended before the turn.",
                reason="INTERNAL",
                code=grpc.StatusCode.INTERNAL,
            )
        except aio.AioRpcError as error:
            await patience.after(error)
        finally:
            call.cancel()  # does nothing to a call that has ended


def _take(event: conversation_pb2.TurnEvent, position: gateway_pb2.WatchTurnRequest) -> bool:
    """Moves the position past an event; False where the event is known already."""
    position.turn_id = event.turn_id
    kind = event.WhichOneof("event")
    if kind == "audio":
        name, known = event.audio.name, position.offsets_bytes[event.audio.name]
        excess = known - event.audio.offset_bytes
        if excess < 0:
            raise DamagedFileError(name)
        if excess:
            event.audio.data = event.audio.data[excess:]
            event.audio.offset_bytes = known
        position.offsets_bytes[name] = known + len(event.audio.data)
        return bool(event.audio.data)
    if kind in _PASSING:
        return True
    if event.sequence <= position.after_sequence:
        return False
    position.after_sequence = event.sequence
    return True


@dataclass
class TurnReader:
    """Gathers what came of a turn from its events."""

    turn_id: str = ""
    interpreted: conversation_pb2.Interpreted = field(default_factory=conversation_pb2.Interpreted)
    files: list[File] = field(default_factory=list)
    completed: conversation_pb2.Completed | None = None

    def add(self, event: conversation_pb2.TurnEvent) -> None:
        """Takes an event.

        Raises:
            TurnFailedError: the turn ended by an error.
            TurnCancelledError: it was cancelled.
        """
        self.turn_id = event.turn_id
        match event.WhichOneof("event"):
            case "interpreted":
                self.interpreted = event.interpreted
            case "output_finished":
                artifact = event.output_finished.artifact
                self.files.append(File(artifact.name, None, artifact))
            case "completed":
                self.completed = event.completed
            case "failed":
                raise failure(event.failed.error)
            case "cancelled":
                raise TurnCancelledError

    def result(self, files: list[File] | None = None) -> Turn:
        """Returns what came of the turn."""
        assert self.completed is not None, "follow() ends with the turn"
        return Turn(
            turn_id=self.turn_id,
            reply=self.interpreted.reply,
            interpreted=self.interpreted,
            files=tuple(self.files if files is None else files),
            notes=tuple(self.completed.notes),
            seconds=self.completed.duration.ToTimedelta().total_seconds(),
        )


async def gather(
    events: AsyncIterator[conversation_pb2.TurnEvent],
    folder: Path | None,
    on_event: Callable[[conversation_pb2.TurnEvent], None] | None,
) -> Turn:
    """Reads a turn to its end; writes its outputs into `folder` where one is given.

    Raises:
        MixdownError: the turn failed, was cancelled, or a file arrived damaged.
        OSError: a file cannot be written.
    """
    reader = TurnReader()
    with contextlib.ExitStack() as opened:
        writer = None if folder is None else opened.enter_context(FolderWriter(folder))
        async for event in events:
            if writer is not None:
                writer.add(event)
            if on_event is not None:
                on_event(event)
            reader.add(event)
    return reader.result(None if writer is None else writer.files)


def failure(error: conversation_pb2.Error) -> TurnFailedError:
    """Returns what is told of a turn that ended by an error."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    return TurnFailedError(
        error.message,
        reason=error.reason,
        code=codes.get(error.code, grpc.StatusCode.UNKNOWN),
        metadata=error.metadata,
    )

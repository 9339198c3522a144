"""What the remixer is asked for a turn, and how it is asked before the turn is stored."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias

from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix.v1 import mix_pb2
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from mixdown.session.v1 import session_pb2

RenderCall: TypeAlias = aio.UnaryStreamCall[remixer_pb2.RenderRequest, remixer_pb2.RenderResponse]

_KEPT = 4096
"""Sessions that are remembered; those that were used least lately are forgotten."""


def render_request(
    track: audio_pb2.Blob,
    model: str,
    meaning: conversation_pb2.Interpreted | interpreter_pb2.Interpretation,
    output_format: audio_pb2.OutputFormat,
) -> remixer_pb2.RenderRequest:
    """Returns what is asked of the remixer for a turn that means this."""
    # A separation hands out audio as it is, whatever the mix.
    neutral = meaning.intent.WhichOneof("kind") == "separation"
    return remixer_pb2.RenderRequest(
        track=track,
        mix=mix_pb2.Mix() if neutral else meaning.mix,
        outputs=meaning.outputs,
        format=output_format,
        model=model,
    )


class RenderAhead:
    """A render that was asked for before its turn was stored.

    Nothing of it is read until then. It is used by whoever works on the turn, if that is what is
    needed; whoever has it must call `drop` in the end.
    """

    def __init__(
        self,
        remixer: remixer_pb2_grpc.RemixerServiceAsyncStub,
        request: remixer_pb2.RenderRequest,
    ) -> None:
        self._request = request
        self._call: RenderCall | None = remixer.Render(request)

    def take(self, request: remixer_pb2.RenderRequest) -> RenderCall | None:
        """Hands over the call, once, where it asks for the same; else it is dropped."""
        if request != self._request:
            self.drop()
        call, self._call = self._call, None
        return call

    def drop(self) -> None:
        """Cancels the call, unless it was taken."""
        if self._call is not None:
            self._call.cancel()
            self._call = None


class Renders:
    """Asks for renders of turns that begin, where all that they take is known here.

    That is so for turns without words: what they mean comes with them, and what a session is about
    never changes; it is known from the last turn that began in it. Rendering takes some time to
    begin, and so does storing a turn: this way a caller waits for the longer one only.

    Args:
        remixer: Who is asked.
    """

    def __init__(self, remixer: remixer_pb2_grpc.RemixerServiceAsyncStub) -> None:
        self._remixer = remixer
        self._known: OrderedDict[tuple[str, str], tuple[audio_pb2.Blob, str]] = OrderedDict()

    def learn(self, work: session_pb2.Work) -> None:
        """Remembers what the session of a turn is about."""
        key = (work.user_id, work.session.session_id)
        self._known[key] = (work.track.blob, work.session.model)
        self._known.move_to_end(key)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def ask_ahead(self, begin: session_pb2.BeginTurnRequest) -> RenderAhead | None:
        """Asks for the render of a turn that is to begin at once; None where not all is known."""
        known = self._known.get((begin.user_id, begin.session_id))
        waits = begin.if_busy == conversation_pb2.IF_BUSY_WAIT
        if known is None or waits or not begin.given.outputs:
            return None
        return RenderAhead(self._remixer, render_request(*known, begin.given, begin.format))

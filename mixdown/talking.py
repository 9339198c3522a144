"""A conversation about one track."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from os import PathLike
from pathlib import Path

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.link import Link
from mixdown.mix import Mix, Output
from mixdown.mix.protobuf import mix_from_message, mix_to_message, output_to_message
from mixdown.retrying import call_again
from mixdown.turns import Turn, TurnEvents, follow, gather

OnEvent = Callable[[conversation_pb2.TurnEvent], None]

_Order = gateway_pb2.ConverseRequest | gateway_pb2.RenderRequest | gateway_pb2.SeparateRequest


class Session:
    """A conversation about one track. Made by `Client.create_session`.

    Attributes:
        resource: What the server told of it when it was made or fetched.
    """

    def __init__(self, link: Link, resource: conversation_pb2.Session) -> None:
        self._link = link
        self.resource = resource

    @property
    def session_id(self) -> str:
        """The identifier."""
        return self.resource.session_id

    def say(
        self,
        prompt: str,
        *,
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        audio: bool = True,
        detached: bool = False,
        wait: bool = False,
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Says something to the track, and yields the turn's events as they come.

        Args:
            prompt: What is said.
            encoding: Encoding of the outputs; by default lossless, as the original.
            bitrate_kbps: For lossy encodings; 0 for the default.
            audio: Whether audio is wanted, or events only.
            detached: Whether the turn goes on without us.
            wait: Whether it waits in line while another turn runs; otherwise it is refused.

        Raises:
            MixdownError: the prompt is refused, or Mixdown cannot be reached.
        """
        request = gateway_pb2.ConverseRequest(
            session_id=self.session_id,
            prompt=prompt,
            request_id=str(uuid.uuid4()),
            format=audio_pb2.OutputFormat(encoding=encoding, bitrate_kbps=bitrate_kbps),
            delivery=delivery_of(audio),
            detached=detached,
            if_busy=_if_busy(wait),
        )
        return self._begin(self._link.stub.Converse, request)

    def play(
        self,
        mix: Mix,
        *,
        outputs: Sequence[Output] = (),
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        loudness_lufs: float | None = None,
        audio: bool = True,
        detached: bool = False,
        wait: bool = False,
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Renders a mix given as data, and yields the turn's events as they come.

        Args:
            mix: The whole mix; it becomes the session's.
            outputs: Files to hand out; by default the whole mix.
            encoding: As in `say`.
            bitrate_kbps: As in `say`.
            loudness_lufs: Integrated loudness that the mix is brought to, −40 to −5 LUFS; None
                leaves it.
            audio: As in `say`.
            detached: As in `say`.
            wait: As in `say`.
        """
        request = gateway_pb2.RenderRequest(
            session_id=self.session_id,
            mix=mix_to_message(mix),
            outputs=[output_to_message(output) for output in outputs],
            request_id=str(uuid.uuid4()),
            format=audio_pb2.OutputFormat(
                encoding=encoding, bitrate_kbps=bitrate_kbps, loudness_lufs=loudness_lufs
            ),
            delivery=delivery_of(audio),
            detached=detached,
            if_busy=_if_busy(wait),
        )
        return self._begin(self._link.stub.Render, request)

    def split(
        self,
        stems: Sequence[str] = (),
        *,
        without: Sequence[str] = (),
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        audio: bool = True,
        detached: bool = False,
        wait: bool = False,
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Hands out stems as they are, and yields the turn's events as they come.

        Args:
            stems: One file for each of these.
            without: One file of the original minus these; none where empty.
            encoding: As in `say`.
            bitrate_kbps: As in `say`.
            audio: As in `say`.
            detached: As in `say`.
            wait: As in `say`.
        """
        request = gateway_pb2.SeparateRequest(
            session_id=self.session_id,
            stems=stems,
            without=without,
            request_id=str(uuid.uuid4()),
            format=audio_pb2.OutputFormat(encoding=encoding, bitrate_kbps=bitrate_kbps),
            delivery=delivery_of(audio),
            detached=detached,
            if_busy=_if_busy(wait),
        )
        return self._begin(self._link.stub.Separate, request)

    async def ask(
        self,
        prompt: str,
        *,
        folder: str | PathLike[str] | None = None,
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        on_event: OnEvent | None = None,
        wait: bool = False,
    ) -> Turn:
        """Says something to the track and waits for all that comes of it.

        Args:
            prompt: What is said.
            folder: Where the files go, each checked; None fetches none.
            encoding: As in `say`.
            bitrate_kbps: As in `say`.
            on_event: Is told every event.
            wait: As in `say`.

        Raises:
            MixdownError: the prompt is refused, the turn failed, or Mixdown cannot be reached.
            OSError: a file cannot be written.
        """
        events = self.say(
            prompt,
            encoding=encoding,
            bitrate_kbps=bitrate_kbps,
            audio=folder is not None,
            wait=wait,
        )
        return await gather(events, None if folder is None else Path(folder), on_event)

    async def render(
        self,
        mix: Mix,
        *,
        outputs: Sequence[Output] = (),
        folder: str | PathLike[str] | None = None,
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        loudness_lufs: float | None = None,
        on_event: OnEvent | None = None,
        wait: bool = False,
    ) -> Turn:
        """Renders a mix given as data and waits for its files.

        Arguments as in `play` and `ask`, errors as in `ask`.
        """
        events = self.play(
            mix,
            outputs=outputs,
            encoding=encoding,
            bitrate_kbps=bitrate_kbps,
            loudness_lufs=loudness_lufs,
            audio=folder is not None,
            wait=wait,
        )
        return await gather(events, None if folder is None else Path(folder), on_event)

    async def separate(
        self,
        stems: Sequence[str] = (),
        *,
        without: Sequence[str] = (),
        folder: str | PathLike[str] | None = None,
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        on_event: OnEvent | None = None,
        wait: bool = False,
    ) -> Turn:
        """Hands out stems and waits for the files. Arguments as in `split`, errors as in `ask`."""
        events = self.split(
            stems,
            without=without,
            encoding=encoding,
            bitrate_kbps=bitrate_kbps,
            audio=folder is not None,
            wait=wait,
        )
        return await gather(events, None if folder is None else Path(folder), on_event)

    def _begin(
        self, call: Callable[..., TurnEvents], request: _Order
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Begins a turn and yields its events, whatever happens to the line."""
        return follow(
            self._link,
            gateway_pb2.WatchTurnRequest(delivery=request.delivery),
            lambda: call(request, metadata=self._link.metadata),
        )

    async def mix(self) -> Mix:
        """Returns the mix as it is now."""
        request = gateway_pb2.GetMixRequest(session_id=self.session_id)
        return mix_from_message(await call_again(self._link, self._link.stub.GetMix, request))

    async def turns(self) -> AsyncIterator[conversation_pb2.Turn]:
        """Yields the turns, oldest first."""
        request = gateway_pb2.ListTurnsRequest(session_id=self.session_id)
        while True:
            page = await call_again(self._link, self._link.stub.ListTurns, request)
            for turn in page.turns:
                yield turn
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def delivery_of(audio: bool) -> gateway_pb2.Delivery.ValueType:
    """Returns how events are to come, with audio or alone."""
    return gateway_pb2.DELIVERY_UNSPECIFIED if audio else gateway_pb2.DELIVERY_EVENTS_ONLY


def _if_busy(wait: bool) -> conversation_pb2.IfBusy.ValueType:
    return conversation_pb2.IF_BUSY_WAIT if wait else conversation_pb2.IF_BUSY_ABORT

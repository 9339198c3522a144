"""The Python client: upload a song, talk to it, get files back.

    async with mixdown.connect("127.0.0.1:8080") as client:
        track = await client.upload("song.mp3")
        session = await client.create_session(track)
        turn = await session.ask("only the vocals", folder="out")

Resources (tracks, sessions, events) are the messages of `mixdown.conversation.v1`. Calls that break
are made again, and streams go on where they broke; what cannot be done raises `MixdownError`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.downloading import download
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.link import Link
from mixdown.retrying import call_again
from mixdown.talking import OnEvent, Session, delivery_of
from mixdown.turns import Turn, follow, gather
from mixdown.uploading import Progress, upload

_OPTIONS = (
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


def connect(
    address: str = "127.0.0.1:8080",
    *,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> Client:
    """Returns a client of the Mixdown at `address`; nothing is sent yet.

    Args:
        address: host:port.
        token: A bearer token that says who calls.
        credentials: TLS credentials, as of `grpc.ssl_channel_credentials()`; None for plain text.
    """
    if credentials is None:
        channel = aio.insecure_channel(address, options=_OPTIONS)
    else:
        channel = aio.secure_channel(address, credentials, options=_OPTIONS)
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    return Client(channel, Link(gateway_pb2_grpc.GatewayServiceStub(channel), address, metadata))


class Client:
    """A connection to Mixdown; an async context manager. Made by `connect`."""

    def __init__(self, channel: aio.Channel, link: Link) -> None:
        self._channel = channel
        self._link = link

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def capabilities(self) -> gateway_pb2.Capabilities:
        """Returns models, stems, effects with ranges, formats and limits."""
        request = gateway_pb2.GetCapabilitiesRequest()
        return await call_again(self._link, self._link.stub.GetCapabilities, request)

    async def usage(self) -> conversation_pb2.Usage:
        """Returns what we use of this installation, and what it allows."""
        request = gateway_pb2.GetUsageRequest()
        return await call_again(self._link, self._link.stub.GetUsage, request)

    async def upload(
        self,
        path: str | PathLike[str],
        *,
        display_name: str = "",
        progress: Progress | None = None,
    ) -> conversation_pb2.Track:
        """Uploads a song, however often the line breaks.

        Args:
            path: The file.
            display_name: A name for people; by default the file's.
            progress: Is told the bytes sent so far and the bytes in all.

        Raises:
            OSError: the file cannot be read.
            MixdownError: it is no audio, beyond the limits, or Mixdown cannot be reached.
        """
        return await upload(self._link, Path(path), display_name, progress)

    async def tracks(self) -> AsyncIterator[conversation_pb2.Track]:
        """Yields the tracks, newest first."""
        request = gateway_pb2.ListTracksRequest()
        while True:
            page = await call_again(self._link, self._link.stub.ListTracks, request)
            for track in page.tracks:
                yield track
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete_track(self, track_id: str) -> None:
        """Deletes a track with its sessions and files."""
        request = gateway_pb2.DeleteTrackRequest(track_id=track_id)
        await call_again(self._link, self._link.stub.DeleteTrack, request)

    async def create_session(
        self,
        track: conversation_pb2.Track | str,
        *,
        model: str = "",
        display_name: str = "",
    ) -> Session:
        """Begins a conversation.

        Args:
            track: The track, or its identifier.
            model: The separation model; by default the server's.
            display_name: A name for people; by default the track's.
        """
        request = gateway_pb2.CreateSessionRequest(
            track_id=track if isinstance(track, str) else track.track_id,
            display_name=display_name,
            model=model,
            request_id=str(uuid.uuid4()),
        )
        found = await call_again(self._link, self._link.stub.CreateSession, request)
        return Session(self._link, found)

    async def session(self, session_id: str) -> Session:
        """Goes on with a conversation that was begun before."""
        request = gateway_pb2.GetSessionRequest(session_id=session_id)
        found = await call_again(self._link, self._link.stub.GetSession, request)
        return Session(self._link, found)

    async def ask_all(
        self,
        prompt: str,
        tracks: Iterable[conversation_pb2.Track | str],
        *,
        model: str = "",
        encoding: audio_pb2.Encoding.ValueType = audio_pb2.ENCODING_UNSPECIFIED,
        bitrate_kbps: int = 0,
        request_id: str = "",
    ) -> Sequence[gateway_pb2.BatchedTurn]:
        """Says one thing to many tracks, and returns their turns without waiting for them.

        Args:
            prompt: What is said.
            tracks: The tracks, or their identifiers; 100 at most.
            model: The separation model; by default the server's.
            encoding: Encoding of the outputs; by default lossless, as the original.
            bitrate_kbps: For lossy encodings; 0 for the default.
            request_id: What identifies all of it; the same again gives the same turns, as they are
                by then, and begins what could not be begun.

        Returns:
            For each track its turn, or the error that kept it from having one.
        """
        request = gateway_pb2.ConverseBatchRequest(
            track_ids=[one if isinstance(one, str) else one.track_id for one in tracks],
            prompt=prompt,
            request_id=request_id or str(uuid.uuid4()),
            model=model,
            format=audio_pb2.OutputFormat(encoding=encoding, bitrate_kbps=bitrate_kbps),
        )
        return (await call_again(self._link, self._link.stub.ConverseBatch, request)).turns

    async def wait_for(
        self,
        turn_id: str,
        *,
        folder: str | PathLike[str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Turn:
        """Waits for a turn that was begun before, and for its files.

        Args:
            turn_id: The turn.
            folder: Where the files go, each checked; None fetches none.
            on_event: Is told every event.

        Raises:
            MixdownError: the turn failed, was cancelled, or Mixdown cannot be reached.
            OSError: a file cannot be written.
        """
        events = self.watch(turn_id, audio=folder is not None)
        return await gather(events, None if folder is None else Path(folder), on_event)

    async def watch(
        self,
        turn_id: str,
        *,
        after_sequence: int = 0,
        offsets_bytes: Mapping[str, int] | None = None,
        audio: bool = True,
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Yields a turn's events again, and goes on with the turn where it was left.

        Args:
            turn_id: The turn.
            after_sequence: The last sequence number that you have; 0 for all events.
            offsets_bytes: Bytes that you have, by name of output.
            audio: Whether audio is wanted, or events only.
        """
        position = gateway_pb2.WatchTurnRequest(
            turn_id=turn_id,
            after_sequence=after_sequence,
            offsets_bytes=offsets_bytes or {},
            delivery=delivery_of(audio),
        )
        async for event in follow(self._link, position):
            yield event

    async def cancel(self, turn_id: str) -> conversation_pb2.Turn:
        """Cancels a turn; one that has ended stays as it is."""
        request = gateway_pb2.CancelTurnRequest(turn_id=turn_id)
        return await call_again(self._link, self._link.stub.CancelTurn, request)

    async def artifact_url(
        self, artifact: conversation_pb2.Artifact | str
    ) -> gateway_pb2.ArtifactUrl:
        """Returns a link from which whoever has it can download a file, for a while.

        Args:
            artifact: The file, or its identifier.

        Raises:
            MixdownError: there is no such file, or this installation gives no links.
        """
        artifact_id = artifact if isinstance(artifact, str) else artifact.artifact_id
        request = gateway_pb2.GetArtifactUrlRequest(artifact_id=artifact_id)
        return await call_again(self._link, self._link.stub.GetArtifactUrl, request)

    async def download(
        self, artifact: conversation_pb2.Artifact, folder: str | PathLike[str]
    ) -> Path:
        """Downloads a file into a folder and returns its path.

        Raises:
            DamagedFileError: what arrived is not what was sent.
            MixdownError: there is no such file, or Mixdown cannot be reached.
        """
        return await download(self._link, artifact, Path(folder))

"""The calls of `mixdown.gateway.v1.GatewayService`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from google.api import httpbody_pb2
from google.protobuf import empty_pb2
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.mix.protobuf import mix_to_message
from mixdown.mix.v1 import mix_pb2
from mixdown.session.v1 import session_pb2
from services.gateway import metrics, wordless
from services.gateway import request_rules as rules
from services.gateway.api_uploads import as_upload
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, Backends
from services.gateway.batches import Batch
from services.gateway.capabilities import Capabilities
from services.gateway.direct_downloads import DirectDownloads
from services.gateway.files import check_offset, read_blob
from services.gateway.identity import user_of
from services.gateway.listener import Wish
from services.gateway.settings import GatewaySettings
from services.gateway.turns import Turns, TurnStream
from services.gateway.uploads import Uploads
from services.runtime.blobs import BlobStore

SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name

_Context = aio.ServicerContext[Any, Any]


class GatewayApi(gateway_pb2_grpc.GatewayServiceServicer):
    """Checks requests, says who asks, and hands them to whoever answers."""

    def __init__(
        self, settings: GatewaySettings, backends: Backends, blobs: BlobStore, turns: Turns
    ) -> None:
        self._settings = settings
        self._session = backends.session
        self._blobs = blobs
        self._turns = turns
        self._uploads = Uploads(backends, blobs, settings)
        self._capabilities = Capabilities(backends, settings)
        self._direct = DirectDownloads(blobs, settings.direct_download_seconds)

    # ── tracks ──────────────────────────────────────────────────────────────────────────────

    async def UploadTrack(  # noqa: N802
        self,
        request_iterator: AsyncIterator[gateway_pb2.UploadTrackRequest],
        context: _Context,
    ) -> conversation_pb2.Track:
        """Receives an upload."""
        return await self._uploads.receive(self._user(context), request_iterator)

    async def UploadTrackFile(  # noqa: N802
        self,
        request_iterator: AsyncIterator[gateway_pb2.UploadTrackFileRequest],
        context: _Context,
    ) -> conversation_pb2.Track:
        """Receives an upload that came as the body of an HTTP request."""
        return await self._uploads.receive(self._user(context), as_upload(request_iterator))

    async def QueryUpload(  # noqa: N802
        self, request: gateway_pb2.QueryUploadRequest, context: _Context
    ) -> gateway_pb2.UploadStatus:
        """Tells how much has arrived."""
        return await self._uploads.query(self._user(context), request.upload_id)

    async def GetTrack(  # noqa: N802
        self, request: gateway_pb2.GetTrackRequest, context: _Context
    ) -> conversation_pb2.Track:
        """Gets a track."""
        return await self._session.GetTrack(
            session_pb2.GetTrackRequest(user_id=self._user(context), track_id=request.track_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ListTracks(  # noqa: N802
        self, request: gateway_pb2.ListTracksRequest, context: _Context
    ) -> gateway_pb2.ListTracksResponse:
        """Lists tracks."""
        page = await self._session.ListTracks(
            session_pb2.ListTracksRequest(
                user_id=self._user(context),
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListTracksResponse(
            tracks=page.tracks, next_page_token=page.next_page_token
        )

    async def DeleteTrack(  # noqa: N802
        self, request: gateway_pb2.DeleteTrackRequest, context: _Context
    ) -> empty_pb2.Empty:
        """Deletes a track and its files."""
        return await self._session.DeleteTrack(
            session_pb2.DeleteTrackRequest(user_id=self._user(context), track_id=request.track_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    # ── sessions ────────────────────────────────────────────────────────────────────────────

    async def CreateSession(  # noqa: N802
        self, request: gateway_pb2.CreateSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Begins a conversation with a model that exists."""
        user = self._user(context)
        if request.request_id:
            rules.check_request_id(request.request_id)
        name = rules.check_display_name(request.display_name, required=False)
        model = await self._capabilities.choose_model(request.model)
        return await self._session.CreateSession(
            session_pb2.CreateSessionRequest(
                user_id=user,
                track_id=request.track_id,
                display_name=name,
                model=model.name,
                stems=model.stems,
                request_id=request.request_id,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def GetSession(  # noqa: N802
        self, request: gateway_pb2.GetSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Gets a session."""
        return await self._get_session(self._user(context), request.session_id)

    async def ListSessions(  # noqa: N802
        self, request: gateway_pb2.ListSessionsRequest, context: _Context
    ) -> gateway_pb2.ListSessionsResponse:
        """Lists sessions."""
        page = await self._session.ListSessions(
            session_pb2.ListSessionsRequest(
                user_id=self._user(context),
                track_id=request.track_id,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListSessionsResponse(
            sessions=page.sessions, next_page_token=page.next_page_token
        )

    async def UpdateSession(  # noqa: N802
        self, request: gateway_pb2.UpdateSessionRequest, context: _Context
    ) -> conversation_pb2.Session:
        """Renames a session."""
        return await self._session.UpdateSession(
            session_pb2.UpdateSessionRequest(
                user_id=self._user(context),
                session=request.session,
                update_mask=request.update_mask,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def DeleteSession(  # noqa: N802
        self, request: gateway_pb2.DeleteSessionRequest, context: _Context
    ) -> empty_pb2.Empty:
        """Deletes a session and its files."""
        return await self._session.DeleteSession(
            session_pb2.DeleteSessionRequest(
                user_id=self._user(context), session_id=request.session_id
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ExportSession(  # noqa: N802
        self, request: gateway_pb2.ExportSessionRequest, context: _Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Exports a session."""
        pieces = self._session.ExportSession(
            session_pb2.ExportSessionRequest(
                user_id=self._user(context), session_id=request.session_id
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        content_type = "application/json"
        async for piece in pieces:
            yield httpbody_pb2.HttpBody(content_type=content_type, data=piece.json)
            content_type = ""

    async def GetMix(  # noqa: N802
        self, request: gateway_pb2.GetMixRequest, context: _Context
    ) -> mix_pb2.Mix:
        """Gets the mix of a session."""
        session = await self._get_session(self._user(context), request.session_id)
        return session.mix

    # ── turns ───────────────────────────────────────────────────────────────────────────────

    async def Converse(  # noqa: N802
        self, request: gateway_pb2.ConverseRequest, context: _Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Says something to the track."""
        begin = session_pb2.BeginTurnRequest(
            user_id=self._user(context),
            session_id=request.session_id,
            prompt=rules.check_prompt(request.prompt, self._settings.prompt_limit_characters),
            request_id=rules.check_request_id(request.request_id),
            format=rules.check_format(request.format),
            if_busy=request.if_busy,
        )
        stream = self._turns.begin(begin, _wish(request.delivery), detached=request.detached)
        async for event in _read(stream, context):
            yield event

    async def ConverseBatch(  # noqa: N802
        self, request: gateway_pb2.ConverseBatchRequest, context: _Context
    ) -> gateway_pb2.ConverseBatchResponse:
        """Says something to many tracks."""
        track_ids = list(rules.check_tracks(request.track_ids))
        request_id = rules.check_request_id(request.request_id)
        batch = Batch(
            self._user(context),
            rules.check_prompt(request.prompt, self._settings.prompt_limit_characters),
            rules.check_format(request.format),
            await self._capabilities.choose_model(request.model),
            request_id,
        )
        turns = await batch.begin(self._session, self._turns, track_ids)
        return gateway_pb2.ConverseBatchResponse(turns=turns, request_id=request_id)

    async def WatchTurn(  # noqa: N802
        self, request: gateway_pb2.WatchTurnRequest, context: _Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Goes on with a turn."""
        wish = _wish(
            request.delivery,
            after_sequence=request.after_sequence,
            offsets_bytes=rules.check_offsets(dict(request.offsets_bytes)),
        )
        stream = self._turns.watch(self._user(context), request.turn_id, wish)
        async for event in _read(stream, context, is_new=False):
            yield event

    async def Render(  # noqa: N802
        self, request: gateway_pb2.RenderRequest, context: _Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Renders a mix given as data."""
        user = self._user(context)
        request_id = rules.check_request_id(request.request_id)
        form = rules.check_format(request.format)
        session = await self._get_session(user, request.session_id)
        mix = rules.check_mix(request.mix, list(session.stems))
        outputs = rules.check_outputs(list(request.outputs), list(session.stems))
        begin = session_pb2.BeginTurnRequest(
            user_id=user,
            session_id=request.session_id,
            request_id=request_id,
            format=form,
            if_busy=request.if_busy,
            given=wordless.remix(mix_to_message(mix), outputs),
        )
        stream = self._turns.begin(begin, _wish(request.delivery), detached=request.detached)
        async for event in _read(stream, context):
            yield event

    async def Separate(  # noqa: N802
        self, request: gateway_pb2.SeparateRequest, context: _Context
    ) -> AsyncIterator[conversation_pb2.TurnEvent]:
        """Hands out stems given as data."""
        user = self._user(context)
        request_id = rules.check_request_id(request.request_id)
        form = rules.check_format(request.format)
        session = await self._get_session(user, request.session_id)
        outputs = rules.check_separation(request.stems, request.without, session.stems)
        begin = session_pb2.BeginTurnRequest(
            user_id=user,
            session_id=request.session_id,
            request_id=request_id,
            format=form,
            if_busy=request.if_busy,
            given=wordless.separation(request.stems, request.without, outputs),
        )
        stream = self._turns.begin(begin, _wish(request.delivery), detached=request.detached)
        async for event in _read(stream, context):
            yield event

    async def CancelTurn(  # noqa: N802
        self, request: gateway_pb2.CancelTurnRequest, context: _Context
    ) -> conversation_pb2.Turn:
        """Cancels a turn."""
        return await self._turns.cancel(self._user(context), request.turn_id)

    async def GetTurn(  # noqa: N802
        self, request: gateway_pb2.GetTurnRequest, context: _Context
    ) -> conversation_pb2.Turn:
        """Gets a turn."""
        return await self._session.GetTurn(
            session_pb2.GetTurnRequest(user_id=self._user(context), turn_id=request.turn_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def ListTurns(  # noqa: N802
        self, request: gateway_pb2.ListTurnsRequest, context: _Context
    ) -> gateway_pb2.ListTurnsResponse:
        """Lists the turns of a session."""
        page = await self._session.ListTurns(
            session_pb2.ListTurnsRequest(
                user_id=self._user(context),
                session_id=request.session_id,
                page_size=request.page_size,
                page_token=request.page_token,
            ),
            timeout=SESSION_TIMEOUT_SECONDS,
        )
        return gateway_pb2.ListTurnsResponse(turns=page.turns, next_page_token=page.next_page_token)

    # ── files and facts ─────────────────────────────────────────────────────────────────────

    async def DownloadArtifact(  # noqa: N802
        self, request: gateway_pb2.DownloadArtifactRequest, context: _Context
    ) -> AsyncIterator[gateway_pb2.DownloadArtifactResponse]:
        """Sends a file."""
        artifact = await self._get_artifact(self._user(context), request.artifact_id)
        check_offset(request.offset_bytes, artifact.blob.size_bytes)
        yield gateway_pb2.DownloadArtifactResponse(artifact=artifact)
        async for data in read_blob(self._blobs, artifact.blob.sha256, request.offset_bytes):
            metrics.SENT_BYTES.labels("download").inc(len(data))
            yield gateway_pb2.DownloadArtifactResponse(data=data)

    async def DownloadArtifactFile(  # noqa: N802
        self, request: gateway_pb2.DownloadArtifactFileRequest, context: _Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Sends a file as the body of an HTTP response."""
        artifact = await self._get_artifact(self._user(context), request.artifact_id)
        check_offset(request.offset_bytes, artifact.blob.size_bytes)
        # The first message alone, even of no bytes, says what follows.
        yield httpbody_pb2.HttpBody(content_type=artifact.media_type)
        async for data in read_blob(self._blobs, artifact.blob.sha256, request.offset_bytes):
            metrics.SENT_BYTES.labels("download").inc(len(data))
            yield httpbody_pb2.HttpBody(data=data)

    async def GetArtifactUrl(  # noqa: N802
        self, request: gateway_pb2.GetArtifactUrlRequest, context: _Context
    ) -> gateway_pb2.ArtifactUrl:
        """Gives a link to a file."""
        artifact = await self._get_artifact(self._user(context), request.artifact_id)
        return await self._direct.link(artifact)

    async def GetUsage(  # noqa: N802
        self, request: gateway_pb2.GetUsageRequest, context: _Context
    ) -> conversation_pb2.Usage:
        """Tells what the caller uses."""
        return await self._session.GetUsage(
            session_pb2.GetUsageRequest(user_id=self._user(context)),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def GetCapabilities(  # noqa: N802
        self, request: gateway_pb2.GetCapabilitiesRequest, context: _Context
    ) -> gateway_pb2.Capabilities:
        """Tells what this installation can do."""
        self._user(context)
        return await self._capabilities.tell()

    # ────────────────────────────────────────────────────────────────────────────────────────

    def _user(self, context: _Context) -> str:
        return user_of(context, self._settings.development_user)

    async def _get_session(self, user: str, session_id: str) -> conversation_pb2.Session:
        return await self._session.GetSession(
            session_pb2.GetSessionRequest(user_id=user, session_id=session_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

    async def _get_artifact(self, user: str, artifact_id: str) -> conversation_pb2.Artifact:
        return await self._session.GetArtifact(
            session_pb2.GetArtifactRequest(user_id=user, artifact_id=artifact_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )


def _wish(
    delivery: gateway_pb2.Delivery.ValueType,
    after_sequence: int = 0,
    offsets_bytes: dict[str, int] | None = None,
) -> Wish:
    return Wish(
        after_sequence=after_sequence,
        offsets_bytes=offsets_bytes or {},
        audio=delivery != gateway_pb2.DELIVERY_EVENTS_ONLY,
    )


async def _read(
    stream: TurnStream, context: _Context, *, is_new: bool = True
) -> AsyncIterator[conversation_pb2.TurnEvent]:
    watch = metrics.StreamWatch(is_new=is_new)

    def leave(_: object) -> None:
        stream.leave()
        watch.end()

    # However the call ends, and wherever its handler waits then: the work learns of it.
    # (The stubs of grpc name a class where any callable is meant.)
    context.add_done_callback(cast("Any", leave))
    async for event in stream:
        watch.see(event)
        yield event

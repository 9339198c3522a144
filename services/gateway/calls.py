"""What the calls of every subject work with."""

from __future__ import annotations

from typing import Any

from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2_grpc
from mixdown.session.v1 import session_pb2
from services.gateway.backends import SESSION_TIMEOUT_SECONDS, Backends
from services.gateway.capabilities import Capabilities
from services.gateway.direct_downloads import DirectDownloads
from services.gateway.files import Files
from services.gateway.identity import user_of
from services.gateway.session_stems import SessionStems
from services.gateway.settings import GatewaySettings
from services.gateway.turns import Turns
from services.gateway.uploads import Uploads
from services.runtime.blobs import BlobStore

Context = aio.ServicerContext[Any, Any]


class Calls(gateway_pb2_grpc.GatewayServiceServicer):
    """Calls that check requests, say who asks, and hand them to whoever answers.

    Args:
        settings: The gateway's settings.
        backends: The services behind it.
        blobs: Where uploads go.
        files: Where downloads come from.
        turns: Runs and follows turns.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        backends: Backends,
        blobs: BlobStore,
        files: Files,
        turns: Turns,
    ) -> None:
        self._settings = settings
        self._session = backends.session
        self._stems = SessionStems(backends.session)
        self._files = files
        self._turns = turns
        self._uploads = Uploads(backends, blobs, settings)
        self._capabilities = Capabilities(backends, settings)
        self._direct = DirectDownloads(blobs, settings.direct_download_seconds)

    def _user(self, context: Context) -> str:
        return user_of(context, self._settings.development_user)

    async def _find_session(self, user: str, session_id: str) -> conversation_pb2.Session:
        return await self._session.GetSession(
            session_pb2.GetSessionRequest(user_id=user, session_id=session_id),
            timeout=SESSION_TIMEOUT_SECONDS,
        )

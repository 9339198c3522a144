"""The stems of sessions: asked for once, because they never change."""

from __future__ import annotations

from collections import OrderedDict

from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.backends import SESSION_TIMEOUT_SECONDS

_KEPT = 4096
"""Sessions whose stems are remembered; those that were used least lately are forgotten."""


class SessionStems:
    """Knows the stems of the sessions that were lately used here.

    That a session has been deleted since is not seen here: to begin a turn in it tells.

    Args:
        session: Who is asked.
    """

    def __init__(self, session: session_pb2_grpc.SessionServiceAsyncStub) -> None:
        self._session = session
        self._known: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()

    async def of(self, user: str, session_id: str) -> tuple[str, ...]:
        """Returns the stems of the model of a user's session."""
        key = (user, session_id)
        if key not in self._known:
            found = await self._session.GetSession(
                session_pb2.GetSessionRequest(user_id=user, session_id=session_id),
                timeout=SESSION_TIMEOUT_SECONDS,
            )
            self._known[key] = tuple(found.stems)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

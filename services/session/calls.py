"""What the calls of all kinds share: the database, the rules, who follows a turn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

from grpc import aio

from mixdown.session.v1 import session_pb2_grpc
from services.session import deletions, turns
from services.session.database import Database
from services.session.event_signal import EventSignal
from services.session.lookout import Lookout

Context: TypeAlias = aio.ServicerContext[Any, Any]


class Calls(session_pb2_grpc.SessionServiceServicer):
    """A part of the service's calls: each is one operation in one transaction.

    Args:
        database: Where everything is remembered.
        poll_seconds: How often watched turns are looked at, for what other replicas store.
        rules: What turns may do.
        deletion_grace: How long a file stays after nobody refers to it.
    """

    def __init__(
        self,
        database: Database,
        poll_seconds: float,
        rules: turns.TurnRules = turns.DEFAULT_RULES,
        deletion_grace: timedelta = deletions.GRACE,
    ) -> None:
        self._database = database
        self._rules = rules
        self._deletion_grace = deletion_grace
        self._signal = EventSignal()
        self._lookout = Lookout(database, self._signal, poll_seconds)
        self._is_shutting_down = False
        database.tell(self._signal.notify)

    def shut_down(self) -> None:
        """Ends the calls that watch turns; they go on at another replica."""
        self._is_shutting_down = True
        self._signal.notify_all()

"""Looks out for what other replicas store for the turns that are watched here.

What this process stores it tells its watchers itself (`EventSignal`). For all else, time that runs
out included, one look into the database every so often serves all of them together: it costs the
same for hundreds of watchers as for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from services.session.database import Database, Transaction
from services.session.errors import DatabaseUnavailableError
from services.session.event_signal import EventSignal
from services.session.tables import UNFINISHED, WAITING, TurnEventRow, TurnRow


class Sight(NamedTuple):
    """What has changed of a turn whenever its watchers have something to read.

    Attributes:
        last_sequence: Its last event; 0 before the first.
        is_held: Whether somebody works on it.
        turns_before: Turns of its session that have not ended and came before it.
    """

    last_sequence: int
    is_held: bool
    turns_before: int


_BEFORE = aliased(TurnRow)
_SIGHTS = select(
    TurnRow.turn_id,
    select(func.coalesce(func.max(col(TurnEventRow.sequence)), 0))
    .where(col(TurnEventRow.turn_id) == col(TurnRow.turn_id))
    .scalar_subquery(),
    and_(
        col(TurnRow.state) == UNFINISHED, col(TurnRow.lease_expire_time) > bindparam("now")
    ),  # as `leases.is_held` has it
    select(func.count())
    .select_from(_BEFORE)
    .where(
        col(_BEFORE.session_id) == col(TurnRow.session_id),
        col(_BEFORE.state).in_((UNFINISHED, WAITING)),
        col(_BEFORE.ordinal) < col(TurnRow.ordinal),
    )
    .scalar_subquery(),
).where(col(TurnRow.turn_id).in_(bindparam("turn_ids", expanding=True)))


def look_at(transaction: Transaction, *, turn_ids: Collection[str]) -> dict[str, Sight]:
    """Returns what there is to see of turns; those that were deleted are left out."""
    parameters = {"now": transaction.now, "turn_ids": list(turn_ids)}
    rows = transaction.rows.exec(_SIGHTS, params=parameters)
    return {
        turn_id: Sight(last_sequence, bool(is_held), turns_before)
        for turn_id, last_sequence, is_held, turns_before in rows
    }


class Lookout:
    """Wakes the watchers of turns that have changed, for as long as there are any.

    Args:
        database: What is looked into.
        signal: Who watches.
        pause_seconds: How often.
    """

    def __init__(self, database: Database, signal: EventSignal, pause_seconds: float) -> None:
        self._database = database
        self._signal = signal
        self._pause_seconds = pause_seconds
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, stored: asyncio.Event) -> None:
        """Waits until a watcher's event is set."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await stored.wait()

    async def _look(self) -> None:
        seen: dict[str, Sight] = {}
        try:
            while True:
                await asyncio.sleep(self._pause_seconds)
                watched = self._signal.watched
                if not watched:
                    return
                now = await self._database.read(look_at, turn_ids=watched)
                # Also what is seen for the first time: nobody knows what its watchers have read.
                for turn_id in watched:
                    if turn_id not in seen or seen[turn_id] != now.get(turn_id):
                        self._signal.notify(turn_id)
                seen = now
        except DatabaseUnavailableError:
            pass
        finally:
            self._signal.notify_all()  # each finds out for itself what is wrong, or looks again

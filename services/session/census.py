"""Counts now and then what the whole database holds: turns that have not ended, files to delete.

Every replica counts the same; who adds them up counts too much.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog
from sqlalchemy import case, func
from sqlmodel import col, select

from services.session import metrics
from services.session.database import Database, Transaction
from services.session.errors import DatabaseUnavailableError
from services.session.tables import UNFINISHED, WAITING, DeletionRow, TurnRow

_log = structlog.get_logger("mixdown.census")

TurnState = Literal["running", "orphaned", "resting", "waiting"]
STATES: tuple[TurnState, ...] = ("running", "orphaned", "resting", "waiting")


@dataclass(frozen=True)
class Census:
    """What was counted.

    Args:
        turns: Turns that have not ended, by state.
        deletions: Files to delete.
        oldest_deletion_seconds: How long the oldest of them has been one; 0 without any.
    """

    turns: dict[TurnState, int]
    deletions: int
    oldest_deletion_seconds: float


def take_census(transaction: Transaction) -> Census:
    """Counts turns that have not ended and files to delete; both have an index for it."""
    state = case(
        (col(TurnRow.state) == WAITING, "waiting"),
        (col(TurnRow.lease_expire_time).is_(None), "resting"),
        (col(TurnRow.lease_expire_time) > transaction.now, "running"),
        else_="orphaned",
    )
    rows = transaction.rows.connection().execute(
        select(state, func.count())
        .where(col(TurnRow.state).in_((UNFINISHED, WAITING)))
        .group_by(state)
    )
    counted = {str(name): int(count) for name, count in rows}
    deletions, oldest = transaction.rows.exec(
        select(func.count(), func.min(DeletionRow.drop_time)).where(
            col(DeletionRow.delete_time).is_(None)
        )
    ).one()
    return Census(
        turns={name: counted.get(name, 0) for name in STATES},
        deletions=deletions,
        oldest_deletion_seconds=_age_seconds(transaction.now, oldest),
    )


def _age_seconds(now: datetime, then: datetime | None) -> float:
    return 0.0 if then is None else max(0.0, (now - then).total_seconds())


class CensusTaker:
    """Takes a census every so often, for whoever fetches metrics.

    Args:
        database: What is counted.
        pause_seconds: How often.
    """

    def __init__(self, database: Database, pause_seconds: float) -> None:
        self._database = database
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Counts until it is cancelled."""
        while True:
            try:
                await self.count()
            except DatabaseUnavailableError:
                _log.info("not_counted")  # the next time, then
            await asyncio.sleep(self._pause_seconds)

    async def count(self) -> None:
        """Counts now."""
        census = await self._database.read(take_census)
        for name, count in census.turns.items():
            metrics.TURNS.labels(name).set(count)
        metrics.DELETIONS_PENDING.set(census.deletions)
        metrics.OLDEST_DELETION_SECONDS.set(census.oldest_deletion_seconds)

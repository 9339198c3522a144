"""What the session service does by itself: now and then it lets go of what is too old."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from services.session import metrics
from services.session.database import Database
from services.session.errors import DatabaseUnavailableError
from services.session.retention import expire

_log = structlog.get_logger("mixdown.sweeper")


class Sweeper:
    """Deletes what is too old, every so often. Many replicas may do it: none waits for another.

    Args:
        database: Where everything is remembered.
        keep: How long sessions and tracks stay; None for ever.
        keep_uploads: How long an upload that never became a track stays.
        pause_seconds: How often.
    """

    def __init__(
        self,
        database: Database,
        keep: timedelta | None,
        keep_uploads: timedelta,
        pause_seconds: float,
    ) -> None:
        self._database = database
        self._keep = keep
        self._keep_uploads = keep_uploads
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            try:
                await self.sweep()
            except DatabaseUnavailableError:
                _log.info("not_swept")  # the next time, then
            await asyncio.sleep(self._pause_seconds)

    async def sweep(self) -> int:
        """Deletes what is too old now; returns how many sessions, tracks and uploads."""
        total = 0
        while count := await self._database.write(
            expire, keep=self._keep, keep_uploads=self._keep_uploads
        ):
            total += count
        if total:
            metrics.EXPIRED.inc(total)
            _log.info("expired", count=total)
        return total

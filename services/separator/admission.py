"""How many tracks are computed at once, and how many may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.separator.errors import QueueFullError


class Admission:
    """Lets `running` tracks in at a time and `waiting` more wait, first come, first served."""

    def __init__(self, running: int, waiting: int) -> None:
        self._free = running
        self._limit = waiting
        self._line: list[tuple[asyncio.Future[None], Callable[[int], None]]] = []

    @property
    def waiting(self) -> int:
        """Tracks that wait."""
        return len(self._line)

    def check(self, retry_after_seconds: float) -> None:
        """Raises QueueFullError where a further track could not even wait.

        Args:
            retry_after_seconds: What the error tells the caller.
        """
        if not self._free and len(self._line) >= self._limit:
            raise QueueFullError(
                "Too many tracks wait to be separated. Please try again later.",
                metadata={"waiting": str(len(self._line))},
                retry_after_seconds=retry_after_seconds,
            )

    @asynccontextmanager
    async def slot(self, on_position: Callable[[int], None]) -> AsyncIterator[None]:
        """Waits for a place, and gives it back at the end.

        Args:
            on_position: Called with the number of tracks ahead, whenever it changes.
        """
        await self._enter(on_position)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, on_position: Callable[[int], None]) -> None:
        if self._free and not self._line:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (turn, on_position)
        self._line.append(entry)
        on_position(len(self._line) - 1)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._line:
                self._line.remove(entry)
                self._tell_positions()
            else:  # it was let in at the moment it was cancelled
                self._leave()
            raise

    def _leave(self) -> None:
        self._free += 1
        while self._free and self._line:
            turn, _ = self._line.pop(0)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
        self._tell_positions()

    def _tell_positions(self) -> None:
        for position, (_, on_position) in enumerate(self._line):
            on_position(position)

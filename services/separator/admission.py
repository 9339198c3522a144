"""How many tracks are computed at once, and how many may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.separator import metrics
from services.separator.errors import QueueFullError


class Admission:
    """Lets `running` tracks in at a time and `waiting` more wait, first come, first served."""

    def __init__(self, running: int, waiting: int) -> None:
        self._places = running
        self._free = running
        self._limit = waiting
        self._line: list[Place] = []

    @property
    def waiting(self) -> int:
        """Tracks that wait."""
        return len(self._line)

    @property
    def running(self) -> int:
        """Tracks that were let in."""
        return self._places - self._free

    def ask(self, on_position: Callable[[int], None], retry_after_seconds: float) -> Place:
        """Returns a place, or a place in the line.

        Args:
            on_position: Called with the number of tracks ahead, whenever it changes.
            retry_after_seconds: What the error tells the caller.

        Raises:
            QueueFullError: too many wait already.
        """
        place = Place(self, on_position)
        if self._free and not self._line:
            self._free -= 1
            place.let_in()
            return place
        if len(self._line) >= self._limit:
            metrics.REFUSED.inc()
            raise QueueFullError(
                "Too many tracks wait to be separated. Please try again later.",
                metadata={"waiting": str(len(self._line))},
                retry_after_seconds=retry_after_seconds,
            )
        self._line.append(place)
        on_position(len(self._line) - 1)
        return place

    def give_back(self, place: Place) -> None:
        """Takes a place back, whether it was waited for or already had."""
        if place in self._line:
            self._line.remove(place)
        else:
            self._free += 1
        while self._free and self._line:
            self._free -= 1
            self._line.pop(0).let_in()
        for position, waiting in enumerate(self._line):
            waiting.on_position(position)


class Place:
    """One track's place among those that are computed, or in the line for it."""

    def __init__(self, admission: Admission, on_position: Callable[[int], None]) -> None:
        self.on_position = on_position
        self._admission = admission
        self._inside = asyncio.Event()
        self._left = False

    async def wait(self) -> None:
        """Waits until it is this track's turn."""
        await self._inside.wait()

    def let_in(self) -> None:
        """Makes it this track's turn."""
        self._inside.set()

    def leave(self) -> None:
        """Gives the place back; once is enough."""
        if not self._left:
            self._left = True
            self._admission.give_back(self)

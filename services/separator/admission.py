"""How many tracks are computed at once, and how many may wait for it.

A track that somebody listens to does not see those that nobody listens to: neither the places nor
the line of these are in its way. So work in the background, however much, holds up no listener; and
there are at most twice as many tracks of either as the settings say.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from services.separator import metrics
from services.separator.errors import QueueFullError


class Admission:
    """Lets `running` tracks in at a time and `waiting` more wait.

    First come, first served, but those with listeners before those without.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._places = running
        self._limit = waiting
        self._inside: list[Place] = []
        self._line: list[Place] = []
        self._numbers = itertools.count()

    @property
    def waiting(self) -> int:
        """Tracks that wait."""
        return len(self._line)

    @property
    def running(self) -> int:
        """Tracks that were let in."""
        return len(self._inside)

    def ask(
        self,
        on_position: Callable[[int], None],
        retry_after_seconds: float,
        *,
        listened: bool = True,
    ) -> Place:
        """Returns a place, or a place in the line.

        Args:
            on_position: Called with the number of tracks ahead, whenever it changes.
            retry_after_seconds: What the error tells the caller.
            listened: Whether somebody listens.

        Raises:
            QueueFullError: too many wait already.
        """
        place = Place(self, on_position, next(self._numbers), listened=listened)
        ahead = _seen(self._line, place)
        if len(ahead) >= self._limit and not self._is_room(place):
            metrics.REFUSED.inc()
            raise QueueFullError(
                "Too many tracks wait to be separated. Please try again later.",
                metadata={"waiting": str(len(ahead))},
                retry_after_seconds=retry_after_seconds,
            )
        self._line.append(place)
        self.move_up()
        return place

    def give_back(self, place: Place) -> None:
        """Takes a place back, whether it was waited for or already had."""
        (self._line if place in self._line else self._inside).remove(place)
        self.move_up()

    def move_up(self) -> None:
        """Lets in whom there is room for, and tells the others how many are ahead."""
        self._line.sort(key=lambda place: (not place.listened, place.number))
        for place in list(self._line):
            if self._is_room(place):
                self._line.remove(place)
                self._inside.append(place)
                place.let_in()
        for position, place in enumerate(self._line):
            place.tell(position)

    def _is_room(self, place: Place) -> bool:
        return len(_seen(self._inside, place)) < self._places


def _seen(places: list[Place], by: Place) -> list[Place]:
    """Returns those places that one of this kind has to wait for."""
    return [place for place in places if place.listened or not by.listened]


class Place:
    """One track's place among those that are computed, or in the line for it.

    Attributes:
        number: Larger than of those who came before.
        listened: Whether somebody listens.
    """

    def __init__(
        self,
        admission: Admission,
        on_position: Callable[[int], None],
        number: int,
        *,
        listened: bool,
    ) -> None:
        self.number = number
        self.listened = listened
        self._on_position = on_position
        self._position: int | None = None
        self._admission = admission
        self._inside = asyncio.Event()
        self._left = False

    async def wait(self) -> None:
        """Waits until it is this track's turn."""
        await self._inside.wait()

    def let_in(self) -> None:
        """Makes it this track's turn."""
        self._inside.set()

    def tell(self, position: int) -> None:
        """Tells how many are ahead, where that is news."""
        if position != self._position:
            self._position = position
            self._on_position(position)

    def change(self, *, listened: bool) -> None:
        """Takes note that somebody listens from now on, or nobody any more."""
        if listened != self.listened and not self._left:
            self.listened = listened
            self._admission.move_up()

    def leave(self) -> None:
        """Gives the place back; once is enough."""
        if not self._left:
            self._left = True
            self._admission.give_back(self)

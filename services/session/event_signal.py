"""Tells watchers of a turn in this process that something was stored for it.

What another replica stores is not told here: `Lookout` looks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class EventSignal:
    """Wakes the watchers of a turn. Lives on one event loop."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}

    @property
    def watched(self) -> tuple[str, ...]:
        """The turns that somebody watches."""
        return tuple(self._watchers)

    def notify(self, turn_id: str) -> None:
        """Wakes all watchers of a turn."""
        for watcher in self._watchers.get(turn_id, ()):
            watcher.set()

    def notify_all(self) -> None:
        """Wakes all watchers of all turns."""
        for turn_id in self.watched:
            self.notify(turn_id)

    @contextmanager
    def watching(self, turn_id: str) -> Iterator[asyncio.Event]:
        """Gives an event that `notify` sets for as long as the context is open.

        Clear it before looking into the database, so that nothing falls between the two.
        """
        watcher = asyncio.Event()
        watchers = self._watchers.setdefault(turn_id, set())
        watchers.add(watcher)
        try:
            yield watcher
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop(turn_id, None)

"""Work under way, so that equal requests share one computation."""

from __future__ import annotations

from services.runtime import tracing
from services.separator import metrics
from services.separator.computation import Computation, Rooms
from services.separator.engines import Engine
from services.separator.playhead import Playhead
from services.separator.stem_store import Recipe


class Computations:
    """Those under way, so that equal requests share one."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._under_way: dict[tuple[Recipe, tuple[int, ...]], Computation] = {}

    def join(
        self,
        recipe: Recipe,
        engine: Engine,
        members: tuple[int, ...],
        playhead: Playhead | None = None,
    ) -> Computation:
        """Returns the computation of `recipe` by `members`, begun where there is none.

        The caller is its reader now and must `leave` it.

        Args:
            recipe: What is made.
            engine: Model and backend.
            members: The networks to run.
            playhead: Of a reader who listens meanwhile.

        Raises:
            QueueFullError: it is not under way, and too many wait already.
        """
        key = (recipe, members)
        computation = self._under_way.get(key)
        if computation is None or not computation.wanted:
            computation = Computation(
                recipe,
                engine,
                members,
                self._rooms,
                self._shortest_eta_seconds(),
                listened=playhead is not None,
            )
            metrics.REQUESTS.labels("computed").inc()
            self._under_way[key] = computation
            computation.on_end(lambda: self._forget(key, computation))
        else:
            metrics.REQUESTS.labels("shared").inc()
            tracing.add_link(computation.span_context)
        computation.join(playhead)
        return computation

    async def close(self) -> None:
        """Stops all work, and waits until it has ended."""
        for computation in list(self._under_way.values()):
            await computation.stop()

    def _forget(self, key: tuple[Recipe, tuple[int, ...]], computation: Computation) -> None:
        if self._under_way.get(key) is computation:
            del self._under_way[key]

    def _shortest_eta_seconds(self) -> float:
        known = [
            computation.eta_seconds
            for computation in self._under_way.values()
            if computation.fraction
        ]
        return max(1.0, min(known, default=5.0))

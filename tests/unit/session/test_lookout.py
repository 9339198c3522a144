"""The lookout wakes whose turn has changed, and nobody waits for one that has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

from services.session.errors import DatabaseUnavailableError
from services.session.event_signal import EventSignal
from services.session.lookout import Lookout, Sight
from tests.patience import PATIENCE_SECONDS

_BEFORE = Sight(1, True, 0)


class Sights:
    """Stands for the database: the looks that are made into it, the last one again and again."""

    def __init__(self, looks: Sequence[dict[str, Sight] | Exception]) -> None:
        self._looks = list(looks)

    async def read(self, _: Callable[..., Any], *, turn_ids: Collection[str]) -> dict[str, Sight]:
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        if isinstance(look, Exception):
            raise look
        return {turn_id: sight for turn_id, sight in look.items() if turn_id in turn_ids}


def _lookout(*looks: dict[str, Sight] | Exception) -> tuple[Lookout, EventSignal]:
    signal = EventSignal()
    return Lookout(Sights(looks), signal, 0.001), signal  # type: ignore[arg-type]


async def _woken(lookout: Lookout, stored: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await lookout.wait(stored)
    stored.clear()


@pytest.mark.parametrize(
    "after", [Sight(2, True, 0), Sight(1, False, 0), Sight(1, True, 1), None], ids=str
)
async def test_any_change_wakes_and_the_same_sight_does_not(after: Sight | None) -> None:
    before = {"a": _BEFORE, "b": _BEFORE}
    then = {"b": _BEFORE, **({"a": after} if after else {})}
    lookout, signal = _lookout(before, before, then)
    with signal.watching("a") as one, signal.watching("b") as other:
        await _woken(lookout, one)  # at the first sight of it
        await _woken(lookout, other)
        await _woken(lookout, one)
        assert not other.is_set()


@pytest.mark.parametrize("error", [DatabaseUnavailableError(), RuntimeError("a defect")], ids=str)
async def test_all_are_woken_where_a_look_fails_and_the_next_one_is_made(error: Exception) -> None:
    lookout, signal = _lookout({"a": _BEFORE}, error, {"a": _BEFORE}, {"a": Sight(2, True, 0)})
    with signal.watching("a") as stored:
        for _ in range(4):
            await _woken(lookout, stored)

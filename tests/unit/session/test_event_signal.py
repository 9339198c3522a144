"""Watchers of a turn are woken, and leave nothing behind."""

from __future__ import annotations

from services.session.event_signal import EventSignal


async def test_every_watcher_of_a_turn_is_woken_and_nobody_else() -> None:
    signal = EventSignal()
    with signal.watching("a") as one, signal.watching("a") as two, signal.watching("b") as other:
        signal.notify("a")
        assert one.is_set()
        assert two.is_set()
        assert not other.is_set()


async def test_a_watcher_that_left_is_forgotten() -> None:
    signal = EventSignal()
    with signal.watching("a") as stays:
        with signal.watching("a") as left:
            pass
        signal.notify("a")
        assert stays.is_set()
        assert not left.is_set()
    assert signal._watchers == {}
    signal.notify("a")

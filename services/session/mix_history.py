"""Undo and redo: walks along a line of mixes that never change.

Every change of the mix makes a new mix whose parent is the mix before. The mixes from the untouched
original to the newest one form a line, and a session stands somewhere on it: undo steps towards
the original, redo towards the newest. A change made after an undo begins a new line from where the
session stands; what was undone is no longer on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mixdown.mix import Mix

Place = str | None
"""A mix by its identifier; None is the untouched original, where every line begins."""


@dataclass(frozen=True)
class Replace:
    """The mix becomes another one, or stays where the other is equal."""

    mix: Mix


@dataclass(frozen=True)
class Walk:
    """Undo (negative) or redo (positive) by a number of changes, as far as there are any."""

    steps: int


MixChange = Replace | Walk | None
"""What a turn does to the mix; None leaves it."""


@dataclass(frozen=True)
class MixLine:
    """A line of mixes and where a session stands on it.

    Args:
        places: From the original (None) to the newest mix.
        position: Index in `places` of the current mix.
    """

    places: tuple[Place, ...] = (None,)
    position: int = 0

    def __post_init__(self) -> None:
        if not self.places or self.places[0] is not None:
            raise ValueError("a line of mixes begins with the original")
        if not 0 <= self.position < len(self.places):
            raise ValueError("the session stands beside its line of mixes")

    @classmethod
    def from_parents(cls, parents: Mapping[str, Place], tip: Place, current: Place) -> MixLine:
        """Follows the parents from `tip` back to the original.

        Raises:
            ValueError: `current` is not on that way.
        """
        places: list[Place] = [tip]
        while (place := places[-1]) is not None:
            places.append(parents[place])
        places.reverse()
        return cls(tuple(places), places.index(current))

    @property
    def current(self) -> Place:
        """The mix where the session stands."""
        return self.places[self.position]

    @property
    def tip(self) -> Place:
        """The newest mix: how far redo can go."""
        return self.places[-1]

    def walk(self, steps: int) -> MixLine:
        """Steps back (negative) or forth (positive), at most to the end of the line."""
        position = min(max(self.position + steps, 0), len(self.places) - 1)
        return replace(self, position=position)

    def extended(self, mix_id: str) -> MixLine:
        """Returns the line after a change: it goes on from the current mix to the new one."""
        return MixLine((*self.places[: self.position + 1], mix_id), self.position + 1)

    def undo_places(self, limit: int) -> tuple[Place, ...]:
        """Returns what undo would bring back, nearest first, at most `limit`."""
        return self.places[: self.position][::-1][:limit]

    def redo_places(self, limit: int) -> tuple[Place, ...]:
        """Returns what redo would bring back, nearest first, at most `limit`."""
        return self.places[self.position + 1 :][:limit]

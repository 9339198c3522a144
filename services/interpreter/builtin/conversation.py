"""What "it", "them", "even" and "the same" refer to: the turns before this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mixdown.mix import RANGES, EqBand, Filter, Mix, TargetSettings
from services.interpreter.intent import (
    Adjustment,
    Change,
    CompressionChange,
    Context,
    Edit,
    Exchange,
    History,
    Intent,
    Remix,
    Separation,
)

Reader = Callable[[str, Context], Intent]
"""Understands an earlier prompt again, where only its words are known."""

MEMORY_TURNS = 8
"""How many turns back a word may refer to."""


@dataclass(frozen=True)
class Past:
    """An earlier turn and what it meant."""

    exchange: Exchange
    intent: Intent | None

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What it changed."""
        return self.intent.edits if isinstance(self.intent, Remix) else ()

    @property
    def targets(self) -> tuple[str, ...]:
        """What it touched or spoke of."""
        if self.exchange.targets:
            return self.exchange.targets
        if isinstance(self.intent, Separation):
            return self.intent.stems or self.intent.without
        return tuple(dict.fromkeys(edit.target for edit in self.edits))


class Conversation:
    """The turns before this one, newest first, understood when they are needed."""

    def __init__(self, context: Context, read: Reader) -> None:
        self._context = context
        self._read = read
        self._understood: dict[tuple[Exchange, ...], Intent | None] = {}

    def past(self) -> Iterator[Past]:
        """Yields earlier turns whose effect still stands, newest first."""
        undone = 0
        history = self._context.history[-MEMORY_TURNS:]
        for index in range(len(history) - 1, -1, -1):
            exchange = history[index]
            if exchange.kind == "history":
                intent = self._intent(exchange, ())
                action = intent.action if isinstance(intent, History) else ""
                if action == "reset":
                    return
                steps = intent.steps if isinstance(intent, History) else 1
                undone += steps if action == "undo" else -steps if action == "redo" else 0
                continue
            if exchange.kind == "remix" and undone > 0:
                undone -= 1
                continue
            yield Past(exchange, self._intent(exchange, history[max(0, index - 1) : index]))

    def _intent(self, exchange: Exchange, before: tuple[Exchange, ...]) -> Intent | None:
        if exchange.intent is not None:
            return exchange.intent
        key = (*before, exchange)
        if key not in self._understood:
            known = Context(stems=self._context.stems, history=before)
            self._understood[key] = self._read(exchange.prompt, known)
        return self._understood[key]

    @property
    def newest(self) -> Exchange | None:
        """The turn right before this one, whatever it was."""
        return self._context.history[-1] if self._context.history else None

    def latest_change(self) -> Past | None:
        """Returns the last turn that changed the mix or handed out audio."""
        return next((p for p in self.past() if p.exchange.kind in {"remix", "separation"}), None)

    def touched(self) -> tuple[str, ...]:
        """Returns what was touched or spoken of last."""
        known = self._context.targets
        for past in self.past():
            targets = tuple(target for target in past.targets if target in known)
            if targets:
                return targets
        return ()

    def targets_of(self, setting: str, sign: int = 0) -> tuple[str, ...]:
        """Returns the targets whose setting was changed last (in this direction, if given)."""
        for past in self.past():
            found = [
                edit.target
                for edit in past.edits
                if _is_about(edit, setting) and sign in {0, direction_of(edit.change)}
            ]
            if found:
                return tuple(dict.fromkeys(found))
        return ()

    def previous_mix(self) -> Context:
        """Returns the context with the mix before the last change."""
        if self._context.undo_mixes:
            return replace(self._context, mix=self._context.undo_mixes[0])
        past = self.latest_change()
        mix = self._context.mix
        for edit in past.edits if past else ():
            mix = mix.with_target(edit.target, _reverted(mix, edit))
        return replace(self._context, mix=mix)


def _is_about(edit: Edit, setting: str) -> bool:
    return edit.setting == setting


def _reverted(mix: Mix, edit: Edit) -> TargetSettings:
    """Returns a target's settings before an edit, as far as the edit tells them."""
    settings = mix[edit.target]
    match edit.change:
        case Adjustment(value, True):
            before = round(getattr(settings, edit.setting) - value, 6)
            return mix.change(edit.target, **{edit.setting: before})[edit.target]
        case Adjustment():
            neutral = RANGES[edit.setting].neutral
            return mix.change(edit.target, **{edit.setting: neutral})[edit.target]
        case bool(muted):
            return replace(settings, muted=not muted)
        case CompressionChange():
            return replace(settings, compression="none")
        case EqBand(kind, frequency_hz):
            bands = tuple(
                band
                for band in settings.eq
                if (band.type, round(band.frequency_hz)) != (kind, round(frequency_hz))
            )
            return replace(settings, eq=bands)
        case Filter(kind):
            return replace(settings, filters=tuple(f for f in settings.filters if f.type != kind))
        case _:
            return settings


def direction_of(change: Change) -> int:
    """Returns 1 for more, −1 for less, 0 where a change has no direction."""
    match change:
        case Adjustment(value):
            return (value > 0) - (value < 0)
        case CompressionChange(level, levels):
            return (levels > 0) - (levels < 0) if level is None else 1 - 2 * (level == "none")
        case EqBand(_, _, gain_db):
            return (gain_db > 0) - (gain_db < 0)
        case _:
            return 0

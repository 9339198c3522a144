"""Changes in a stretch of the track: fades there, and earlier changes that hold only there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import (
    Adjustment,
    Change,
    Edit,
    Setting,
    TimeRange,
)
from services.interpreter.language.lexemes import Span


def faded(
    target: str,
    changes: Iterable[tuple[Setting, Change]],
    span: Span,
    stretch: TimeRange | None,
) -> list[Edit]:
    """Returns a fade over a stretch: what fades out is silent behind it, what fades in before it.

    Raises:
        UnclearError: the stretch has no end that a fade could end at.
    """
    names = [setting for setting, _ in changes]
    if len(names) != 1:
        raise UnclearError("Should it fade in or out there?")
    fades_in = names[0] == "fade_in_s"
    if stretch is None:
        length_s = span.end_s if fades_in else span.last_s
        if length_s is None:
            raise UnclearError("Over how many seconds should it fade?")
        return [Edit(target, names[0], Adjustment(length_s, False))]
    if stretch.end_s is None:
        raise UnclearError("Until when should that fade take?")
    length = Adjustment(stretch.end_s - stretch.start_s, False)
    silent = TimeRange(0.0, stretch.start_s) if fades_in else TimeRange(stretch.end_s)
    edits = [Edit(target, names[0], length, stretch)]
    if not fades_in or stretch.start_s > 0:
        edits.append(Edit(target, "muted", True, silent))
    return edits


def read_rescoped(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "only from 1:10 to 1:25, please": the change before, but only there."""
    plain = all(
        item.mark
        or item.span
        or is_filler(item)
        or any(item.has(kind) for kind in ("only", "but", "pronoun", "set", "greeting", "ok"))
        for item in clause.lexemes
    )
    if not (plain and named.is_empty):
        return False
    stretch = turn.range
    if turn.edits:
        edits = [edit for edit in turn.edits if edit.range is None]
        turn.edits.clear()
        turn.mix = turn.context.mix
        turn.add_edits(replace(edit, range=stretch) for edit in edits)
        return True
    past = turn.conversation.latest_change()
    if past is None or not past.edits:
        raise UnclearError("What should I change there?")
    turn.context = turn.conversation.previous_mix()
    turn.mix = turn.context.mix
    turn.add_edits(replace(edit, range=stretch) for edit in past.edits)
    turn.name(dict.fromkeys(edit.target for edit in past.edits))
    return True

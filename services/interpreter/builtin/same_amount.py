"""The amount of an earlier change said again: "bass down by the same amount", "that much"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import EFFECT_KINDS, Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import Adjustment, Edit

_SAME = {"same amount", "exactly the same"}
_SETTINGS = ("gain_db", "pitch_semitones")


def read_same_amount(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a level or pitch that goes up or down by as much as was changed last.

    Raises:
        UnclearError: what was changed last has no such amount.
    """
    directed = clause.has("up") != clause.has("down")
    if not directed or clause.numbers() or clause.any_of((*EFFECT_KINDS, "less", "toomuch")):
        return False
    if named.group or not any(item.text in _SAME for item in clause.lexemes):
        return False
    past = turn.conversation.latest_change()
    earlier = turn.last_edits() if turn.edits else list(past.edits) if past else []
    found = [edit for edit in earlier if _amount(edit)]
    if not found or len({(edit.setting, abs(_amount(edit))) for edit in found}) != 1:
        raise UnclearError("By how much?")
    value = abs(_amount(found[0])) * (1 if clause.has("up") else -1)
    targets = named.targets or tuple(dict.fromkeys(edit.target for edit in found))
    change = Adjustment(value, True)
    turn.add_edits(replace(found[0], target=target, change=change) for target in targets)
    turn.name(targets)
    return True


def _amount(edit: Edit) -> float:
    change = edit.change
    if edit.setting in _SETTINGS and isinstance(change, Adjustment) and change.relative:
        return change.value
    return 0.0

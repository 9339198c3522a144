"""Two parts placed together: "swap the guitar and piano", "drums and bass on opposite sides"."""

from __future__ import annotations

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import PAN_DEFAULT, UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import Adjustment, Edit


def read_placing(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that places two parts at once; False for any other clause.

    Raises:
        UnclearError: it is not said, or not known, which two.
    """
    swaps = clause.has("swap")
    if not (swaps or clause.has("side", "apart")):
        return False
    pair = _pair(turn, named)
    if pair is None:
        if swaps and not clause.any_of(("side", "pan")):
            return False
        if named.is_empty and [edit.setting for edit in turn.edits[-2:]] == ["pan", "pan"]:
            return True  # "spread the guitar and piano apart, one each side"
        raise UnclearError("Which two parts do you mean?")
    first, second = pair
    if swaps:
        places = turn.mix[second].pan, turn.mix[first].pan
        if places == (0, 0):
            raise UnclearError("Both are in the middle. Which one should go left, which right?")
    else:
        wide = 1.0 if clause.has("hard") or clause.has("max") else PAN_DEFAULT
        places = -wide, wide
    turn.add_edits(
        Edit(target, "pan", Adjustment(pan, False))
        for target, pan in zip(pair, places, strict=True)
    )
    turn.name(pair)
    return True


def _pair(turn: Turn, named: Named) -> tuple[str, str] | None:
    found = tuple(target for target in named.targets if target != MASTER)
    if not found and named.pronoun in {"them", "both", "it"}:
        found = turn.last_named or turn.mentioned or turn.conversation.touched()
    return (found[0], found[1]) if len(found) == 2 else None

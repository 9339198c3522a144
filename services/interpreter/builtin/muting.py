"""Muting, bringing back, and setting back to neutral."""

from __future__ import annotations

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.evidence import check_taken
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.targets import targets_of
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import Adjustment, Clearing, Edit


def read_mute(turn: Turn, clause: Clause, named: Named) -> None:
    """Reads "mute the drums" and "unmute them"."""
    check_taken(clause)
    muted = not clause.has("unmute")
    if muted and not named.is_empty and clause.has("back"):
        muted = False
    if not muted:
        if not read_unmute(turn, named):
            targets = targets_of(turn, clause, named, setting="muted", sign=-1)
            turn.add_edits(Edit(target, "muted", False) for target in targets)
            turn.name(targets)
        return
    if named.is_empty and clause.has("file"):
        raise UnclearError("Which part should I mute?")  # "mute vocals only"
    targets = targets_of(turn, clause, named, setting="muted", sign=0)
    if named.is_empty and not named.pronoun and targets == (MASTER,):
        raise UnclearError("Which part should I mute, or the whole song?")
    if MASTER in targets and any(item.text == "music" for item in clause.lexemes):
        raise UnclearError("Everything but the vocals, or the whole song?")
    turn.add_edits(
        Edit(target, "muted", True) for target in targets if target not in named.excluded
    )
    turn.name(targets)


def read_unmute(turn: Turn, named: Named) -> bool:
    """Brings back what is muted, of what is named or of all; False where nothing is."""
    muted = [target for target in turn.context.targets if turn.mix[target].muted]
    wanted: list[str] = list(named.targets)
    if not wanted and named.group in {"", "all", "stems"}:
        referred = turn.last_named or turn.conversation.touched()
        wanted = [target for target in muted if target in referred] or muted
        if named.group in {"all", "stems"}:
            wanted = muted
    elif named.group == "rest":
        wanted = [target for target in muted if target not in turn.named]
    found = [target for target in wanted if turn.mix[target].muted and target not in named.excluded]
    if not found:
        return False
    turn.add_edits(Edit(target, "muted", False) for target in found)
    turn.name(found)
    return True


def read_back(turn: Turn, clause: Clause, named: Named) -> None:
    """Reads "bring the drums back"."""
    if clause.has("neutral"):
        read_neutral(turn, clause, named)
    elif not read_unmute(turn, named):
        if any(edit.setting == "muted" and edit.change is False for edit in turn.edits):
            return  # said before in the same breath
        targets = named.targets
        if not targets or named.instruments:
            raise UnclearError("What should I bring back?")
        raise UnclearError(f"The {' and '.join(targets)} are not muted. Louder, perhaps?")


def read_neutral(turn: Turn, clause: Clause, named: Named) -> None:
    """Reads "the drums back to normal"."""
    targets = targets_of(turn, clause, named, setting="clear", sign=0)
    if clause.has("volume"):
        turn.add_edits(Edit(target, "gain_db", Adjustment(0.0, False)) for target in targets)
    else:
        turn.add_edits(Edit(target, "clear", Clearing("all")) for target in targets)
    turn.name(targets)

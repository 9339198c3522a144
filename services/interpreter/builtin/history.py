"""Undo, redo and reset."""

from __future__ import annotations

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import EFFECT_KINDS, Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.targets import of_group
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import (
    Adjustment,
    Change,
    Clearing,
    CompressionChange,
    Edit,
    History,
    Setting,
)

MAX_STEPS = 16

_NEUTRAL_CHANGES: tuple[tuple[str, Setting, Change], ...] = (
    ("reverb", "reverb", Adjustment(0.0, False)),
    ("pitch", "pitch_semitones", Adjustment(0.0, False)),
    ("pan", "pan", Adjustment(0.0, False)),
    ("side", "pan", Adjustment(0.0, False)),
    ("volume", "gain_db", Adjustment(0.0, False)),
    ("compression", "compression", CompressionChange("none")),
    ("eq", "clear", Clearing("eq")),
    ("region", "clear", Clearing("eq")),
    ("tone", "clear", Clearing("eq")),
    ("filter", "clear", Clearing("filters")),
    ("mute", "muted", False),
    ("echo", "echo", Adjustment(0.0, False)),
    ("chorus", "chorus", Adjustment(0.0, False)),
    ("distortion", "distortion", Adjustment(0.0, False)),
    ("width", "width", Adjustment(1.0, False)),
    ("fade", "fade_out_s", Adjustment(0.0, False)),
)


def read_history(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause about earlier changes; False where it is about something else."""
    if clause.has("undo") and clause.numbers("db", "percent", "semitone", "hz"):
        raise UnclearError("Back by how much, and of what?")  # "too much, take it back by 2 dB"
    if clause.has("undo") and clause.any_of(("up", "down")) and clause.numbers(""):
        raise UnclearError("Back by how much, and of what?")  # "go back up 1"
    if clause.has("undo") and clause.has("half"):
        raise UnclearError("Back by how many dB or steps?")  # "go back half the way"
    if clause.has("redo"):
        turn.history = History("redo", _steps(clause))
        return True
    if _is_more_steps(turn, clause):
        assert turn.history is not None
        turn.history = History(turn.history.action, turn.history.steps + (_more(clause) or 1))
        return True
    if (clause.has("except") or named.excluded) and clause.any_of(("undo", "reset")):
        if not (named.excluded and named.group) or clause.any_of(EFFECT_KINDS):
            raise UnclearError("Which parts should go back, and which should stay as they are?")
        return _read_reset(turn, clause, named)
    if clause.has("reset") or _clears_effects(clause) or _is_back_to_original(clause, named):
        return _read_reset(turn, clause, named)
    as_before = any(item.text in _AS_BEFORE for item in clause.lexemes)
    if clause.has("undo") and as_before and turn.conversation.newest is not None:
        return _read_undo(turn, clause, named)  # "put it back to where it was"
    if clause.has("undo") and clause.has("neutral") and not clause.any_of(EFFECT_KINDS):
        return _read_reset(turn, clause, named)
    if clause.has("undo") or _goes_back(clause):
        return _read_undo(turn, clause, named)
    return False


_AS_BEFORE = {"where it was", "how it was", "as it was", "where they were", "how they were"}


def _goes_back(clause: Clause) -> bool:
    """Whether steps are taken back: "go two steps back", "take that last change back"."""
    changes = clause.has("effects") and clause.any_of(("pronoun", "before"))
    return (
        clause.has("back")
        and (clause.has("step") or changes)
        and not clause.any_of((*EFFECT_KINDS, "up", "down"))
    )


def _is_more_steps(turn: Turn, clause: Clause) -> bool:
    """Whether this adds "and the one before" to an undo."""
    if turn.history is None or turn.history.action == "reset" or not clause.has("before"):
        return False
    return all(
        is_filler(item)
        or item.mark
        or any(item.has(k) for k in ("before", "pronoun", "also", "and", "undo", "effects", "even"))
        for item in clause.lexemes
    )


def _more(clause: Clause) -> int:
    """Returns the number in "and the two before", 0 where there is none."""
    place = clause.index("and") + 1
    rest = Clause(clause.lexemes[place:])
    if not rest.has("before"):
        return 0
    if rest.has("pronoun", "both"):
        return 2
    return next((int(n.value) for n in rest.numbers("", "times") if 1 <= n.value < MAX_STEPS), 0)


def _steps(clause: Clause) -> int:
    if clause.has("and") and clause.has("undo") and _more(clause):
        return 1 + _more(clause)
    numbers = [int(number.value) for number in clause.numbers() if 1 <= number.value <= MAX_STEPS]
    if numbers:
        return numbers[0]
    if clause.has("double", "double") or clause.has("pronoun", "both"):
        return 2
    befores = [item for item in clause.lexemes if item.has("before") and "before" in item.text]
    joined = any(item.has("and") for item in clause.lexemes)
    return 1 + (len(befores) if joined else 0)


def _clears_effects(clause: Clause) -> bool:
    if not clause.has("effects") or clause.any_of(EFFECT_KINDS):
        return False
    return clause.any_of(("remove", "off")) and not clause.any_of(("before",))


def _is_back_to_original(clause: Clause, named: Named) -> bool:
    """Whether all is to be as it was: "back to the original", "everything back to normal"."""
    remade = named.group == "all" and clause.has("set")
    if not (clause.has("neutral") and (clause.has("back") or remade)):
        return False
    about = clause.any_of((*EFFECT_KINDS, "volume", "mute"))
    return (
        not about
        and (named.is_empty or named.group == "all" or named.targets == (MASTER,))
        and not (_refers_to_parts(named))
    )


def _refers_to_parts(named: Named) -> bool:
    """Whether a pronoun says what goes back."""
    return named.pronoun in {"them", "both"}


def _read_reset(turn: Turn, clause: Clause, named: Named) -> bool:
    about = [(setting, change) for kind, setting, change in _NEUTRAL_CHANGES if clause.has(kind)]
    targets = tuple(t for t in named.targets if not (t == MASTER and _is_whole(clause)))
    group = (
        of_group(turn, named, one_by_one=True)
        if named.group and (named.group != "all" or named.excluded)
        else None
    )
    targets = group or targets
    if named.pronoun in {"it", "them", "that"} and not targets and not about:
        targets = tuple(turn.last_named) or (
            turn.conversation.touched() if named.pronoun == "them" else ()
        )
    if about:
        names = {setting for setting, _ in about}
        where = targets or _having(turn, names)
        turn.add_edits(Edit(t, s, c) for t in where for s, c in dict(about).items())
        turn.name(where)
        return True
    if (targets and turn.edits) or len(targets) > 1:
        turn.add_edits(Edit(target, "clear", Clearing("all")) for target in targets)
        turn.name(targets)
        return True
    turn.history = History("reset", target=targets[0] if targets else None)
    turn.name(targets)
    return True


def _is_whole(clause: Clause) -> bool:
    return not clause.has("reset") or not any(
        item.text in {"master", "master bus", "master track"} for item in clause.lexemes
    )


def _having(turn: Turn, settings: set[Setting]) -> tuple[str, ...]:
    names = {"eq", "filters"} if settings == {"clear"} else settings
    return tuple(t for t in turn.mix.targets if names & set(turn.mix[t].changed())) or (MASTER,)


def _read_undo(turn: Turn, clause: Clause, named: Named) -> bool:
    about = [(setting, change) for kind, setting, change in _NEUTRAL_CHANGES if clause.has(kind)]
    if about and not clause.any_of(("add", "set")):
        last = turn.conversation.latest_change()
        settings = {setting for setting, _ in about}
        if last and last.edits and _was_just_that(last.edits, settings, named):
            turn.history = History("undo")
            return True
        where = named.targets or _having(turn, settings)
        turn.add_edits(Edit(t, s, c) for t in where for s, c in dict(about).items())
        turn.name(where)
        return True
    if named.group == "all" and not named.excluded:
        turn.history = History("reset")
        return True
    last = turn.conversation.latest_change()
    if named.targets and named.targets != (MASTER,) and last and last.edits:
        touched = {edit.target for edit in last.edits}
        if touched != set(named.targets):
            turn.history = History("reset", target=named.targets[0])
            turn.name(named.targets)
            return True
    turn.history = History("undo", _steps(clause))
    return True


def _was_just_that(edits: tuple[Edit, ...], settings: set[Setting], named: Named) -> bool:
    equivalent = {"clear": {"eq", "filters"}}
    wanted = set().union(*(equivalent.get(name, {name}) for name in settings))
    targets = {edit.target for edit in edits}
    return {edit.setting for edit in edits} <= wanted and (
        not named.targets or set(named.targets) == targets
    )

"""From what a clause names to the targets that it edits or hands out."""

from __future__ import annotations

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn

VOCALS = "vocals"


def targets_of(
    turn: Turn, clause: Clause, named: Named, *, setting: str, sign: int
) -> tuple[str, ...]:
    """Returns the targets of an edit: named, referred to, or understood.

    Raises:
        UnclearError: the words refer to nothing.
    """
    grouped = of_group(turn, named, one_by_one=setting == "muted")
    if grouped is not None:
        return grouped
    if named.targets:
        if named.excluded and named.targets == (MASTER,):
            return turn.everything_but(named.excluded)
        return named.targets
    if named.pronoun and named.pronoun != "same":
        return _referred(turn, named.pronoun, setting, sign)
    found = _understood(turn, clause, setting, sign)
    if named.excluded and found == (MASTER,):
        return turn.everything_but(named.excluded)  # "louder, but not the bass"
    return found


def of_group(turn: Turn, named: Named, *, one_by_one: bool) -> tuple[str, ...] | None:
    """Returns the targets of "everything", "the instruments", "the rest"; None for no group."""
    match named.group:
        case "":
            return None
        case "all" | "stems":
            if named.excluded:
                return turn.everything_but(named.excluded)
            return turn.context.stems if one_by_one else (MASTER,)
        case "instruments":
            return turn.everything_but((VOCALS, *named.excluded))
        case "rhythm":
            return tuple(stem for stem in ("drums", "bass") if stem in turn.context.stems)
        case _:
            known = [*turn.spoken_stems, *named.targets, *named.excluded]
            spoken = known or [t for t in turn.conversation.touched() if t != MASTER]
            if not spoken:
                raise UnclearError("The rest of what?")
            return turn.everything_but(spoken)


def _referred(turn: Turn, pronoun: str, setting: str, sign: int) -> tuple[str, ...]:
    if pronoun == "both":
        if len(turn.named) >= 2:
            return tuple(turn.named[-2:])
        if len(turn.mentioned) == 2:
            return turn.mentioned
        touched = turn.conversation.touched()
        if len(touched) == 2:
            return touched
        raise UnclearError("Both of which?")
    if turn.last_named:
        return turn.last_named
    if turn.mentioned:
        return turn.mentioned
    touched = turn.conversation.touched()
    if touched:
        return touched
    if pronoun in {"them", "one"}:
        raise UnclearError("Which part of the song do you mean?")
    return (MASTER,)


def _understood(turn: Turn, clause: Clause, setting: str, sign: int) -> tuple[str, ...]:
    """Where no target is said: the clause before, the conversation, the mix, in this order."""
    if turn.last_named:
        # Two things named apart and then a full command about neither: the whole mix.
        distinct = len(turn.named) > len(turn.last_named)
        if not (distinct and clause.has_verb and clause.joiner != ":"):
            return turn.last_named
        goes = clause.any_of(("remove", "off")) and setting not in {"gain_db", "muted"}
        return (goes and having(turn, {setting})) or (MASTER,)
    if turn.mentioned:
        return turn.mentioned  # "the bass disappears in this? 3 dB up please"
    takes_away = sign < 0 or clause.any_of(("remove", "off"))
    if clause.any_of(("even", "more", "less", "toomuch", "enough")) or takes_away:
        changed = turn.conversation.targets_of(setting, 1 if takes_away else sign)
        changed = changed or turn.conversation.targets_of(setting)
        if changed:
            return changed
    touched = turn.conversation.touched()
    if takes_away and setting not in {"gain_db", "muted"}:
        owners = having(turn, {setting})
        both = tuple(target for target in touched if target in owners)
        if both or owners:
            return both or owners
    return touched or (MASTER,)


def having(turn: Turn, settings: set[str]) -> tuple[str, ...]:
    """Returns the targets that have one of these settings, anywhere in the track."""
    return tuple(
        target
        for target in turn.mix.targets
        if any(_has(turn, target, setting) for setting in settings)
    )


def _has(turn: Turn, target: str, setting: str) -> bool:
    name = "eq" if setting == "tone" else setting
    return name in turn.mix[target].changed()

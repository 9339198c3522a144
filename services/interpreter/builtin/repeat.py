"""References to an earlier change: "more", "the same on the bass", "too much", "the drums too"."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import ACTION_KINDS, Clause, is_filler
from services.interpreter.builtin.conversation import Past, direction_of
from services.interpreter.builtin.effects import (
    GAIN_STEP_DB,
    PAN_STEP,
    PITCH_STEP_SEMITONES,
    REVERB_STEP,
    UnclearError,
)
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.edits import apply_edits
from services.interpreter.intent import (
    Adjustment,
    CompressionChange,
    Edit,
    EqBand,
    Remix,
    Separation,
)

STEPS = {
    "gain_db": GAIN_STEP_DB,
    "reverb": REVERB_STEP,
    "pitch_semitones": PITCH_STEP_SEMITONES,
    "pan": PAN_STEP,
}
_REFERRING = (
    "pronoun", "more", "less", "even", "toomuch", "enough", "also", "small", "big", "instead", "too",
    "set", "add", "not", "give", "need", "accept", "only", "before", "effects", "like", "with",
)  # fmt: skip


def read_reference(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that only varies an earlier change; False for any other clause."""
    if named.instruments:
        return False
    if _has_own_content(clause):
        return False
    if clause.has("pronoun", "same") or _is_also(clause, named) or clause.has("instead"):
        return _read_same(turn, clause, named)
    if named.group or (named.targets and not clause.any_of(("toomuch",))):
        return False
    if clause.any_of(("toomuch", "enough")):
        return _vary(
            turn, clause, _last(turn), sign=1 if amounts.is_insufficient(clause) else -1, share=0.5
        )
    if clause.any_of(("more", "even", "less")) or clause.text in {"again", "once more"}:
        repeated = clause.text.strip() in {
            "again",
            "once more",
            "once again",
            "do it again",
            "one more time",
            "do that again",
        }
        if (
            clause.has("even")
            and not clause.any_of(("more", "less"))
            and not repeated
            and not clause.has("set")
        ):
            if not {"again", "more"} & set(clause.text.split()):
                return False
        return _vary(turn, clause, _last(turn), sign=-1 if clause.has("less") else 1, share=1.0)
    return False


def _has_own_content(clause: Clause) -> bool:
    own = set(ACTION_KINDS) - {"more", "less", "even", "enough", "toomuch", "vague"}
    if (
        clause.any_of(tuple(own))
        or clause.numbers()
        or clause.any_of(("volume", "half", "max", "min"))
    ):
        return True
    return any(
        not (
            is_filler(item)
            or item.mark
            or any(
                item.has(kind)
                for kind in (
                    *_REFERRING,
                    "and",
                    "target",
                    "six",
                    "group",
                    "except",
                    "but",
                    "greeting",
                    "ok",
                    "decline",
                )
            )
        )
        for item in clause.lexemes
    )


def _is_also(clause: Clause, named: Named) -> bool:
    also = clause.has("also") or (clause.has("too") and not amounts.degree_too(clause))
    starts = [item for item in clause.lexemes if not item.mark]
    opener = bool(starts) and starts[0].text in {"how about", "what about", "now"}
    return (
        bool(named.targets)
        and (also or opener or (clause.joiner == "and" and turn_start(clause)))
        and not clause.any_of(("give", "only", "add"))
    )


def turn_start(clause: Clause) -> bool:
    """Whether this clause opens the prompt: "and the drums"."""
    return clause.previous is None


def _last(turn: Turn) -> Past:
    past = turn.conversation.latest_change()
    if past is None:
        raise UnclearError("More of what: volume, reverb, compression?")
    return past


def _read_same(turn: Turn, clause: Clause, named: Named) -> bool:
    stems = named.targets
    if turn.edits:
        edits = turn.last_edits()
        targets = stems or turn.last_named
        turn.add_edits(replace(edit, target=t) for t in targets for edit in edits)
        turn.name(targets)
        return True
    if turn.stems or turn.without:
        into = turn.without if turn.without else turn.stems
        into += [stem for stem in stems if stem not in into and stem != MASTER]
        turn.name(stems)
        return True
    past = _last(turn)
    if not stems:
        if named.group in {"all"}:
            stems = (MASTER,)
        elif named.group == "rest":
            stems = turn.everything_but(past.targets)
        elif clause.any_of(("even",)) or (clause.has("pronoun", "same") and "again" in clause.text):
            return _vary(turn, clause, past, sign=1, share=1.0)
        else:
            raise UnclearError("The same for which part?")
    return _repeat(turn, past, stems, instead=clause.has("instead"))


def _repeat(turn: Turn, past: Past, stems: tuple[str, ...], *, instead: bool) -> bool:
    match past.intent:
        case Separation(handed, without):
            if without:
                known = () if instead else without
                turn.without += [
                    s for s in (*known, *stems) if s != MASTER and s not in turn.without
                ]
            else:
                del handed
                turn.stems += [s for s in stems if s != MASTER and s not in turn.stems]
        case Remix(edits) if edits:
            source = edits[-1].target
            chosen = [edit for edit in edits if edit.target == source]
            if instead:
                previous = turn.conversation.previous_mix()
                turn.context = previous
                turn.mix = previous.mix
                turn.edits.clear()
            for stem in stems:
                if stem != source or instead:
                    turn.add_edits(replace(edit, target=stem) for edit in chosen)
        case _:
            raise UnclearError("The same as what?")
    turn.name(stems)
    return True


def _vary(turn: Turn, clause: Clause, past: Past, *, sign: int, share: float) -> bool:
    if not past.edits:
        raise UnclearError("More or less of what?")
    factor = amounts.factor(clause)
    varied: list[Edit] = []
    for edit in past.edits:
        change = _step(turn, edit, sign, factor, share)
        if change is not None:
            varied.append(change)
    if not varied:
        raise UnclearError("How much more or less, and of what?")
    applied = apply_edits(turn.mix, varied)
    if applied.mix == turn.mix:
        raise UnclearError("That is already at its end. What else?")
    turn.add_edits(varied)
    turn.name(dict.fromkeys(edit.target for edit in varied))
    return True


def _step(turn: Turn, edit: Edit, sign: int, factor: float, share: float) -> Edit | None:
    del turn
    direction = direction_of(edit.change) or 1
    match edit.change:
        case Adjustment():
            step = STEPS[edit.setting]
            if edit.setting != "reverb":
                step *= share
            else:
                direction = 1
            if edit.setting == "reverb" and share < 1 and factor == 1:
                step = REVERB_STEP
            return replace(edit, change=Adjustment(sign * direction * step * factor, True))
        case CompressionChange():
            return replace(edit, change=CompressionChange(levels=sign))
        case EqBand() as band:
            gain_db = sign * band.gain_db * share
            if abs(band.gain_db) > 3 and share == 1.0:
                gain_db = sign * direction * 3.0
            return replace(edit, change=replace(band, gain_db=gain_db * factor))
        case _:
            return None

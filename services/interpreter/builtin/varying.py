"""Steps of an earlier change: "more", "a bit less", "too much"."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from mixdown.mix import EqBand
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import EFFECT_KINDS, Clause, is_filler
from services.interpreter.builtin.coloring import (
    CHORUS_STEP,
    DISTORTION_STEP,
    ECHO_STEP,
    WIDTH_STEP,
)
from services.interpreter.builtin.conversation import Past, direction_of
from services.interpreter.builtin.effects import (
    PAN_STEP,
    PITCH_STEP_SEMITONES,
    REVERB_STEP,
    UnclearError,
)
from services.interpreter.builtin.loudness import GAIN_STEP_DB
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.edits import apply_edits
from services.interpreter.intent import Adjustment, CompressionChange, Edit
from services.interpreter.language.word_classes import CURING, EASING, WHOLLY

STEPS = {
    "gain_db": GAIN_STEP_DB,
    "reverb": REVERB_STEP,
    "pitch_semitones": PITCH_STEP_SEMITONES,
    "pan": PAN_STEP,
    "echo": ECHO_STEP,
    "chorus": CHORUS_STEP,
    "distortion": DISTORTION_STEP,
    "width": WIDTH_STEP,
    "fade_in_s": 2.0,
    "fade_out_s": 2.0,
}
AMOUNTS = {"reverb", "echo", "chorus", "distortion"}
"""Settings from 0 to 1, which "more" raises whatever the last change of them was."""


def last_change(turn: Turn) -> Past:
    """Returns the last change. Raises UnclearError where there is none."""
    past = turn.conversation.latest_change()
    if past is None:
        raise UnclearError("More of what: volume, reverb, compression?")
    return past


def vary(turn: Turn, clause: Clause, past: Past, *, sign: int, share: float) -> bool:
    """Takes a further step of an earlier change, forth (`sign` 1) or back (−1)."""
    if not past.edits:
        raise UnclearError("More or less of what?")
    factor = amounts.factor(clause)
    varied: list[Edit] = []
    for edit in past.edits:
        change = _step(edit, sign, factor, share)
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


def _step(edit: Edit, sign: int, factor: float, share: float) -> Edit | None:
    direction = direction_of(edit.change) or 1
    match edit.change:
        case Adjustment() if edit.setting not in STEPS:
            return None
        case Adjustment():
            step = STEPS[edit.setting]
            if edit.setting in AMOUNTS:
                direction = 1
            else:
                step *= share
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


# --- Steps said in few words ---------------------------------------------------------------------


def read_step(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "back it off a bit", "more of it" and "one more semitone" after a change."""
    if _eases_last(turn, clause, named):
        return vary(turn, clause, last_change(turn), sign=-1, share=1.0)
    level = _pressed(turn, clause, named)
    if level:
        return vary(turn, clause, last_change(turn), sign=level, share=1.0)
    if _goes_to_the_end(turn, clause, named):
        return True
    if _wants_more_of_last(turn, clause, named):
        return vary(turn, clause, last_change(turn), sign=1, share=1.0)
    return _read_another(turn, clause, named)


def _eases_last(turn: Turn, clause: Clause, named: Named) -> bool:
    """Whether "dial it back a bit" is about an effect that was just changed, not the loudness."""
    if turn.edits or not named.is_empty or named.pronoun not in {"it", "that", "them"}:
        return False
    if clause.numbers() or clause.has("volume") or clause.any_of(EFFECT_KINDS):
        return False
    past = turn.conversation.latest_change()
    if past is None or not past.edits or past.exchange is not turn.conversation.newest:
        return False
    eases = any(item.text in EASING or item.text in CURING for item in clause.lexemes)
    return eases and all(edit.setting in AMOUNTS for edit in past.edits)


def _goes_to_the_end(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "all the way" as the end of what was just moved: a position, an amount."""
    said = [item for item in clause.lexemes if not (item.mark or is_filler(item))]
    if not said or turn.edits or not all(item.text in WHOLLY for item in said):
        return False
    past = turn.conversation.latest_change()
    movable = AMOUNTS | {"pan"}
    if past is None or past.exchange is not turn.conversation.newest or not named.is_empty:
        return False
    edits = [
        replace(edit, change=Adjustment(float(direction_of(edit.change) or 1), False))
        for edit in past.edits
        if edit.setting in movable
    ]
    if len(edits) != len(past.edits) or not edits:
        return False
    turn.add_edits(edits)
    turn.name(dict.fromkeys(edit.target for edit in edits))
    return True


_HARDER = {"harder", "heavier", "stronger", "tighter"}
_SOFTER = {"softer", "gentler", "lighter"}


def _pressed(turn: Turn, clause: Clause, named: Named) -> int:
    """Returns which way "harder" and "a bit gentler" move a compression that was just set."""
    said = [item for item in clause.lexemes if not (item.mark or is_filler(item))]
    words = {item.text for item in said if not (item.has("small") and len(said) > 1)}
    sign = 1 if words and words <= _HARDER else -1 if words and words <= _SOFTER else 0
    past = turn.conversation.latest_change() if sign and not turn.edits else None
    compressed = past is not None and {edit.setting for edit in past.edits} == {"compression"}
    return sign if compressed and named.is_empty else 0


def _wants_more_of_last(turn: Turn, clause: Clause, named: Named) -> bool:
    """Whether "more of it" is about an effect that was just changed, not the loudness."""
    said = [
        item.text
        for item in clause.lexemes
        if not (item.mark or is_filler(item) or item.has("give") or item.has("ok"))
    ]
    past = turn.conversation.latest_change()
    return (
        not turn.edits
        and said[:1] == ["more of"]
        and len(said) == 2
        and named.pronoun in {"it", "that"}
        and past is not None
        and bool(past.edits)
        and all(edit.setting in AMOUNTS or edit.setting == "compression" for edit in past.edits)
    )


_MEASURED: dict[str, tuple[str, ...]] = {
    "db": ("gain_db",),
    "semitone": ("pitch_semitones",),
    "percent": ("reverb", "echo", "chorus", "distortion"),
    "": ("gain_db", "pitch_semitones"),
}


def _follows_number(clause: Clause, kind: str) -> bool:
    """Whether such a word stands behind a number: "2 more"."""
    return any(item.number and after.has(kind) for item, after in pairwise(clause.lexemes))


def _read_another(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "one more semitone" and "another 2 dB" as a step further the way it went."""
    numbers = clause.numbers()
    back = _follows_number(clause, "toomuch")  # "1 dB too much"
    more = back or (len(numbers) == 1 and (numbers[0].more or _follows_number(clause, "more")))
    if turn.edits or len(numbers) != 1 or not more or not named.is_empty:
        return False
    if clause.any_of(("up", "down", "less", "remove", "off", "set", *EFFECT_KINDS)):
        return False
    past = turn.conversation.latest_change()
    if past is None or past.exchange is not turn.conversation.newest:
        return False
    settings = _MEASURED.get(numbers[0].unit, ())
    edits = [edit for edit in past.edits if edit.setting in settings]
    if not edits or len(edits) != len(past.edits):
        return False
    for edit in edits:
        sign = -1 if (direction_of(edit.change) < 0) != back else 1
        value = numbers[0].value / (100 if numbers[0].unit == "percent" else 1)
        turn.add_edits([replace(edit, change=Adjustment(sign * value, True))])
    turn.name(dict.fromkeys(edit.target for edit in edits))
    return True

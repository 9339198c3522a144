"""Steps of an earlier change: "more", "a bit less", "too much"."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import EqBand
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.coloring import (
    CHORUS_STEP,
    DISTORTION_STEP,
    ECHO_STEP,
    WIDTH_STEP,
)
from services.interpreter.builtin.conversation import Past, direction_of
from services.interpreter.builtin.effects import (
    GAIN_STEP_DB,
    PAN_STEP,
    PITCH_STEP_SEMITONES,
    REVERB_STEP,
    UnclearError,
)
from services.interpreter.builtin.turn import Turn
from services.interpreter.edits import apply_edits
from services.interpreter.intent import Adjustment, CompressionChange, Edit

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

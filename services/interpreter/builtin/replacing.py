"""Another value for what was set last: "make it 2k", "that was meant to be 50%", "remove it"."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import RANGES, EqBand, Filter
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.evidence import has_own_content
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.builtin.varying import AMOUNTS
from services.interpreter.edits import is_same_band
from services.interpreter.intent import Adjustment, Clearing, CompressionChange, Edit
from services.interpreter.language.lexemes import Number
from services.interpreter.language.word_classes import MEANT


def read_removal(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "remove it" after an effect was added: the effect goes, not the stem."""
    if not clause.any_of(("remove", "off")) or named.group or turn.last_named:
        return False
    placed = bool(named.targets) and clause.has("off")  # "take it off the bass"
    if named.targets and not placed:
        return False
    if named.pronoun not in {"it", "that"} or has_own_content(clause, besides=("remove", "off")):
        return False
    past = turn.conversation.latest_change()
    if past is None or not past.edits or past.exchange is not turn.conversation.newest:
        return False
    if placed and set(named.targets) != {edit.target for edit in past.edits}:
        return False
    neutral = [edit for edit in map(_neutral, past.edits) if edit is not None]
    if not neutral:
        return False
    turn.add_edits(neutral)
    turn.name(dict.fromkeys(edit.target for edit in neutral))
    return True


def _neutral(edit: Edit) -> Edit | None:
    match edit.change:
        case Adjustment() if edit.setting in RANGES and edit.setting != "gain_db":
            return replace(edit, change=Adjustment(RANGES[edit.setting].neutral, False))
        case CompressionChange():
            return replace(edit, change=CompressionChange("none"))
        case EqBand(_, frequency_hz):
            return Edit(edit.target, "clear", Clearing("eq_band", frequency_hz=frequency_hz))
        case Filter(kind):
            return Edit(edit.target, "clear", Clearing("filter", filter_type=kind))
        case _:
            return None


def read_new_value(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "make it 2k" or "make that 50%" as another value for what was set last."""
    numbers = clause.numbers()
    meant = any(item.text in MEANT for item in clause.lexemes) and clause.previous is None
    if len(numbers) != 1 or numbers[0].signed or named.targets or named.group:
        return False
    if not (named.pronoun or (meant and not turn.edits)):
        return False
    corrects = clause.has("instead") or any(item.text == "actually" for item in clause.lexemes)
    allowed = (
        *(("up", "down") if corrects else ()),
        "pronoun",
        "set",
        "to",
        "instead",
        "bound",
        "decline",
        "accept",
        "ok",
        "greeting",
        "only",
    )
    if any(
        not (item.number or item.mark or is_filler(item) or any(item.has(k) for k in allowed))
        for item in clause.lexemes
    ):
        return False
    if clause.any_of(("up", "down")) and not corrects:
        return False  # "dial it back 1 dB" goes on from what is set
    past = turn.conversation.latest_change()
    if past is None or len({edit.setting for edit in past.edits}) != 1:
        return False
    changed = [_with_value(turn, edit, numbers[0]) for edit in past.edits]
    found = [edit for edit in changed if edit is not None]
    if len(found) != len(changed):
        return False
    turn.add_edits(found)
    turn.name(dict.fromkeys(edit.target for edit in found))
    turn.revises = turn.revises or meant
    return True


def _with_value(turn: Turn, edit: Edit, number: Number) -> Edit | None:
    match edit.change:
        case Filter(kind) if number.unit == "hz" and kind != "bandpass":
            return replace(edit, change=Filter(kind, cutoff_hz=number.value))
        case EqBand() as band if number.unit == "db":
            now = next(
                (b.gain_db for b in turn.mix[edit.target].eq if _is_band(b, band)), band.gain_db
            )
            wanted = -number.value if band.gain_db < 0 else number.value
            return replace(edit, change=replace(band, gain_db=wanted - now))
        case Adjustment() if edit.setting in AMOUNTS:
            share = amounts.share_of_one(number)
            return None if share is None else replace(edit, change=Adjustment(share, False))
        case Adjustment(value, True) if (edit.setting, number.unit) in {
            ("gain_db", "db"),
            ("gain_db", ""),
            ("pitch_semitones", "semitone"),
            ("pitch_semitones", ""),
        }:
            before = getattr(turn.mix[edit.target], edit.setting) - value
            sign = -1 if value < 0 else 1
            return replace(edit, change=Adjustment(before + sign * number.value, False))
        case _:
            return None


def _is_band(one: EqBand, other: EqBand) -> bool:
    return one.type == other.type and is_same_band(one.frequency_hz, other.frequency_hz)

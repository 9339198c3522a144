"""Short clauses, completed with what was said before: "… and the bass 2 dB"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import EFFECT_KINDS, Clause, is_filler
from services.interpreter.language.lexemes import Lexeme


def completed(clause: Clause) -> Clause:
    """Completes "… and the bass 2 dB" with what the clause before said."""
    before = clause.previous
    adds = before is not None and before.has("add") and bool(before.numbers("db"))
    if (
        before is None
        or not (before.has_action or adds)
        or clause.has_action
        or clause.any_of(("effects",))
    ):
        return clause
    if clause.any_of(("give", "only", "add", "need", "vague", "volume")) or clause.has(
        "pronoun", "same"
    ):
        return clause
    amount = clause.any_of(("small", "big")) and before.any_of(EFFECT_KINDS)
    if not (clause.numbers() or _also(clause) or amount) or (
        not clause.has_named_target and not clause.numbers("hz")
    ):
        return clause
    kept_numbers = not clause.numbers()
    signed = any(number.signed for number in clause.numbers())
    carried = tuple(
        item
        for item in before.lexemes
        if not any(
            item.has(kind) for kind in ("target", "six", "group", "pronoun", "and", "except")
        )
        and not item.has("in")
        and not (adds and item.has("to"))
        and not any(kind.startswith("instrument_") for kind, _ in item.readings)
        and not (amount and (item.has("small") or item.has("big")))
        and not (signed and (item.has("up") or item.has("down")))
        and (
            kept_numbers
            or not item.number
            or (bool(clause.numbers("hz")) and item.number.unit == "db")
        )
    )
    own = tuple(_in_decibels(item) if adds else item for item in clause.lexemes)
    return replace(clause, lexemes=(*carried, *own))


def _in_decibels(item: Lexeme) -> Lexeme:
    """Gives a bare number the unit of the one before: "add 3 dB to the drums and 2 to the bass"."""
    if item.number is None or item.number.unit:
        return item
    return replace(item, number=replace(item.number, unit="db"))


def _also(clause: Clause) -> bool:
    return clause.has("also") and all(
        is_filler(item) or item.has("also") or item.has("target") or item.has("six") or item.mark
        for item in clause.lexemes
    )

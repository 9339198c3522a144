"""Which kind of change a clause asks for: loudness, reverb, a filter and so on."""

from __future__ import annotations

from services.interpreter.builtin import amounts, timbre
from services.interpreter.builtin.clauses import COLORING_KINDS, Clause
from services.interpreter.builtin.effects import UnclearError

EQ_KINDS = ("region", "eq")


def kind_of_change(clause: Clause, *, bass_is_tone: bool) -> str:
    """Returns the kind of change, "" where the clause asks for none."""
    if clause.has("filter"):
        return "filter"
    frequencies = clause.numbers("hz")
    if frequencies and clause.has("bound") and not clause.numbers("db"):
        edge = clause.has("bound", "below") or clause.has("bound", "above")
        if (
            edge
            and clause.any_of(("remove", "off", "down", "none"))
            and not clause.any_of(("small", "big"))
        ):
            return "filter"
    for kind in ("compression", "pitch", *COLORING_KINDS):
        if clause.has(kind) and not frequencies:
            return kind
    if clause.has("reverb"):
        return "reverb"
    if frequencies or clause.any_of(EQ_KINDS) or bass_is_tone or _is_plain_frequency(clause):
        return "eq"
    if clause.numbers("semitone") and not amounts.says_part(clause):
        levels = clause.previous is not None and clause.previous.numbers("db", "percent")
        if levels and amounts.thirds(clause) and not clause.has("pitch"):
            raise UnclearError("Is that an interval, or a part of the loudness?")
        return "pitch"
    if clause.any_of(("side", "pan")):
        return "pan"
    if clause.has("tone"):
        softer = all(value == "soft" for value in clause.values("tone"))
        if softer and (clause.numbers("db", "percent") or clause.has("volume")):
            return "gain"  # "2 dB softer"
        return "tone"
    return "gain" if _is_about_loudness(clause) else ""


def _is_plain_frequency(clause: Clause) -> bool:
    numbers = [
        n for n in clause.numbers("") if n.value >= timbre.SMALLEST_PLAIN_HZ and not n.signed
    ]
    return bool(numbers) and (
        clause.has("q")
        or (_is_measured(clause) and clause.any_of(("up", "down", "to", "bound")))
        or ((clause.has("down", "cut") or clause.has("up", "plain")) and numbers[0].value >= 50)
    )


def _is_measured(clause: Clause) -> bool:
    return bool(clause.numbers("db")) or any(number.signed for number in clause.numbers(""))


def _is_about_loudness(clause: Clause) -> bool:
    if clause.any_of(
        (
            "up",
            "down",
            "volume",
            "half",
            "double",
            "less",
            "more",
            "max",
            "min",
            "toomuch",
            "enough",
        )
    ):
        return True
    return bool(clause.numbers("db", "percent", "times", "share")) or (
        bool(clause.numbers("")) and (clause.has("to") or any(n.signed for n in clause.numbers("")))
    )


def says_no_loudness(clause: Clause) -> bool:
    """Whether nothing in a clause says how loud something is to be."""
    return (
        not clause.any_of(
            ("up", "down", "volume", "half", "double", "less", "more", "max", "min", "toomuch")
        )
        and not amounts.is_insufficient(clause)
        and not clause.numbers()
    )

"""Which targets a clause names."""

from __future__ import annotations

from dataclasses import dataclass

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import INSTRUMENT_KINDS, Clause, is_filler
from services.interpreter.language.lexemes import Lexeme


@dataclass(frozen=True)
class Instrument:
    """An instrument that no stem stands for, and the stem that holds it."""

    name: str
    stem: str


@dataclass(frozen=True)
class Named:
    """What a clause names.

    Args:
        targets: Stems and the master bus, in order.
        excluded: Stems after "except", "but not".
        instruments: Instruments that no stem stands for.
        group: "all", "instruments", "rest", "rhythm" or "stems"; "" for none.
        pronoun: "it", "that", "them", "both", "one" or "same"; "" for none.
    """

    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    group: str = ""
    pronoun: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not (self.targets or self.instruments or self.group)


def named_in(clause: Clause, stems: tuple[str, ...], skip: frozenset[int] = frozenset()) -> Named:
    """Reads the targets of a clause; `skip` are places of words that mean something else."""
    targets: list[str] = []
    excluded: list[str] = []
    instruments: list[Instrument] = []
    group = pronoun = ""
    negated = False
    for index, item in enumerate(clause.lexemes):
        if index in skip:
            continue
        if _starts_exception(clause, index):
            negated = True
        elif item.text == "all" and _precedes_name(clause, index):
            continue  # "all the drums"
        elif item.has("group"):
            group = group or item.value("group")
        elif item.has("pronoun") and not pronoun and not negated:
            pronoun = _pronoun(clause, index)
        target = _target(item, stems)
        if target:
            (excluded if negated else targets).append(target)
        instrument = _instrument(item, stems)
        if instrument:
            instruments.append(instrument)
    found = tuple(dict.fromkeys(targets))
    if MASTER in found and (len(found) > 1 or instruments) and _is_place(clause):
        found = tuple(target for target in found if target != MASTER)
    return Named(
        found,
        tuple(dict.fromkeys(excluded)),
        tuple(dict.fromkeys(instruments)),
        group,
        pronoun,
    )


def _target(item: Lexeme, stems: tuple[str, ...]) -> str:
    if item.has("target"):
        target = item.value("target")
        return target if target in stems or target == MASTER else ""
    if item.has("six") and item.value("six") in stems:
        return item.value("six")
    return ""


def _instrument(item: Lexeme, stems: tuple[str, ...]) -> Instrument | None:
    holder = "other" if "other" in stems else stems[-1]
    if item.has("six") and item.value("six") not in stems:
        return Instrument(item.value("six"), holder)
    if item.has("target") and item.value("target") not in (*stems, MASTER):
        return Instrument(item.value("target"), holder)
    for kind in INSTRUMENT_KINDS:
        if item.has(kind):
            stem = kind.removeprefix("instrument_")
            return Instrument(item.value(kind), stem if stem in stems else holder)
    return None


def _pronoun(clause: Clause, index: int) -> str:
    """Returns the pronoun at a place; "this" and "that" before a noun are articles."""
    value = clause.lexemes[index].value("pronoun")
    following = next((item for item in clause.lexemes[index + 1 :] if not item.has("filler")), None)
    is_article = (
        value in {"that", "them"}
        and following is not None
        and (
            following.has("target")
            or following.has("six")
            or following.has("group")
            or any(following.has(kind) for kind in INSTRUMENT_KINDS)
        )
    )
    return "" if is_article else value


def _starts_exception(clause: Clause, index: int) -> bool:
    item = clause.lexemes[index]
    if item.has("except") or item.has("but"):
        return True
    if item.text in {"not", "minus"} or item.text in {"instead of", "rather than", "in place of"}:
        following = [  # "not the bass", but not "I don't think the bass needs it"
            entry
            for entry in clause.lexemes[index + 1 :]
            if not is_filler(entry) or entry.has("filler", "word")
        ]
        before = [entry for entry in clause.lexemes[:index] if not is_filler(entry)]
        return bool(following and before and _is_name(following[0])) and item.text != "minus"
    return False


def _precedes_name(clause: Clause, index: int) -> bool:
    following = next((i for i in clause.lexemes[index + 1 :] if not i.has("filler")), None)
    return following is not None and any(
        following.has(kind) for kind in ("target", "six", "reverb", "compression", "eq", "filter")
    )


def _is_name(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("target", "six", "group", *INSTRUMENT_KINDS))


def _is_place(clause: Clause) -> bool:
    """Whether the master bus is only where something is: "the vocals in this song"."""
    place = clause.index("target", MASTER)
    for item in reversed(clause.lexemes[:place]):
        if item.has("filler") or item.has("pronoun"):
            continue
        return item.has("in") or item.has("of") or item.has("for") or item.has("to")
    return False

"""How much of a clause a reading accounts for; what it leaves over must not change the meaning."""

from __future__ import annotations

from collections.abc import Mapping

from services.interpreter.builtin.amounts import is_insufficient
from services.interpreter.builtin.clauses import NAMED_KINDS, Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.language.lexemes import Lexeme

_CONTENT = (
    "reverb", "compression", "pitch", "pan", "side", "filter", "tone", "region", "eq", "mute",
    "file", "unsupported", "undo", "redo", "reset", "swap", "opposite", "onefile", "none",
    "before", "conditional", "q",
)  # fmt: skip
"""Kinds of words that change what an instruction means."""

_READ_BY: Mapping[str, frozenset[str]] = {
    "gain": frozenset({"eq", "none", "before", "tone"}),
    "reverb": frozenset({"reverb", "tone", "region", "mute", "before", "none"}),
    "pitch": frozenset({"pitch", "before"}),
    "pan": frozenset({"pan", "side", "mute"}),
    "compression": frozenset({"compression", "mute", "tone", "none", "before"}),
    "eq": frozenset({"eq", "region", "q", "tone", "filter", "before", "none", "mute"}),
    "tone": frozenset({"tone", "region", "eq", "mute", "before", "q"}),
    "filter": frozenset({"filter", "region", "eq", "tone", "mute", "q", "before", "none"}),
    "mute": frozenset({"mute", "none"}),
}
"""Which of them each reading uses."""

_UNITS: Mapping[str, frozenset[str]] = {
    "gain": frozenset({"db", "percent", "times", "share", "", "semitone"}),
    "reverb": frozenset({"percent", "times", "share", ""}),
    "pitch": frozenset({"semitone", "", "times"}),
    "pan": frozenset({"percent", ""}),
    "compression": frozenset(),
    "eq": frozenset({"hz", "db", "", "times"}),
    "tone": frozenset(),
    "filter": frozenset({"hz", ""}),
    "mute": frozenset(),
}


def check_read(clause: Clause, kind: str) -> float:
    """Returns the share of the words with a meaning that a reading of this kind uses.

    Raises:
        UnclearError: a word that changes the meaning is left over: another effect, a number in
            another unit, a "not".
    """
    left_over = [item for item in clause.lexemes if _is_left_over(item, kind)]
    numbers = [n for n in clause.numbers() if n.unit not in _UNITS[kind]]
    if left_over or numbers:
        what = left_over[0].text if left_over else f"{numbers[0].value:g}"
        raise UnclearError(f"I did not understand what “{what}” means there; say it apart?")
    if _has_open_not(clause):
        raise UnclearError("I am not sure what should not happen; what should I change?")
    words = [item for item in clause.lexemes if not (item.mark or is_filler(item))]
    return 1 - len(clause.unknown) / len(words) if words else 1.0


def _is_left_over(item: Lexeme, kind: str) -> bool:
    """Whether a word means something that this reading does not use."""
    found = [name for name, _ in item.readings if name in _CONTENT]
    others = [name for name, _ in item.readings if name not in _CONTENT]
    return bool(found) and not others and not _READ_BY[kind] & set(found)


def _has_open_not(clause: Clause) -> bool:
    """Whether a "not" was not taken for "less", "not enough" or "leave"."""
    place = clause.index("not")
    if place < 0 or is_insufficient(clause):
        return False
    following = tuple(item for item in clause.lexemes[place + 1 :] if not item.has("filler"))[:1]
    if following and any(following[0].has(kind) for kind in NAMED_KINDS):
        return False  # an exception: "everything, not the bass"
    lessens = bool(following) and following[0].text in {
        "so", "as", "too", "that", "quite", "very", "overly",
    }  # fmt: skip
    return not lessens and clause.lexemes[place].text in {"not", "never"}

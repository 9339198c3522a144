"""What a prompt only speaks of, for "it" and "those two" and for commands that name nothing."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.named import named_in
from services.interpreter.builtin.turn import Turn
from services.interpreter.language.lexemes import Lexeme

_PEOPLE = {"singer", "drummer", "bassist", "guitarist", "pianist", "vocalist", "rapper"}


def _tells_of_musician(clause: Clause, first: Lexeme) -> bool:
    """Whether somebody who plays elsewhere is spoken of: "my singer has a cold"."""
    words = [item.text for item in clause.lexemes]
    owned = words[0] in {"my", "our"} and first.text in _PEOPLE
    return owned and words[words.index(first.text) + 1 :][:1] in (["has"], ["had"], ["got"])


def subject_of(turn: Turn, clause: Clause) -> tuple[str, ...]:
    """Returns the stems that a clause is about: what it names first, and what is joined to that."""
    first = next((item for item in clause.lexemes if not item.has("filler")), None)
    if first is not None and (first.has("device") or _tells_of_musician(clause, first)):
        return ()  # "my speakers lack bass", "my singer has a cold"
    place = next((i for i, item in enumerate(clause.lexemes) if item.has("for")), None)
    spoken = clause.lexemes[:place]
    found = named_in(replace(clause, lexemes=spoken), turn.context.stems)
    stems = tuple(target for target in found.targets if target != MASTER)
    joined = any(item.has("and") for item in clause.lexemes)
    return stems if joined else stems[:1]


def note_spoken_of(turn: Turn, clause: Clause) -> None:
    """Remembers what a story or praise speaks of, for "it" and "those two"."""
    stems = tuple(t for t in named_in(clause, turn.context.stems).targets if t != MASTER)
    turn.praised = turn.praised or clause.has("greeting", "praise")
    if any(item.text == "it is" for item in clause.lexemes[:2]):
        turn.name(stems)  # "it's the bass that is killing me, way too loud"

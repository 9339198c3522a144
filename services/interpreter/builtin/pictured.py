"""Pictures asked for with "do that": "… the music is all muffled? do that to the song"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import (
    INSTRUMENT_KINDS,
    NAMED_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.language.lexemes import Lexeme

_DOING = {"do that", "do it", "do so", "that", "it", "do this", "do", "this"}
_PAINTING = ("filter", "reverb", "compression", "tone", "echo", "distortion", "chorus", "width")
_ON = Lexeme("on", (("in", "in"),))
_GIVE = Lexeme("give", (("give", "give"),))


def pictured(clauses: list[Clause]) -> list[Clause]:
    """Reads "do that to the whole track" as the effect that was painted before."""
    result: list[Clause] = []
    for clause in clauses:
        before = result[-1] if result else None
        meant = _meant(before, clause) if before is not None and _does_that(clause) else None
        if meant is None:
            result.append(clause)
        else:
            result[-1] = meant
    return result


def _does_that(clause: Clause) -> bool:
    """Whether a clause consists of "do that", politeness, and what it is done to."""
    done = any(item.text in {"do that", "do it", "do this", "do so"} for item in clause.lexemes)
    return done and all(
        item.text in _DOING
        or is_filler(item)
        or item.mark
        or any(item.has(kind) for kind in (*NAMED_KINDS, "and", "greeting", "also", "ok"))
        for item in clause.lexemes
    )


def _meant(before: Clause, clause: Clause) -> Clause | None:
    told = bool(before.unknown) or before.is_question
    if not told or before.has_verb or before.numbers():
        return None
    names = tuple(i for i in clause.lexemes if any(i.has(kind) for kind in NAMED_KINDS))
    effects = tuple(i for i in before.lexemes if any(i.has(kind) for kind in _PAINTING))
    if names and len(effects) == 1:
        return replace(clause, lexemes=(*effects, _ON, *names), is_question=False)
    held = tuple(i for i in before.lexemes if any(i.has(kind) for kind in INSTRUMENT_KINDS))
    if held and not names and not effects:
        return replace(clause, lexemes=(_GIVE, *held), is_question=False)
    return None

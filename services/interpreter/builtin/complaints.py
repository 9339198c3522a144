"""Complaints that a command explains: "the mix is too hot, lower it slightly" lowers once."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.amounts import degree_too, is_excess, is_insufficient
from services.interpreter.builtin.clauses import NAMED_KINDS, Clause
from services.interpreter.builtin.timbre import is_stated_fault
from services.interpreter.language.lexemes import Lexeme


def without_explained_complaints(clauses: list[Clause]) -> list[Clause]:
    """Drops complaints that a later command takes care of; only their target is kept."""
    result: list[Clause] = []
    for index, clause in enumerate(clauses):
        later = clauses[index + 1 :]
        if _is_complaint(clause) and any(_answers(item, clause) for item in later):
            result.append(_only_named(clause))
        else:
            result.append(clause)
    return [clause for clause in result if clause.lexemes]


def _is_complaint(clause: Clause) -> bool:
    complains = (
        degree_too(clause)
        or is_excess(clause)
        or is_insufficient(clause)
        or clause.has("up", "buried")
        or any(item.text.startswith("too ") for item in clause.lexemes)
    )
    return (complains or is_stated_fault(clause)) and not clause.has_verb


def _answers(command: Clause, complaint: Clause) -> bool:
    if _is_complaint(command) or not (command.has_action or command.any_of(("set", "add"))):
        return False
    if command.has("leave") or not command.has_named_target:
        return not command.has("leave")
    names = {item.readings for item in complaint.lexemes if any(item.has(k) for k in NAMED_KINDS)}
    if not names:
        return True
    return command.has("pronoun") or any(item.readings in names for item in command.lexemes)


def _only_named(clause: Clause) -> Clause:
    kept = tuple(
        item
        for item in clause.lexemes
        if any(item.has(kind) for kind in ("target", "six", "group", "and"))
        and not item.has("reverb")
    )
    sounds = clause.lexemes and any(item.has("target") or item.has("six") for item in kept)
    if not sounds:
        return replace(clause, lexemes=())
    return replace(clause, lexemes=(*kept, Lexeme("sounds", (("complaint", "complaint"),))))

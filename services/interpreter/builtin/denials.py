"""Instructions that the same breath takes back: "you could mute the drums, but please don't"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import EFFECT_KINDS, NAMED_KINDS, Clause, is_filler
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import DENYING, REFUSALS

_BARE_NO = REFUSALS | {
    "wait", "hold on", "hang on", "stop", "pass", "negative", "nay", "no no", "wrong side",
    "wrong one", "wrong track", "wrong direction", "wrong way", "wrong instrument", "wrong part",
}  # fmt: skip
"""Refusals that may as well open what is wanted instead, or ask for agreement ("…, no?")."""
_DISAGREEING = {"disagree", "i disagree", "would not", "i would not"}
_KEPT = ("pronoun", "not", "accept", "ok", "decline", "greeting", "leave", "but")


def without_denied(clauses: list[Clause]) -> list[Clause]:
    """Drops instructions that the clause after them denies, and the denial."""
    kept: list[Clause] = []
    for clause in clauses:
        if kept and clause.joiner in {",", "but", "."} and _only_denies(kept[-1]):
            kept[-1] = _spoken_of(kept[-1])
        refused = kept and (denies(clause) or _answers_no(kept[-1], clause))
        if kept and (refused or _leaves_as_it_is(kept[-1], clause)):
            while kept.pop().joiner == "and" and kept:
                pass
            continue
        kept.append(clause)
    return kept


def _only_denies(clause: Clause) -> bool:
    """Whether a clause only says what is not so: "it's not that the vocals are too loud"."""
    return f"{clause.text} ".startswith(DENYING) and clause.has_named_target


def _spoken_of(clause: Clause) -> Clause:
    """Keeps of what is denied only its name, for "it" in what is said instead."""
    names = [i for i in clause.lexemes if any(i.has(kind) for kind in NAMED_KINDS)]
    return replace(clause, lexemes=(*names, _IS))


_IS = Lexeme("is", (("filler", "word"),))


def denies(clause: Clause) -> bool:
    """Whether a clause says nothing but that what was said before is not to be done."""
    if not clause.lexemes or not all(_may_deny(item) for item in clause.lexemes):
        return False
    if any(item.text in _DISAGREEING for item in clause.lexemes):
        return True
    if clause.lexemes[-1].has("not"):
        return True  # "but please don't", "actually do not"
    leaving = [item for item in clause.lexemes if item.text.startswith(("leave", "keep"))]
    if leaving or clause.has("leave"):
        rest = any(item.text.endswith((" rest", " else")) for item in clause.lexemes)
        refers = clause.has("pronoun") or any(item.has("decline") for item in leaving)
        return clause.joiner == "but" and refers and not rest
    if clause.joiner == "and" or clause.is_question:
        return False
    return any(item.has("decline") and item.text not in _BARE_NO for item in clause.lexemes)


def _answers_no(asked: Clause, clause: Clause) -> bool:
    """Whether "nah" answers "louder bass?"."""
    words = [item for item in clause.lexemes if not item.mark]
    return asked.is_question and all(item.text in REFUSALS for item in words)


def _leaves_as_it_is(before: Clause, clause: Clause) -> bool:
    """Whether "but I would leave them dry" denies "you might add reverb"."""
    if clause.joiner != "but" or not (clause.has("leave") and clause.has("pronoun")):
        return False
    same = [kind for kind in EFFECT_KINDS if before.has(kind) and clause.has(kind)]
    rest = clause.without(lambda item: any(item.has(kind) for kind in same))
    return bool(same) and bool(rest.lexemes) and all(map(_may_deny, rest.lexemes))


def _may_deny(item: Lexeme) -> bool:
    said = any(item.has(kind) for kind in _KEPT) and not item.has("leave", "unneeded")
    words = item.text in _DISAGREEING or item.text == "do"
    return bool(item.mark) or is_filler(item) or words or said

"""A prompt in stretches, each as it was said, beside what the grammar read in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise

from services.interpreter.builtin.clauses import ACTION_KINDS, NAMED_KINDS, Clause
from services.interpreter.builtin.splitting import pieces_of_speech
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.vocabulary import vocabulary
from services.interpreter.language.word_classes import (
    MEANT,
    PERSONS,
    PREPOSITIONS,
    WISHING,
)


@dataclass(frozen=True)
class Stretch:
    """A piece of a prompt as it was said, and how the grammar read its words."""

    said: Clause
    read: Mapping[int, Lexeme]

    @cached_property
    def core(self) -> int:
        """Where what is to be done begins."""
        return next(
            (i for i, item in enumerate(self.said.lexemes) if acts(item) and not is_person(item)),
            0,
        )

    @property
    def before(self) -> tuple[Lexeme, ...]:
        """What stands before that."""
        return self.said.lexemes[: self.core]

    @property
    def after(self) -> tuple[Lexeme, ...]:
        """What stands behind that."""
        return self.said.lexemes[self.core + 1 :]

    @cached_property
    def unread(self) -> frozenset[str]:
        """Words that are not known, and of which nothing became."""
        return frozenset(item.text for item in self.said.lexemes if self.is_unread(item))

    def is_unread(self, item: Lexeme) -> bool:
        """Whether nothing became of a word that is not known."""
        if (
            not item.is_unknown
            or item.text in _HARMLESS | PREPOSITIONS
            or item.text in _parts_of_verbs()
        ):
            return False
        return self.read.get(item.place, item).is_unknown


_HARMLESS = {
    "along", "away", "apart", "else", "once", "sides", "de", "per", "third", "fourth", "fifth",
    "link", "hell",
}  # fmt: skip
"""Words that are not known and yet change nothing of what is asked for."""


@cache
def _parts_of_verbs() -> frozenset[str]:
    """Words of verbs whose particle stands apart: "pull … out"."""
    return frozenset(word for verb in vocabulary().phrasal for word in verb)


def is_acted_on(piece: Clause, read: Mapping[int, Lexeme]) -> bool:
    """Whether something was found in a piece to be carried out."""
    used = Clause(tuple(read[item.place] for item in piece.lexemes if item.place in read))
    if used.has_action or used.numbers() or used.any_of(("only", "add")):
        return True
    return used.any_of(("set", "give")) and used.any_of(NAMED_KINDS)


def stretched(said: list[Lexeme]) -> Iterator[Clause]:
    """Yields a prompt in pieces, cut also where a reason begins or ends."""
    for piece in _sentences(said):
        cuts = [i for i, item in enumerate(piece.lexemes) if item.has("reason") and i]
        for start, end in pairwise([0, *cuts, len(piece.lexemes)]):
            yield replace(piece, lexemes=piece.lexemes[start:end])


def _sentences(said: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into pieces; "with …" belongs to what stands before it."""
    found: list[Clause] = []
    for piece in pieces_of_speech(said):
        if found and piece.joiner == "with":
            found[-1] = replace(found[-1], lexemes=(*found[-1].lexemes, *piece.lexemes))
        else:
            found.append(piece)
    return found


_ACTING = frozenset((*ACTION_KINDS, "set", "add", "give"))


def acts(item: Lexeme) -> bool:
    """Whether a word asks for something to be done, where it is part of a request."""
    return item.number is not None or any(kind in _ACTING for kind, _ in item.readings)


def is_name(item: Lexeme) -> bool:
    """Whether a part of the song is named."""
    return any(item.has(kind) for kind in NAMED_KINDS)


def asks(item: Lexeme) -> bool:
    """Whether a word opens a request: "please", "could you", "I want", "needs"."""
    if item.has("filler", "polite"):
        return item.text != "would be"
    if item.has("need") or item.has("says") or item.has("give") or item.text in {"can", "could"}:
        return True
    return item.text.split()[-1] in WISHING


def is_person(item: Lexeme) -> bool:
    """Whether somebody is spoken of who may do or say something."""
    if item.has("filler", "polite") or any(item.has(k) for k in ("give", "group", "up", "need")):
        return False
    if item.text in MEANT:
        return False
    words = item.text.split()
    first = words[-1] if item.has("reason") else words[0]  # "so we"
    return item.text.startswith("no one") or (
        first in PERSONS and (first not in SOME or first == item.text)
    )


def leads(item: Lexeme) -> bool:
    """Whether a word tells where, for whom or compared with what."""
    kinds = ("for", "like", "in", "to", "by", "with", "reason", "than", "of")
    return item.text in PREPOSITIONS or any(item.has(kind) for kind in kinds)


SOME = frozenset({"some", "others", "people"})
"""Persons only where they do something: "some say", but "some reverb"."""

"""Whether the words around an instruction say that it is meant as one.

The grammar reads what is to be done; what it cannot use it passes over. Here the words that it
passed over are weighed. A request has few shapes ("turn …", "can you …", "I want …", "the bass
needs …", "the bass is too …", "more bass"). A stretch of a prompt that would change something and
has none of them tells, asks, quotes or supposes; then it is asked for first, for a "yes" is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.complaints import TOO
from services.interpreter.builtin.doubts import DOUBTS
from services.interpreter.builtin.stretches import Stretch, asks, is_acted_on, stretched
from services.interpreter.language.lexemes import Lexeme, lexemes_of
from services.interpreter.language.word_classes import (
    ALREADY_WANTED,
    CONTENT,
    DENYING,
    SUPPOSING,
)

_QUOTE = re.compile(r"[\"“„]([^\"“”„]+)[\"”]|(?<!\w)['‘]([^'‘’]{8,})['’](?!\w)")


def quotations(prompt: str) -> tuple[frozenset[str], ...]:
    """Returns the words of each quotation of several words; none where all of it is one."""
    found = [match[1] or match[2] for match in _QUOTE.finditer(prompt)]
    if not found:
        return ()
    rest = [item for item in lexemes_of(_QUOTE.sub(" ", prompt)) if not item.mark]
    if all(is_filler(item) or item.has("greeting") for item in rest):
        return ()
    words = [frozenset(item.text for item in lexemes_of(quote)) for quote in found]
    return tuple(quoted for quoted in words if len(quoted) > 1)


def unsure_words(
    said: list[Lexeme], acted: Iterable[Clause], quoted: Iterable[frozenset[str]] = ()
) -> str:
    """Returns the first words that something was found in and that do not ask for it; "" for none.

    Args:
        said: The prompt as it was said, each word with its place.
        acted: The clauses that something was found in to be carried out.
        quoted: The words of what the prompt quotes.
    """
    read = {item.place: item for clause in acted for item in clause.lexemes if item.place >= 0}
    if not read:
        return ""
    inferred = any(item == TOO and item.place < 0 for clause in acted for item in clause.lexemes)
    if inferred and any(item.has("greeting", "praise") or item.has("ok") for item in said):
        return " ".join(item.text for item in said if not item.mark)  # "it's loud and I love it"
    if _agrees_mockingly(said) or _comments_on_done(said):
        return " ".join(item.text for item in said if not item.mark)
    supposed = denied = False
    pieces = list(stretched(said))
    reported = next((i for i, piece in enumerate(pieces) if _says_who(piece)), 0)
    if reported and is_acted_on(pieces[reported - 1], read):
        return pieces[reported - 1].text  # "mute the drums, says my wife"
    for index, piece in enumerate(pieces):
        if piece.joiner in {".", "?"} or (denied and piece.joiner != "and"):
            supposed = denied = False
        denied = denied or f"{piece.text} ".startswith(DENYING)
        supposed = supposed or _supposes(piece)
        contradicted = pieces[index + 1 : index + 2] and pieces[index + 1].joiner == "but"
        if not is_acted_on(piece, read) or _is_picture(piece, said):
            continue
        stretch = Stretch(piece, read)
        cited = any(words.issuperset(i.text for i in piece.lexemes) for words in quoted)
        disputed = contradicted and (
            _wants_for_others(piece)
            or pieces[index + 1].text.startswith(CONTENT)
            or (_would_do(piece) and _gives_reason(pieces[index + 1], read))
        )
        if cited or supposed or denied or disputed or any(doubts(stretch) for doubts in DOUBTS):
            return piece.text
    return ""


def _agrees_mockingly(said: list[Lexeme]) -> bool:
    """Whether nothing was proposed that "yeah, because what this needs is reverb" agrees to."""
    words = [item for item in said if not item.mark][:3]
    return any(
        item.has("accept") and following.text in _BECAUSE for item, following in pairwise(words)
    )


_BECAUSE = {"because", "cause", "cuz", "coz", "since"}


def _comments_on_done(said: list[Lexeme]) -> bool:
    """Whether what was done is commented: "great, even louder drums, just what I wanted"."""
    if not any(item.text.endswith(("wanted", "needed", "asked for")) for item in said):
        return False
    words = " ".join(item.text for item in said if not item.mark)
    return any(phrase in words for phrase in ALREADY_WANTED)


def _says_who(piece: Clause) -> bool:
    """Whether a piece tells who said what stands before it."""
    return piece.lexemes[0].text in {"says", "said", "thinks", "reckons", "claims", "insists"}


def _gives_reason(piece: Clause, read: Mapping[int, Lexeme]) -> bool:
    """Whether a piece asks for nothing, or only tells what would come of it."""
    return not is_acted_on(piece, read) or any(item.text == "would" for item in piece.lexemes)


def _would_do(piece: Clause) -> bool:
    """Whether somebody tells what he would do: "I'd turn it up, but it's late"."""
    opening = [item.text for item in piece.lexemes if not item.mark][:2]
    if opening[:1] in (["i would"], ["i would say"]):
        return True
    return opening[:1] in (["we"], ["you"]) and opening[1:] in (["could"], ["would"])


def _wants_for_others(piece: Clause) -> bool:
    """Whether somebody else's wish is told: "a friend of mine wants louder drums, but …"."""
    return any(item.text == "wants" or item.has("says") for item in piece.lexemes)


_THE_MORE = re.compile(r"the (more|less|louder|quieter)\b.* the (worse|better|more|less)\b")


def _supposes(piece: Clause) -> bool:
    """Whether what follows is wanted on a condition: "only if it doesn't hurt, raise the bass"."""
    words = f"{piece.text} "  # each of the openings ends with a word
    if words.startswith(SUPPOSING) or _THE_MORE.match(words):
        return True
    place = piece.index("conditional")
    return place >= 0 and not any(map(asks, piece.lexemes[:place]))


def _is_picture(piece: Clause, said: list[Lexeme]) -> bool:
    """Whether "you know how it sounds outside of a club?" is told before "do that"."""
    return piece.text.startswith("you know") and any(item.text == "do that" for item in said)

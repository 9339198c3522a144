"""Tolerance for typing errors that never turns a word into another instrument."""

from __future__ import annotations

from functools import lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA

from services.interpreter.language.vocabulary import vocabulary

MIN_LENGTH = 4
LONG_WORD = 8
"""From this length on, two errors are forgiven."""


@lru_cache(maxsize=4096)
def corrected(word: str) -> str:
    """Returns the word that was probably meant, or the word itself where that is not clear.

    A correction keeps the first letter (or swaps the first two), and is dropped where two words
    that mean different things are equally close.
    """
    known = vocabulary()
    if word in known.corrections:
        return known.corrections[word]
    if word in known.words or word in known.guarded or word in known.foreign:
        return word
    found = _nearest(word)
    # A real word was meant as it is, but for another form of a known one ("studios", "hiked").
    return word if word in known.english and not _is_form_of(word, found) else found


def _nearest(word: str) -> str:
    """Returns the known word that is closest, or the word itself."""
    known = vocabulary()
    if len(word) < MIN_LENGTH or not word.isascii() or not word.isalpha():
        return word
    squeezed = _without_repeats(word)
    if squeezed != word and squeezed in known.words:
        return squeezed
    allowed = 2 if len(word) >= LONG_WORD else 1
    close = [
        (found, int(distance))
        for found, distance, _ in process.extract(
            word, _candidates(word[0], word[1]), scorer=OSA.distance, score_cutoff=allowed, limit=12
        )
        if _is_plausible(word, found)
    ]
    if not close:
        return word
    best = min(distance for _, distance in close)
    nearest = [found for found, distance in close if distance == best]
    meanings = {known.single.get(found, ((found, ""),)) for found in nearest}
    return nearest[0] if len(meanings) == 1 else _preferred(word, nearest)


_ENDINGS = ("s", "es", "d", "ed", "ing", "ly", "est", "st", "ally", "y")


def _is_form_of(word: str, other: str) -> bool:
    """Whether two words are forms of one: they differ in their endings only."""
    for longer, shorter in ((word, other), (other, word)):
        for stem in (shorter, shorter[:-1], shorter + shorter[-1]):
            if len(stem) >= 3 and longer.startswith(stem) and longer[len(stem) :] in _ENDINGS:
                return True
    swapped = ((("ing",), ("ed", "er", "es")), (("es", "ed", "er"), ("ed", "er", "es")))
    return any(
        word.endswith(ends) and other.endswith(others) and word[: -len(ends[0])] == other[:-2]
        for ends, others in swapped
    )


def _preferred(word: str, nearest: list[str]) -> str:
    """Of several equally close words takes the only one with the same letters, else none."""
    same_letters = [found for found in nearest if sorted(found) == sorted(word)]
    if len(same_letters) == 1:
        return same_letters[0]
    same_end = [found for found in nearest if found[-1] == word[-1] and len(found) > len(word)]
    return same_end[0] if len(same_end) == 1 else word


@lru_cache(maxsize=1024)
def _candidates(first: str, second: str) -> list[str]:
    """Returns the known words that may be meant by a word with these first two letters."""
    return sorted(
        word
        for word in vocabulary().words
        if len(word) >= MIN_LENGTH and (word[0] == first or word[:2] == second + first)
    )


def _is_plausible(word: str, found: str) -> bool:
    if word[0] != found[0] and sorted(word[:2]) != sorted(found[:2]):
        return False
    # Four letters with one replaced are usually another word ("boss", "mass"), not a typing error.
    replaced = len(word) == len(found) and sorted(word) != sorted(found)
    if len(word) == MIN_LENGTH and replaced:
        return False
    return not (len(found) == MIN_LENGTH and len(word) == MIN_LENGTH + 1 and word.endswith("s"))


def _without_repeats(word: str) -> str:
    """Turns "louderrrr" and "soooo" into words with no letter more than twice."""
    kept: list[str] = []
    for letter in word:
        if len(kept) >= 1 and kept[-1] == letter and word.count(letter * 3):
            continue
        kept.append(letter)
    return "".join(kept)

"""Pairs of files: "one file with the voice and another with everything else"."""

from __future__ import annotations

from services.interpreter.builtin.clauses import INSTRUMENT_KINDS, is_filler
from services.interpreter.language.lexemes import Lexeme

_PAUSE = Lexeme(".", mark=".")
_GIVE = Lexeme("give me", (("give", "give"),))
_FREE = {
    "vocals": ("instrumental", "instrumental"),
    "drums": ("drumless", "drumless"),
    "bass": ("bassless", "bassless"),
    "guitar": ("guitarless", "guitarless"),
    "piano": ("pianoless", "pianoless"),
}


def apart(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Writes a request for several files as one sentence a file."""
    return _files_apart(_opposites(_music_apart(lexemes)))


def _music_apart(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "the music" beside the voice as the instruments: "voice +2 dB, music -6 dB"."""
    if not any(item.has("target", "vocals") for item in lexemes):
        return lexemes
    result: list[Lexeme] = []
    for item in lexemes:
        before = next((found for found in reversed(result) if not found.has("filler")), None)
        is_place = before is not None and any(before.has(kind) for kind in ("in", "of", "for"))
        if item.text == "music" and not is_place:
            result.append(Lexeme("music", (("group", "instruments"),)))
        else:
            result.append(item)
    return result


def _files_apart(lexemes: list[Lexeme]) -> list[Lexeme]:
    places = [index for index, item in enumerate(lexemes) if item.has("onefile")]
    if len(places) < 2:
        return lexemes
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        if index not in places:
            result.append(item)
            continue
        if index != places[0]:
            while result and (result[-1].mark or result[-1].has("and")):
                result.pop()
            result.append(_PAUSE)
        result.append(_GIVE)
        if lexemes[index + 1 : index + 2] and lexemes[index + 1].has("with"):
            continue
    return [item for item in result if not (item.has("with"))]


def _opposites(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "into vocals and not vocals" as the vocals, and the song without them."""
    result: list[Lexeme] = []
    skip = 0
    for index, item in enumerate(lexemes):
        if skip:
            skip -= 1
            continue
        following = lexemes[index + 1 : index + 2]
        negates = item.text in {"not", "non", "no", "without", "minus"} and following
        if negates and result and result[-1].has("and") and _is_again(following[0], result):
            kind = _FREE[following[0].value("target") or following[0].value("six")]
            result.append(Lexeme(kind[0], (("file", kind[1]),)))
            skip = 1
            continue
        result.append(item)
    return result


def _is_again(item: Lexeme, before: list[Lexeme]) -> bool:
    """Whether a stem was named right before "and not"."""
    said = [found for found in before[:-1] if not is_filler(found) and not found.mark]
    name = item.value("target") or item.value("six")
    if any(item.has(kind) for kind in INSTRUMENT_KINDS) or name not in _FREE or not said:
        return False
    return name in {said[-1].value("target"), said[-1].value("six")}

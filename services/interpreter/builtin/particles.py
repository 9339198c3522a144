"""Verbs with particles: "shut those drums up", "tighten up", "take the harshness out of it".

A particle alone would mean something else: "up" raises nothing in "tighten up", and "out of" takes
away only after "take the harshness …".
"""

from __future__ import annotations

from functools import cache

from services.interpreter.builtin.clauses import (
    EFFECT_KINDS,
    FARTHEST,
    TARGET_KINDS,
    is_filler,
    is_verb,
)
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.vocabulary import vocabulary

_FILLER = (("filler", "word"),)
_LONGEST_OBJECT = 5


def phrasal_verbs(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "shut those drums up" as "mute those drums"."""
    result = list(lexemes)
    for index, item in enumerate(lexemes):
        if item.text not in _verbs():
            continue
        for place in range(index + 2, min(index + 2 + _LONGEST_OBJECT, len(lexemes))):
            reading = vocabulary().phrasal.get((item.text, _particle(lexemes[place])))
            if reading is not None and all(map(_is_object, lexemes[index + 1 : place])):
                result[index] = Lexeme(f"{item.text} {lexemes[place].text}", (reading,))
                result[place] = Lexeme(lexemes[place].text, _FILLER)
                break
            if not _is_object(lexemes[place - 1]):
                break
    return result


@cache
def _verbs() -> frozenset[str]:
    return frozenset(verb for verb, _ in vocabulary().phrasal)


def _particle(item: Lexeme) -> str:
    """Returns a particle; what something is taken off or out of is always the song."""
    for way in ("off", "out of"):
        if item.text.startswith(f"{way} ") and (item.has("filler") or item.has("remove")):
            return f"{way} the song"
    return item.text


def _is_object(item: Lexeme) -> bool:
    named = any(item.has(kind) for kind in (*TARGET_KINDS, "reverb", "compression", "echo"))
    named = named or item.number is not None
    return named or item.has("filler") or item.has("and") or item.has("volume")


def without_particles(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Takes the direction out of "tighten up", "mess up": that "up" raises nothing."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        before = lexemes[index - 1] if index else None
        following = lexemes[index + 1 : index + 2]
        is_particle = (
            item.text == "up"
            and before is not None
            and (before.has("vague") or (before.is_unknown and _opens(lexemes, index - 1)))
            and not (following and (following[0].number or following[0].has("by")))
        )
        is_particle = is_particle or _colours(lexemes, index) or _paints(lexemes, index)
        # "flesh out the bass" takes nothing away
        works = item.text == "out" and before is not None and before.is_unknown
        is_particle = is_particle or (works and _opens(lexemes, index - 1))
        result.append(Lexeme(item.text, _FILLER) if is_particle else item)
    return result


def _paints(lexemes: list[Lexeme], place: int) -> bool:
    """Whether "down" only paints a picture: "like they're down a tunnel"."""
    if lexemes[place].text not in {"up", "down"} or any(i.number for i in lexemes[place:]):
        return False
    for index in range(place - 1, 0, -1):
        item = lexemes[index]
        if item.mark or item.has("and"):
            return False
        if item.has("like") and (item.text != "like" or lexemes[index - 1].has("complaint")):
            return True
    return False


def _colours(lexemes: list[Lexeme], place: int) -> bool:
    """Whether a particle belongs to a verb of tone: "mellow them out", "warm the vocals up"."""
    if lexemes[place].text not in {"out", "up", "down"}:
        return False
    verb = place - 1
    while verb >= 0 and _is_object(lexemes[verb]):
        verb -= 1
    return 0 <= verb < place - 1 and lexemes[verb].has("tone") and _opens(lexemes, verb)


def _opens(lexemes: list[Lexeme], place: int) -> bool:
    """Whether a word opens a command: nothing but politeness stands before it."""
    for item in reversed(lexemes[:place]):
        if item.mark or item.has("and"):
            return True
        if not (is_filler(item) or item.has("greeting") or item.has("ok")):
            return False
    return True


def taken_out(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "out of" as taking away after "take the harshness", and before "the mud"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        taken = item.text in {"out of", "off of"} and (
            _takes_a_sound(result)
            or _measures(result)
            or _leaves_a_tone(result[-FARTHEST:], lexemes[index + 1 : index + 1 + FARTHEST])
        )
        whole = taken and any(found.has("reverb") or found.has("compression") for found in result)
        kind = "remove" if whole else "less"
        result.append(Lexeme(item.text, ((kind, kind), ("in", "in"))) if taken else item)
    return result


def _takes_a_sound(before: list[Lexeme]) -> bool:
    for index in range(len(before) - 1, -1, -1):
        item = before[index]
        if item.mark or item.has("and"):
            return False
        if is_verb(item):
            said = before[index:]
            return any(
                found.number or any(found.has(kind) for kind in EFFECT_KINDS) for found in said
            ) and not any(found.has("side") or found.has("pan") for found in said)
    return False


def _measures(before: list[Lexeme]) -> bool:
    """Whether so many dB are to go: "pull 3 dB out of the vocals"."""
    said = before[-_LONGEST_OBJECT:]
    if any(item.has("up") or item.has("more") for item in said):
        return False
    numbers = [item.number for item in said if item.number]
    return any(number.unit == "db" and not number.signed for number in numbers)


def _leaves_a_tone(before: list[Lexeme], after: list[Lexeme]) -> bool:
    """Whether a part is to come "out of the mud"."""
    said = next((item for item in after if not item.has("filler", "article")), None)
    brings = any(item.has("give") or item.has("set") for item in before)
    named = any(item.has(kind) for item in before[-1:] for kind in TARGET_KINDS)
    return brings and named and said is not None and said.has("tone") and not said.has("target")

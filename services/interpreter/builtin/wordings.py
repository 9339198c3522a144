"""Roundabout wordings said plainly, before a prompt is read.

Some words mean something else in company: "phone" is no filter in "I can't hear it on my phone",
"cancel" declines nothing in "cancel the reverb".
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from services.interpreter.builtin.bass import with_bass_instruments
from services.interpreter.builtin.clauses import (
    EFFECT_KINDS,
    FARTHEST,
    TARGET_KINDS,
    is_filler,
    is_verb,
)
from services.interpreter.builtin.particles import phrasal_verbs, taken_out, without_particles
from services.interpreter.builtin.present import without_present
from services.interpreter.builtin.wholes import with_wholes
from services.interpreter.language.lexemes import Lexeme, Number
from services.interpreter.language.word_classes import COPULAS, OWNING


def plainly(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Returns a prompt with its roundabout wordings said plainly."""
    for said_plainly in (
        with_bass_instruments,
        _without_agreement,
        _same_for,
        with_wholes,
        _that_is,
        _less_so,
        _own_bands,
        _not_only,
        _without_rejected,
        _by_factors,
        _bare_octaves,
        _without_listening_places,
        phrasal_verbs,
        _without_keeping_on,
        _on_the_bass,
        _only_there,
        _objects,
        _it_is,
        without_present,
        _cancelled,
        _negated_tones,
        without_particles,
        taken_out,
    ):
        lexemes = said_plainly(lexemes)
    return lexemes


# --- Where it is listened to ---------------------------------------------------------------------

_FILLER = (("filler", "word"),)
_PLACED = {"on", "in", "through", "over the", "over", "with", "from"}
_OWN = OWNING | {"your", "these", "those"}


def _without_listening_places(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops where somebody listens: "on my phone", "in the car", "with headphones"."""
    kept: list[Lexeme] = []
    index = 0
    while index < len(lexemes):
        length = _listening_place(lexemes, index)
        if length:
            index += length
            continue
        kept.append(lexemes[index])
        index += 1
    return kept


def _listening_place(lexemes: list[Lexeme], start: int) -> int:
    """Returns how many words tell where somebody listens, 0 where none do."""
    if lexemes[start].text not in _PLACED:
        return 0
    end = start + 1
    owned = False
    while end < len(lexemes) and (lexemes[end].has("filler") or lexemes[end].text in _OWN):
        owned = owned or lexemes[end].text in _OWN
        end += 1
    if end >= len(lexemes) or not lexemes[end].has("device"):
        return 0
    if lexemes[end].has("filter") and not owned:
        return 0  # "through a phone" is an effect, "on my phone" a place
    return end + 1 - start


# --- Pronouns ------------------------------------------------------------------------------------


def _objects(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "her" as a pronoun where no noun follows: "push her back", not "her voice"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1 : index + 2]
        alone = not following or _follows_object(following[0])
        if item.text == "em" and index and _takes_object(lexemes[index - 1]):
            result.append(Lexeme("them", _THEM))  # "pan em left"
        else:
            result.append(Lexeme("her", _IT) if item.text == "her" and alone else item)
    return result


def _it_is(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "its so quiet" as "it is so quiet"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1] if index + 1 < len(lexemes) else None
        told = following is not None and (following.text in _DEGREES or following.has("too"))
        result.append(Lexeme("it is", _FILLER) if item.text == "its" and told else item)
    return result


def _without_agreement(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops the "right" that only opens: "right, the vocals are good, now …"."""
    opens = [item.text for item in lexemes[:2]] == ["right", ","]
    end = next((i for i in range(2, len(lexemes)) if lexemes[i].mark), len(lexemes))
    told = any(item.text.split()[0] in COPULAS or is_verb(item) for item in lexemes[2:end])
    goes_on = opens and len(lexemes) > 2 and lexemes[2].text.split()[0] in {"so", "now", "then"}
    return lexemes[2:] if opens and (told or goes_on) else lexemes


_DEGREES = {"so", "very", "really", "way", "way too", "too", "just", "still", "quite", "super"}


def _that_is(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops "that is" behind a name: "left. the drums, that is"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        ends = not lexemes[index + 1 : index + 2] or bool(lexemes[index + 1].mark)
        said = ends and item.text == "is" and bool(result) and result[-1].text == "that"
        named = said and any(found.has(k) for found in result[-3:-1] for k in TARGET_KINDS)
        if named:
            del result[-2 if result[-2].mark else -1 :]
            continue
        result.append(item)
    return result


def _less_so(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "the drums are tinny, make them less so" as "less tinny"."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        graded = item.text == "so" and bool(result) and result[-1].text in {"less", "more"}
        ends = not lexemes[index + 1 : index + 2] or bool(lexemes[index + 1].mark)
        told = [found for found in result if found.has("tone")] if graded and ends else []
        result.append(told[-1] if told else item)
    return result


_CHANGING = {"change", "touch", "edit", "adjust", "modify", "alter"}


def _same_for(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "the same but for the drums" as the same for them: nothing is excepted."""
    return [
        Lexeme("for", _FOR, place=item.place)
        if item.text == "but for" and index and lexemes[index - 1].has("pronoun", "same")
        else item
        for index, item in enumerate(lexemes)
    ]


_FOR = (("for", "for"),)


def _not_only(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "don't just raise the vocals, add reverb too" as both."""
    for index, item in enumerate(lexemes[:-2]):
        only, following = lexemes[index + 1], lexemes[index + 2]
        if item.text == "only" and only.text in _CHANGING:
            return [*lexemes[:index], *lexemes[index + 2 :]]  # "only change the vocals: 2 dB down"
        if item.has("not") and only.text in {"just", "only"} and is_verb(following):
            start = index - 1 if index and lexemes[index - 1].text == "do" else index
            return [*lexemes[:start], *lexemes[index + 2 :]]
    return lexemes


def _own_bands(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "my band opens a show" as people who play elsewhere."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        owned = bool(result) and result[-1].text in {"my", "our"}
        before = lexemes[index - 2] if index > 1 else None
        opens = before is None or bool(before.mark) or before.text in {"so", "and", "because"}
        is_band = item.has("group", "instruments") and owned and opens
        result.append(Lexeme(item.text, _FILLER) if is_band else item)
    return result


_RATHER = {"instead of", "rather than", "in place of"}


def _without_rejected(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "instead of muting the drums, …" as what follows; the drums are only spoken of."""
    start = next((i for i, item in enumerate(lexemes) if not is_filler(item)), 0)
    end = _end_of_rejected(lexemes)
    if not lexemes or lexemes[start].text not in _RATHER or not end:
        return lexemes
    kinds = (*TARGET_KINDS, *EFFECT_KINDS)
    names = [i for i in lexemes[start:end] if any(i.has(kind) for kind in kinds)]
    rest = lexemes[end + 1 :] if lexemes[end].mark else lexemes[end:]
    if not names or not rest:
        return lexemes
    refers = any(item.has("pronoun") or item.has("group", "rest") for item in rest)
    return [*names, _IS, _PAUSE, *rest] if refers else rest


def _end_of_rejected(lexemes: list[Lexeme]) -> int:
    """Returns where what is wanted begins: behind a comma, or with the verb after a name."""
    named = False
    for index, item in enumerate(lexemes):
        if item.mark == "," or (named and is_verb(item)):
            return index
        named = named or any(item.has(kind) for kind in TARGET_KINDS)
    return 0


_PAUSE = Lexeme(",", mark=",")


_IS = Lexeme("is", (("filler", "word"),))


def _by_factors(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "by a factor of two" as "two times"."""
    result: list[Lexeme] = []
    for item in lexemes:
        scales = [found.text for found in result[-2:]] == ["factor", "of"]
        if scales and item.number and not item.number.unit:
            result = [found for found in result[:-2] if not found.has("filler", "article")]
            while result and result[-1].has("by"):
                result.pop()
            result.append(Lexeme(item.text, number=replace(item.number, unit="times")))
        else:
            result.append(item)
    return result


def _bare_octaves(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "octave down" as "an octave down"."""
    return [
        Lexeme(item.text, number=_STEPS[item.text], place=item.place)
        if item.text in _STEPS and _is_moved(lexemes, index)
        else item
        for index, item in enumerate(lexemes)
    ]


def _is_moved(lexemes: list[Lexeme], index: int) -> bool:
    beside = (*lexemes[max(0, index - 1) : index], *lexemes[index + 1 : index + 2])
    return lexemes[index].has("unit") and any(
        found.has("up", "plain") or found.has("down", "plain") for found in beside
    )


_STEPS = {"octave": Number(12.0, "semitone"), "semitone": Number(1.0, "semitone")}


_BASS = Lexeme("bass", (("target", "bass"),))
_MOVES = {"bass boost": ("boost", ("up", "plain")), "bass cut": ("cut", ("down", "cut"))}


def _on_the_bass(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "on the bass boost 80 Hz" as a command about the bass, not as a boost of lows."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1] if index + 1 < len(lexemes) else None
        placed = any(found.has("in") for found in result[-2:])
        measured = following is not None and following.number is not None
        if item.text in _MOVES and placed and measured:
            verb, reading = _MOVES[item.text]
            result += [_BASS, Lexeme(verb, (reading,))]
        else:
            result.append(item)
    return result


_ONLY = {"vocals only": "vocals", "vocal only": "vocal"}
_ACTING = ("reset", "undo", "up", "down", "unmute", "leave", *EFFECT_KINDS)


def _only_there(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "reset the vocals only" as a place: no acapella is asked for."""
    result: list[Lexeme] = []
    acts = False
    for item in lexemes:
        acts = not item.mark and (acts or any(item.has(kind) for kind in _ACTING))
        if acts and item.text in _ONLY:
            result.append(Lexeme(_ONLY[item.text], (("target", "vocals"),)))
            result.append(Lexeme("only", (("only", "only"),)))
        else:
            result.append(item)
    return result


def _follows_object(item: Lexeme) -> bool:
    if item.mark or item.number:
        return True
    return any(item.has(kind) for kind in _AFTER_OBJECTS)


def _takes_object(item: Lexeme) -> bool:
    return is_verb(item) or any(item.has(k) for k in ("pan", "compression", "reverb", "pitch"))


_IT = (("pronoun", "it"),)
_THEM = (("pronoun", "them"),)
_AFTER_OBJECTS = (
    "up", "down", "small", "big", "side", "off", "back", "and", "to", "by", "in", "more", "less",
    "pan", "bound", "hard",
)  # fmt: skip

# --- Words that mean something else in company ---------------------------------------------------

_KEEP = {"keep", "keeps", "kept", "keeping"}


def _without_keeping_on(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "people keep asking" as asking: nothing is to be left alone."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1].text if index + 1 < len(lexemes) else ""
        goes_on = item.text in _KEEP and following.endswith("ing") and len(following) > 4
        result.append(Lexeme(item.text, _FILLER) if goes_on else item)
    return result


_PREFIXES = {"de", "un", "anti"}
_LESS = (("remove", "remove"),)


def _cancelled(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "cancel the reverb" as taking it away: nothing is declined."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        cancels = item.text in _CANCELLING and _is_effect_next(lexemes, index)
        result.append(Lexeme(item.text, _LESS) if cancels else item)
    return result


_CANCELLING = {"cancel", "stop", "forget", "skip"}


def _is_effect_next(lexemes: list[Lexeme], index: int) -> bool:
    rest = islice(lexemes, index + 1, index + 1 + FARTHEST)
    following = next((i for i in rest if not (is_filler(i) or i.has("add"))), None)
    return following is not None and any(following.has(kind) for kind in EFFECT_KINDS)


def _negated_tones(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "de-mud" as taking the mud away."""
    result: list[Lexeme] = []
    for index, item in enumerate(lexemes):
        following = lexemes[index + 1 : index + 2]
        negates = item.text in _PREFIXES and following and following[0].has("tone")
        result.append(Lexeme(item.text, _LESS) if negates else item)
    return result

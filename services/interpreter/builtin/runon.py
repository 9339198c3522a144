"""Instructions without a joining word: "vocals up drums down", "mute the bass add some reverb".

Prompts that are spoken or typed in haste have no commas. A new instruction starts where the words
so far already say what is to be done with what, and the words that follow say something of their
own: a part and what becomes of it, or a command and its object.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from services.interpreter.builtin.clauses import (
    EFFECT_KINDS,
    FARTHEST,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import AUXILIARIES, COPULAS, SELVES


def starts_another(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether the word at a place starts another instruction than the words before it.

    Args:
        lexemes: The prompt.
        index: The place of the word.
        current: The words before it that belong to one instruction so far.
    """
    item = lexemes[index]
    coming = islice(lexemes, index + 1, index + 1 + FARTHEST)
    following = next((found for found in coming if not is_filler(found)), None)
    if not current or following is None:
        return False
    if _asks_after_statement(lexemes, index, current):
        return True
    if current[0].has("question") or current[0].text in AUXILIARIES:
        return False
    return (
        _starts_part(lexemes, index, current)
        or _starts_command(item, following, current)
        or _starts_effect(item, following, current)
        or _starts_quantity(lexemes[index : index + FARTHEST], current)
        or (_is_complete(current) and _tells_of_speaker(item))
    )


# --- What the words so far say -------------------------------------------------------------------

_DONE = (
    "up", "down", "more", "less", "mute", "separate", "remove", "file", "leave", *EFFECT_KINDS,
)  # fmt: skip
_LEADING = (
    "to", "by", "in", "of", "for", "with", "and", "but", "or", "not", "set", "add", "like", "bound",
    "need", "give", "more", "less", "even", "too", "small", "big", "conditional", "reason",
    "told", "question", "than", "vague", "pronoun", "only",
)  # fmt: skip
_HEADS = ("reverb", "compression", "pan", "pitch", "echo", "chorus", "distortion", "eq", "volume")


def _is_complete(current: list[Lexeme]) -> bool:
    """Whether words already say what is to be done with what: "turn the drums up 5 dB"."""
    last = current[-1]
    leads = any(last.has(kind) for kind in (*_LEADING, "leave"))
    if leads or last.has("filler", "article"):
        return False
    clause = Clause(tuple(current))
    return clause.any_of(TARGET_KINDS) and clause.any_of(_DONE)


def _is_done(said: list[Lexeme], before: Sequence[Lexeme]) -> bool:
    """Whether words say enough for another part to follow."""
    clause = Clause(tuple(said))
    measured = bool(said[-1].number) or any(said[-1].has(kind) for kind in _WAYS)
    named = any(map(_is_name, said))
    if not named:  # "(vocals up 2 dB) reverb 30%" goes on with what was named before
        heads = any(said[0].has(kind) for kind in _HEADS) or clause.has("small")
        effect = any(said[-1].has(kind) for kind in ("reverb", "compression"))
        return (measured or effect) and heads and any(map(_is_name, before))
    if clause.any_of(("pan", "pitch")):
        return clause.any_of(("side", "up", "down")) or bool(clause.numbers())
    gained = any(number.unit == "db" or number.signed for number in clause.numbers())
    return gained or clause.any_of(("up", "down", "mute", "unmute", "leave", *EFFECT_KINDS))


# --- A part and what becomes of it ---------------------------------------------------------------

_WAYS = ("up", "down", "mute", "unmute", "side")
_STATES = COPULAS | {"stay", "stays", "remain", "remains", "is fine", "are fine", "should stay"}


def _starts_part(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether the next part is named: "vocals up 2 dB drums down 3", "… the bass is fine"."""
    if not (_is_name(lexemes[index]) or lexemes[index].has("group", "all", "rest")):
        return False
    said = list(current)
    while said and said[-1].has("filler"):
        said.pop()
    if not said or any(said[-1].has(kind) for kind in _LEADING):
        return False
    rest = _own_words(lexemes, index)
    if not rest or not _is_done(said, lexemes[:index]):
        return False
    told = rest[0].text in _STATES or rest[0].has("greeting", "praise")
    told = told or (rest[0].has("leave") and not rest[0].has("remove"))
    first = next((item for item in rest if not item.has("filler")), None)
    if first is None or first.has("by"):
        return False
    ways = (*_WAYS, "too", "toomuch")
    if _is_name(said[-1]):  # a list, unless it is told apart: "mute drums vocals up"
        own = any(first.has(kind) for kind in (*_WAYS[:-1], "too", "toomuch"))
        return (own or told) and not _is_name(said[0])
    own = any(first.has(kind) for kind in (*ways, "hard", *EFFECT_KINDS))
    own = own or _is_amount(first) or bool(said[-1].number and first.number)
    if first.has("small") or first.has("big"):
        own = any(item.has(kind) for item in rest for kind in (*ways, *EFFECT_KINDS))
    return own or told


def _is_amount(item: Lexeme) -> bool:
    return item.number is not None and (bool(item.number.unit) or item.number.signed)


def _own_words(lexemes: list[Lexeme], index: int) -> list[Lexeme]:
    """Returns what is said of a part: the words up to a pause or the next part."""
    rest: list[Lexeme] = []
    for item in lexemes[index + 1 :]:
        if item.mark or any(item.has(kind) for kind in ("and", "but", "with")) or _is_name(item):
            break
        rest.append(item)
    return rest


# --- A command and its object --------------------------------------------------------------------

_OPENERS = {
    "pan", "mute", "unmute", "put", "add", "make", "turn", "boost", "raise", "compress", "pitch",
    "transpose", "bring", "lower", "squash", "give", "isolate", "remove", "take", "push", "pull",
    "cut", "drop", "crank", "move", "centre", "center", "solo", "lift", "bump", "reduce",
    "increase", "set", "leave", "keep",
}  # fmt: skip
_NOUNS = {"boost", "cut", "drop", "lift", "push", "pull", "bump", "centre", "center"}
"""Commands that are nouns as well: "with a 3 dB boost"."""
_ASKED = {"could you", "can you", "would you", "please", "pls", "can we", "could we", "will you"}
_OBJECTS = (*TARGET_KINDS, "up", "down", "small", "medium", "more", "less", "region", *_HEADS)


def _starts_command(item: Lexeme, following: Lexeme, current: list[Lexeme]) -> bool:
    """Whether a verb opens the next command: "make the vocals louder add some reverb"."""
    mutes = item.has("mute") or item.has("unmute")
    if mutes and _is_name(current[-1]) and _is_name(following):
        return Clause(tuple(current)).has_action  # "mute vocals unmute drums"
    if not _is_complete(current):
        return False
    if item.has("filler", "polite"):
        return item.text in _ASKED and is_verb(following)
    verb = item.text.split()[0]
    if verb not in _OPENERS or (verb in _NOUNS and bool(current[-1].number)):
        return False
    banded = following.number is not None and following.number.unit == "hz"
    return banded or any(following.has(kind) for kind in _OBJECTS)


# --- Another effect, another quantity ------------------------------------------------------------


def _starts_effect(item: Lexeme, following: Lexeme, current: list[Lexeme]) -> bool:
    """Whether the next effect of a list begins: "vocals -1 dB reverb 20% pan left 10%"."""
    heads = [kind for kind in _HEADS if item.has(kind)]
    said = Clause(tuple(current))
    if not heads or said.any_of(heads) or item.has("side"):
        return False
    measured = bool(current[-1].number) or any(current[-1].has(kind) for kind in _WAYS)
    goes_on = bool(following.number) or any(following.has(kind) for kind in ("side", "up", "down"))
    whole = said.any_of((*EFFECT_KINDS, "up", "down")) or bool(said.numbers("db"))
    opened = any(found.has("and") or found.has("bound") for found in current)
    return measured and goes_on and whole and not (opened or said.any_of(("set", "add", "give")))


_QUANTIFIERS = (("more", "more"), ("less", "less"), ("up", "loud"), ("down", "quiet"))


def _starts_quantity(rest: list[Lexeme], current: list[Lexeme]) -> bool:
    """Whether "more drums (a bit) less vocals no bass" goes on with its next part."""
    effects = ("reverb", "compression")
    if not (_is_name(current[-1]) or any(current[-1].has(kind) for kind in effects)):
        return False
    coming = [item for item in rest if not is_filler(item)][:3]
    said = Clause(tuple(current))
    if rest[0].text == "no":
        known = said.any_of(("more", "less", "up", "down"))
        effect = len(coming) > 1 and any(coming[1].has(kind) for kind in effects)
        return known and len(coming) > 1 and (effect or _is_name(coming[1]))
    if coming and coming[0] is rest[0] and any(coming[0].has(kind) for kind in ("small", "big")):
        coming = coming[1:]
    if len(coming) < 2 or not any(coming[0].has(*reading) for reading in _QUANTIFIERS):
        return False
    quantified = any(found.has(*reading) for found in current for reading in _QUANTIFIERS)
    return quantified and (_is_name(coming[1]) or any(coming[1].has(k) for k in effects))


# --- What is told or asked besides ---------------------------------------------------------------

_SPEAKERS = SELVES | {
    "i", "i have", "we", "my", "its", "it is", "i want to", "we want to", "i need to",
}  # fmt: skip


def _asks_after_statement(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether a request follows a statement: "the guitar bugs me can you just get rid of it"."""
    if lexemes[index].text not in _ASKED or any(map(is_verb, current)):
        return False
    rest = lexemes[index + 1 :]
    following = next((i for i in rest if not (is_filler(i) or i.text == "just")), None)
    named = any(map(_is_name, current)) and len(current) > 2
    return named and following is not None and is_verb(following)


def _tells_of_speaker(item: Lexeme) -> bool:
    """Whether a word opens what somebody tells of himself: "… louder pls im half deaf"."""
    return item.text in _SPEAKERS


def _is_name(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("target", "six", "region"))

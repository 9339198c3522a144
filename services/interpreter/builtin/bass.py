"""Bass, the instrument or the tone."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import EFFECT_KINDS, Clause
from services.interpreter.language.lexemes import Lexeme


def bass_is_tone(clause: Clause) -> bool:
    """Whether "bass" is plainly a tone: "more bass in the vocals", "give the drums less bass"."""
    place = clause.index("target", "bass")
    if place < 0 or clause.lexemes[place].text not in {"bass", "base"}:
        return False
    if clause.any_of(EFFECT_KINDS) or clause.any_of(("mute", "separate", "file", "undo", "reset")):
        return False
    others = [
        index
        for index, item in enumerate(clause.lexemes)
        if index != place
        and (
            item.has("target")
            or item.has("six")
            or item.has("pronoun", "them")
            or _is_in_it(clause, index)
        )
    ]
    if clause.has("remove") and clause.previous is not None and clause.previous.has("remove"):
        return False  # "no drums and no bass in it"
    directed = clause.any_of(
        ("more", "less", "up", "down", "add", "small", "remove", "big", "toomuch", "too", "need")
    ) or any(number.signed for number in clause.numbers("db", ""))
    if not others or not directed:
        return (
            clause.joiner == "with"
            and clause.any_of(("more", "less", "small", "big"))
            and bool(clause.previous and clause.previous.has_named_target)
        )
    nearest = min(others, key=lambda index: abs(index - place))
    between = clause.lexemes[min(nearest, place) + 1 : max(nearest, place)]
    if nearest < place and [item.mark or item.text for item in between] == [":"]:
        return True  # "drums: bass -3 dB"
    if any(item.has("and") or item.mark for item in between):
        return False
    is_master = clause.lexemes[nearest].has("target", MASTER)
    if nearest > place:
        return any(item.has("in") or item.has("of") or item.has("to") for item in between) and not (
            is_master and not clause.any_of(("add",)) and "whole" not in clause.text
        )
    before = [
        item for item in clause.lexemes[:place] if not item.has("filler") and not item.has("of")
    ]
    return bool(before) and any(
        before[-1].has(kind)
        for kind in ("more", "less", "small", "big", "toomuch", "add", "medium")
    )


def _is_in_it(clause: Clause, index: int) -> bool:
    """Whether "it" is where the bass is: "less bass in it"."""
    previous = clause.previous
    return (
        clause.lexemes[index].has("pronoun", "it")
        and index > 0
        and clause.lexemes[index - 1].has("in")
        and previous is not None
        and previous.has_named_target
    )


def with_bass_instruments(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "bass trombone" and "bass flute" as one instrument, which is no bass."""
    result: list[Lexeme] = []
    for item in lexemes:
        if result and result[-1].text == "bass" and item.has("instrument_other"):
            said = result.pop()
            result.append(replace(item, text=f"bass {item.text}", place=said.place))
        else:
            result.append(item)
    return result

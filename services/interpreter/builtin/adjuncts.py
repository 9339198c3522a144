"""What a piece of a prompt only tells besides: why, for whom, compared with what."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.builtin.statements import copula_of, is_complaint
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import COPULAS, NARRATORS, OWNING, WANTING


def without_adjunct(piece: Clause) -> Clause:
    """Drops what tells why or for whom: "so my student can hear it", "for tonight's party"."""
    kept: list[Lexeme] = []
    items = piece.lexemes
    compared = hidden = False
    opening = _opening_purpose(items)
    for index, item in enumerate(items):
        if index < opening:
            continue
        if item.has("than") and not compared:
            told = any(i.is_unknown for i in items[index + 1 :]) and not any(map(is_verb, kept))
            if _measures(items, index) or told:
                kept.append(item)  # "louder than the drums" says no amount: it has to be asked
        # "louder than the drums by 2 dB": what it is compared with is not changed.
        compared = (compared or item.has("than")) and not (item.number or item.has("by"))
        hidden = hidden or _hides(kept, item)
        if compared or hidden:
            continue
        done = Clause(tuple(kept))
        says = done.has_action or done.any_of(("give", "only"))
        following = items[index + 1 : index + 2]
        negated = bool(kept) and kept[-1].has("not")
        if item.text == "so" and following and _is_degree_of(following[0]) and not negated:
            continue  # "sounds so tinny"
        opened = _after_so(item, kept, items[index + 1 :])
        if opened is not None:
            kept[:] = opened
            continue
        if item.text in _TOLD_TO and _tells_to_do(items[index + 1 :]):
            return piece  # "he told me to turn the bass down": who is to do it?
        if item.has("says") and not done.any_of(TARGET_KINDS) and not says:
            kept.clear()  # "my wife says the bass is too boomy"
            continue
        if item.has("reason") and kept and (says or done.has_named_target):
            break
        if item.has("like") and says and not done.has("complaint") and done.any_of(EFFECT_KINDS):
            break
        lasts = any(
            i.number and i.number.unit == "second" and i.number.value > 1
            for i in items[index + 1 : index + 3]
        )
        if item.has("for") and not lasts and _is_purpose(done, items[index + 1 :], says):
            break
        if item.has("question") and kept and says:
            break
        if item.has("leave") and item.text.startswith("without") and says:
            break
        if item.text in {
            "to make",
            "to have",
            "to get",
            "to give",
            "to hear",
            "to do",
            "to be",
        } and (done.any_of(ACTION_KINDS)):
            break
        if item.has("to") and says and index + 1 < len(items) and items[index + 1].is_unknown:
            break
        kept.append(item)
    return replace(piece, lexemes=tuple(kept))


_TOLD_TO = {"told me", "tells me", "told us", "asked me", "told", "asked"}


def _tells_to_do(rest: tuple[Lexeme, ...]) -> bool:
    """Whether a command is only reported: "… last night to turn the bass down"."""
    return any(item.has("to") and is_verb(following) for item, following in pairwise(rest[:6]))


def _after_so(item: Lexeme, kept: list[Lexeme], rest: tuple[Lexeme, ...]) -> list[Lexeme] | None:
    """Returns what stays of the words before "so" where a command follows; None where none does."""
    if item.text not in _SO or not kept or not rest or kept[-1].has("not"):
        return None
    tells = kept[0].text in NARRATORS or kept[0].text in OWNING
    if item.text == "so" and tells and rest[0].has("filler", "polite"):
        return [_HENCE]  # "I only hear on the right, so could you pan …"
    if _commands_by(Clause(tuple(kept))):
        return None
    if item.text == "so" and _commands(rest[0]):
        return _subject_of(kept, rest)  # "too far back so push her up"
    return [_HENCE] if _asks(rest) else None  # "the neighbours complained so less bass please"


def _measures(items: tuple[Lexeme, ...], place: int) -> bool:
    """Whether "than" measures one part by another, without a number."""
    if any(item.number for item in items):
        return False
    return _names_any(items[place + 1 :])


def _names_any(items: tuple[Lexeme, ...]) -> bool:
    return any(item.has(kind) for item in items for kind in NAMED_KINDS)


def _is_degree_of(item: Lexeme) -> bool:
    return item.has("tone") or item.text in {"loud", "quiet", "low", "high", "weak"}


def _asks(rest: tuple[Lexeme, ...]) -> bool:
    """Whether what follows "so" is an instruction in itself: "so less bass please"."""
    clause = Clause(rest)
    if clause.unknown:
        return False
    if clause.any_of(("need", "give")) and (clause.numbers() or clause.has("remove")):
        return clause.has_named_target or clause.has("file")
    if any(item.text in WANTING for item in rest) and clause.has_named_target:
        return True
    if any(item.has("pronoun") for item in rest):
        return False
    placed = clause.has("side") or (bool(clause.numbers()) and clause.any_of(("up", "down")))
    placed = placed and clause.is_target_first
    effect = clause.any_of(EFFECT_KINDS) and not is_complaint(clause) and copula_of(clause) < 0
    wanted = effect or clause.any_of(("more", "less", "remove", "only"))
    return clause.has_named_target and (placed or wanted)


_HENCE = Lexeme("so", (("hence", "hence"), ("filler", "word")))
"""Opens a command for which the reason was said before."""


def _subject_of(kept: list[Lexeme], rest: tuple[Lexeme, ...]) -> list[Lexeme]:
    """Keeps what a reason is about, for "it" in the command that follows."""
    names = [item for item in kept if any(item.has(kind) for kind in NAMED_KINDS)]
    refers = any(item.has("pronoun") or item.text == "her" for item in rest)
    return [*names[:1], _HENCE] if refers and not _names_any(rest) else [_HENCE]


_PERSON = (("filler", "word"),)
_SO = {"so", "so the", "so i", "so we", "so my", "so our", "so it"}


def _commands_by(done: Clause) -> bool:
    """Whether a command stands before "so", for which what follows gives the reason."""
    if any(number.unit or number.signed for number in done.numbers()):
        return True
    first = next((item for item in done.lexemes if not is_filler(item)), None)
    if first is None or not done.has_action or first.text in {"nobody", "no one"}:
        return False
    tells = done.has("complaint") or any(item.text in COPULAS for item in done.lexemes)
    return is_verb(first) or (done.is_target_first and not tells)


def _hides(kept: list[Lexeme], item: Lexeme) -> bool:
    """Whether what follows only hides what is to be heard: "can't hear her over the drums"."""
    covers = item.has("bound", "above", "below") or item.text in {
        "over the",
        "behind",
        "by",
        "because of",
        "in",
        "through",
    }
    return (
        covers
        and any(found.has("up", "buried") for found in kept)
        and any(found.has(kind) for found in kept for kind in NAMED_KINDS)
    )


def _commands(item: Lexeme) -> bool:
    return is_verb(item) or any(
        item.has(kind) for kind in ("pitch", "pan", "compression", "unsupported")
    )


def _opening_purpose(items: tuple[Lexeme, ...]) -> int:
    """Returns where the request begins after "For tonight's gig I need …", 0 where it is first."""
    start = next((i for i, item in enumerate(items) if not item.has("filler")), 0)
    if not items or not items[start].has("for"):
        return 0
    for index in range(start + 1, len(items)):
        item = items[index]
        if any(item.has(kind) for kind in TARGET_KINDS):
            told = any(found.is_unknown for found in items[start + 1 : index])
            return index - 1 if told and items[index - 1].has("filler", "article") else 0
        if item.has("filler", "polite") or is_verb(item):
            return index
    return 0


def _is_purpose(done: Clause, following: tuple[Lexeme, ...], says: bool) -> bool:
    rest = Clause(following)
    whose = following[0].text if following else ""
    if (
        says
        and whose in {"my", "our", "his", "her", "their", "a", "an"}
        and not (rest.any_of(TARGET_KINDS))
    ):
        return True
    if not rest.any_of((*TARGET_KINDS, "file")) and not rest.any_of(("unsupported",)):
        return says or done.has_named_target or not rest.has_action
    if all(is_filler(item) or item.has("pronoun") for item in done.lexemes) and any(
        item.text in {"it is", "is", "are", "was"} for item in done.lexemes
    ):
        return True
    if (done.has_named_target or done.has("file")) and says:
        return not (rest.has("unsupported") or rest.any_of(("up", "down", "mute", "reverb")))
    return False


def without_reasons(pieces: list[Clause]) -> list[Clause]:
    """Drops clauses that only give a reason, and what follows them without a command."""
    kept: list[Clause] = []
    in_reason = False
    for place, found in enumerate(pieces):
        piece = found if place else _without_opening_so(found)
        first = next((item for item in piece.lexemes if not is_filler(item)), None)
        if first is not None and first.text in {"since", "because", "as"}:
            told = piece.without(lambda item: item.text in {"since", "because", "as"})
            if is_complaint(told):
                kept.append(told)  # "since the vocals are buried, raise them"
                continue
        if first is not None and first.has("reason"):
            command = piece.without(lambda item: item.text in _SO)
            asks = (first.text == "so" and command.has_verb) or _asks(command.lexemes)
            if first.text not in _SO or not asks:
                in_reason = True
                continue
            piece = replace(command, lexemes=(_HENCE, *command.lexemes))  # "…, so please mute it"
        if in_reason and piece.joiner in {"and", "with"} and not piece.has_verb:
            continue
        in_reason = False
        kept.append(piece)
    return kept


def _without_opening_so(piece: Clause) -> Clause:
    """Drops the "so" that opens a prompt: it gives no reason."""
    if not piece.lexemes or piece.lexemes[0].text not in _SO:
        return piece
    said = piece.lexemes[0].text.removeprefix("so").strip()
    opened = (Lexeme(said, _PERSON),) if said else ()
    return replace(piece, lexemes=(*opened, *piece.lexemes[1:]))

"""What a speaker takes back: "3 dB, no wait, 5", "the drums, I mean the bass", "by 2, not 5"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    FARTHEST,
    INSTRUMENT_KINDS,
    LONGEST,
    NAMED_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import MEANT, REFUSALS

_STRONG = MEANT | {
    "wait", "no wait", "or rather", "correction", "make that", "scratch that", "strike that",
    "hold on", "hang on", "no no", "sorry", "oops", "my bad", "apologies", "scrap that",
    "on second thought", "on second thoughts", "forget that", "or better", "better", "whoops",
    "nope", "err", "ugh", "wait a second", "actually no", "no sorry", "rather", "cancel that",
    "nah",
}  # fmt: skip
_WEAK = {"no", "actually", "not", "sorry", "or", "well", "let us say", "say", "and", "um", "uh"}
_MAKE_THAT = (["make", "that"], ["make", "it"])
_REFUSING = REFUSALS | {"wait", "no wait", "sorry", "actually", "actually no", "oops"}
_DIRECTIONS = ("up", "down", "more", "less", "side")
_CONTENT = (*ACTION_KINDS, *NAMED_KINDS, "set", "add", "give", "only")


@dataclass(frozen=True)
class Repaired:
    """A prompt without what was taken back.

    Args:
        lexemes: The words that stand.
        retracts: Whether it corrects an earlier turn ("I meant the bass").
    """

    lexemes: list[Lexeme]
    retracts: bool = False


def repaired(lexemes: list[Lexeme]) -> Repaired:
    """Carries out what a prompt corrects in itself."""
    retracts = any(item.text in MEANT for item in lexemes[:8]) and not _says(
        lexemes[: next((i for i, item in enumerate(lexemes) if item.text in MEANT), 0)]
    )
    found = _with_enough(_without_contrast(lexemes))
    for _ in range(4):
        place = _repair_at(found)
        if place is None:
            break
        start, end = place
        found = _applied(found[:start], found[end:])
    return Repaired(found, retracts)


def _with_enough(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "raise it by 2 dB… hmm, 1 dB is enough" as 1 dB."""
    for index, item in enumerate(lexemes):
        said = [found for found in lexemes[index + 1 : index + 4] if not found.has("filler")]
        if not (item.number and said and said[0].text in {"enough", "plenty"}):
            continue
        for place in range(index - 1, -1, -1):
            old = lexemes[place].number
            if old and old.unit == item.number.unit and old.signed == item.number.signed:
                end = lexemes.index(said[0], index) + 1
                return [*lexemes[:place], item, *lexemes[place + 1 : index], *lexemes[end:]]
    return lexemes


def _says(items: list[Lexeme]) -> bool:
    """Whether words ask for something, apart from what "not" takes back."""
    return any(item.number or any(item.has(k) for k in _CONTENT) for item in items) and not any(
        item.has("not") for item in items
    )


def _repair_at(lexemes: list[Lexeme]) -> tuple[int, int] | None:
    """Returns where words of repair ("… no wait, …") stand between two contents."""
    for start in range(1, len(lexemes)):
        end, last = start, min(start + FARTHEST, len(lexemes))
        while end < last and _may_repair(lexemes[end]):
            end += 1
        run = lexemes[start:end]
        pauses = bool(run) and (bool(run[0].mark) or run[0].text in _REFUSING)
        made = [item.text for item in lexemes[end : end + 2]]
        if pauses and made in _MAKE_THAT:
            refused = any(item.text in _REFUSING for item in run)
            if refused or made == _MAKE_THAT[0]:
                return (start, end + 2) if end + 2 < len(lexemes) else None
        if not run or end == len(lexemes):
            continue
        before = lexemes[:start]
        if not (_is_repair(run, lexemes[end:]) or _corrects_number(before, run, lexemes[end:])):
            continue
        if any(
            item.number or (any(item.has(k) for k in _CONTENT) and not item.has("decline"))
            for item in before
        ):
            return start, end
    return None


def _may_repair(item: Lexeme) -> bool:
    return bool(item.mark) or item.text in _STRONG or item.text in _WEAK


def _corrects_number(before: list[Lexeme], run: list[Lexeme], after: list[Lexeme]) -> bool:
    """Whether another number takes the place of one: "up 3 no 4 dB", "…, actually 20"."""
    words = [item.text for item in run if not item.mark]
    said = next((item for item in after if not (item.has("by") or item.has("to"))), after[0])
    if not words or words[0] not in _REFUSING or said.number is None:
        return False
    ends = next((item for item in after[after.index(said) + 1 :] if not item.has("filler")), None)
    numbered = any(item.number for item in before[_start_of_last(before) :])
    alone = ends is None or bool(ends.mark) or ends.has("and")
    return numbered and (alone or bool(before[-1].number))


def _is_repair(run: list[Lexeme], after: list[Lexeme]) -> bool:
    following = after[0]
    words = [item.text for item in run if not item.mark]
    if not words or "not" in words:
        return False
    if following.has("not"):
        return False
    if words[:2] == ["or", "no"]:
        return True
    strong = [word for word in words if word in _STRONG]
    if strong:
        # "better", "rather" and "sorry" repair only between pauses.
        mild = {"better", "rather", "sorry", "oops", "i said"}
        if words[0] in _REFUSING - {"actually"} and len(words) > 1:
            return True  # "up five no sorry three dB"
        return not set(strong) <= mild or (bool(run[0].mark) and words != ["better"])
    emphatic = len(words) > 1 and words[0] == "no"
    if emphatic and words[1] == "actually":
        return True  # "the bass is too loud no actually the drums are"
    # "louder, no, quieter": a "no" between pauses, or "louder, no actually quieter".
    if not run[0].mark or "no" not in words:
        return False
    if words == ["no"] and following.text == "the" and _is_bare_name(after[1:]):
        return True  # "reverb on the drums, no the vocals"
    return emphatic or (words[-1] == "no" and (bool(run[-1].mark) or bool(following.number)))


def _is_bare_name(items: list[Lexeme]) -> bool:
    end = next((i for i, item in enumerate(items) if item.mark), len(items))
    return end > 0 and all(
        is_filler(item) or any(item.has(kind) for kind in NAMED_KINDS) for item in items[:end]
    )


def _applied(before: list[Lexeme], after: list[Lexeme]) -> list[Lexeme]:
    """Puts the repair in place of what it corrects."""
    end = next((i for i, item in enumerate(after) if item.mark or item.has("and")), len(after))
    repair, rest = after[:end], after[end:]
    clause = Clause(tuple(repair))
    names = any(any(item.has(kind) for kind in NAMED_KINDS) for item in repair)
    acts = clause.has_action or clause.any_of(("set", "add", "give", "only"))
    if clause.numbers() and not names and not acts:
        return _with_number(before, repair) + rest
    if names and not acts and not clause.numbers():
        return _with_names(before, repair) + rest
    if not names and not clause.has("pronoun"):
        return _with_action(before, repair) + rest
    return [*before[: _start_of_last(before)], *repair, *rest]


def _with_number(before: list[Lexeme], repair: list[Lexeme]) -> list[Lexeme]:
    said = next(item for item in repair if item.number)
    for index in range(len(before) - 1, -1, -1):
        old = before[index].number
        if old is None:
            continue
        assert said.number is not None
        number = replace(said.number, unit=said.number.unit or old.unit)
        if old.signed and not number.signed:
            sign = -1 if old.value < 0 else 1
            number = replace(number, value=sign * abs(number.value), signed=True)
        return [*before[:index], Lexeme(said.text, number=number), *before[index + 1 :]]
    return [*before, *repair]


def _with_names(before: list[Lexeme], repair: list[Lexeme]) -> list[Lexeme]:
    """Replaces the name said last."""
    for index in range(len(before) - 1, -1, -1):
        if any(before[index].has(kind) for kind in NAMED_KINDS):
            return [*before[:index], *repair, *before[index + 1 :]]
    return [*before, *repair]


def _with_action(before: list[Lexeme], repair: list[Lexeme]) -> list[Lexeme]:
    """Keeps of the last instruction only what it is about: "vocals louder, no wait, quieter"."""
    start = _start_of_last(before)
    names = [
        item
        for item in before[start:]
        if any(item.has(kind) for kind in (*NAMED_KINDS, "pronoun", "region"))
    ]
    kept: list[Lexeme] = []
    for item in names:
        kept += [Lexeme("and", (("and", "and"),))] if kept else []
        kept.append(item)
    graded = any(item.has("small") or item.has("big") for item in repair)
    numbers = [] if graded else [item for item in before[start:] if item.number]
    if not any(item.number for item in repair) and any(
        item.has(kind) for item in repair for kind in ("up", "down")
    ):
        repair = [*repair, *numbers]
    return [*before[:start], *kept, *repair]


def _start_of_last(before: list[Lexeme]) -> int:
    """Returns where the last instruction begins."""
    end = len(before)
    while end and (before[end - 1].mark or before[end - 1].has("filler")):
        end -= 1
    for index in range(end - 1, 0, -1):
        item = before[index]
        if not (item.mark or item.has("and") or item.has("but")):
            continue
        following = [found for found in before[index + 1 : end] if not is_filler(found)]
        if following and (
            is_verb(following[0])
            or Clause(tuple(following)).has_action
            or Clause(tuple(following)).numbers()
        ):
            return index + 1
    return 0


def _without_contrast(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops what is only told apart: "by 2, not 5", "cut not boost", "5 dB instead of 3"."""
    kept: list[Lexeme] = []
    index = 0
    while index < len(lexemes):
        item = lexemes[index]
        opens = item.text == "not" or item.text in {"instead of", "rather than", "in place of"}
        length = _contrasted(lexemes, index) if opens else 0
        if length:
            while kept and kept[-1].mark == ",":
                kept.pop()
            index += length
            continue
        kept.append(item)
        index += 1
    return kept


def _contrasted(lexemes: list[Lexeme], start: int) -> int:
    """Returns how many words a contrast takes, 0 where there is none."""
    end = start + 1
    while end < len(lexemes) and (is_filler(lexemes[end]) and not lexemes[end].number):
        end += 1
    if end >= len(lexemes):
        return 0
    said = lexemes[max(0, start - LONGEST) : start]
    word, before = lexemes[end], [item for item in said if not item.mark]
    while end + 1 < len(lexemes) and lexemes[end + 1].has("filler"):
        end += 1
    before = [item for item in before if not item.has("decline")]
    following = lexemes[end + 1 : end + 2]
    ends = not following or bool(following[0].mark) or following[0].text in _STRONG
    ends = ends or following[0].has("but")
    if not ends:
        return 0
    if word.number and any(item.number for item in before):
        return end + 1 - start
    directed = any(word.has(kind) for kind in _DIRECTIONS)
    if directed and before and any(before[-1].has(kind) for kind in _DIRECTIONS):
        return end + 1 - start
    names = any(word.has(kind) for kind in ("target", "six", *INSTRUMENT_KINDS))
    instead = [item for item in lexemes[end + 2 : end + 4] if not item.has("filler")][:1]
    if names and not before and following and following[0].has("but"):
        # "not the vocals but the drums need to be louder"
        named = any(item.has("target") or item.has("six") for item in instead)
        return end + 2 - start if named else 0
    meant_after = any(item.text in MEANT for item in lexemes[end + 1 : end + 4])
    meant_before = any(item.text in MEANT for item in before)
    renamed = bool(following and following[0].mark) and any(
        any(item.has(kind) for kind in ("target", "six")) for item in lexemes[end + 2 : end + 4]
    )
    if names and (meant_after or meant_before or (renamed and not before)):
        return end + 1 - start
    return 0

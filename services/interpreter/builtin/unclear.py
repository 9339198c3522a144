"""Clauses that leave open what is meant: comparisons, choices, conditions, what is only wrong."""

from __future__ import annotations

from itertools import pairwise

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import EFFECT_KINDS, NAMED_KINDS, Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.language.word_classes import COPULAS


def check_clear(clause: Clause, named: Named) -> None:
    """Checks that a clause does not leave to guess what is to be done.

    Raises:
        UnclearError: it does.
    """
    if _compares(clause) and not clause.has("pronoun", "same"):
        first = next((target for target in named.targets if target != MASTER), "")
        part = f" should the {first} go" if first else ""
        raise UnclearError(f"I can't compare levels by ear. By how many dB{part}, up or down?")
    if clause.has("pronoun", "same") and clause.has("volume") and clause.numbers():
        raise UnclearError("The same volume, or another one?")
    if clause.has("leave") and clause.lexemes[-1].text in {"out of this", "out of it"}:
        raise UnclearError("Should it go, or stay as it is?")
    if _is_spread(clause, named):
        raise UnclearError("That part itself, or all parts?")
    if _tells_of_mistake(clause):
        raise UnclearError("What should it be instead?")
    if _is_about_nothing(clause, named):
        raise UnclearError("What should I do, then?")
    if _is_to_stop(clause):
        raise UnclearError("None at all, or only no more than there is?")
    if _is_moved_away(clause):
        raise UnclearError("Where should it go: out of the song, or to a side?")
    if _counts_shares(clause):
        raise UnclearError("What should I do with them?")
    if _counts_parts(clause):
        raise UnclearError("Which one do you mean?")
    if clause.has("or") and not clause.text.endswith("or"):
        choices = " or ".join(f"the {target}" for target in named.targets if target != MASTER)
        raise UnclearError(f"Which one: {choices}?" if " or " in choices else "Which one of them?")


def _is_spread(clause: Clause, named: Named) -> bool:
    """Whether a part is named on all parts: "mute the bass on everything"."""
    place = clause.index("group", "all")
    stems = [target for target in named.targets if target != MASTER]
    if place < 1 or named.group != "all" or named.excluded or len(stems) != 1:
        return False
    said = clause.lexemes[place].text
    placed = clause.lexemes[place - 1].has("in") or said in {"everywhere", "on everything"}
    return placed and not clause.any_of(EFFECT_KINDS) and not clause.any_of(("except", "separate"))


def _tells_of_mistake(clause: Clause) -> bool:
    """Whether something is told to be wrong: "the reverb is on the wrong thing"."""
    wrong = any(i.text.startswith("wrong") and not i.has("opposite") for i in clause.lexemes)
    return wrong and (clause.has_action or clause.any_of(("set", "add")))


def _is_about_nothing(clause: Clause, named: Named) -> bool:
    """Whether nothing is to be changed: "turn nothing down"."""
    place = clause.index("none")
    led = place > 0 and clause.lexemes[place - 1].has("to")  # "turn it down to nothing"
    if led:
        return clause.has("down") and not clause.any_of(EFFECT_KINDS)
    return (
        place > 0
        and clause.lexemes[place].text == "nothing"
        and named.is_empty
        and not named.pronoun
        and clause.any_of(("up", "down"))
    )


def _is_to_stop(clause: Clause) -> bool:
    """Whether a part is told to be enough: "no more bass", "enough reverb"."""
    said = [item for item in clause.lexemes if not item.has("filler")]
    stops = len(said) > 1 and said[0].text in {"no", "enough"}
    if not stops or (said[0].text == "no" and not said[1].has("more")):
        return False
    if clause.numbers() or (said[0].text == "no" and clause.any_of(EFFECT_KINDS)):
        return False  # "no more reverb" takes it away
    return said[0].text == "enough" or clause.any_of(NAMED_KINDS)


def _is_moved_away(clause: Clause) -> bool:
    """Whether a part is to leave what is no song: "get the drums out of my face"."""
    place = next((i for i, item in enumerate(clause.lexemes) if item.text in _AWAY), 0)
    if not place or clause.lexemes[place].has("remove") or clause.lexemes[place].has("less"):
        return False
    before, after = clause.lexemes[:place], clause.lexemes[place + 1 :]
    named = any(item.has(kind) for item in before for kind in ("target", "six", "pronoun"))
    brings = any(item.text in _BRINGING for item in before)
    if any(item.text.startswith("com") for item in before):
        return False  # "I want the drums to come out of the left speaker"
    said = next((item for item in after if not item.has("filler", "article")), None)
    return named and brings and (said is None or not any(said.has(kind) for kind in _WHOLE))


_BRINGING = {"get", "keep", "have", "want", "i want", "need"}
_AWAY = {"out of", "off of", "out of the"}
_WHOLE = ("target", "six", "group", "file", "reverb", "compression", "tone", "region")
"""What something can be taken out of."""


def _counts_shares(clause: Clause) -> bool:
    """Whether something is only counted: "3 out of 4 stems sound good", "half of it is gone"."""
    items = [item for item in clause.lexemes if not item.has("filler", "article")]
    for index, item in enumerate(items[:-2]):
        between, following = items[index + 1], items[index + 2]
        if item.number and between.text in {"out of", "of"} and following.number:
            return True
        counts = item.has("half") or (item.number is not None and not item.number.unit)
        named = any(between.has(kind) for kind in (*NAMED_KINDS, "of"))
        if index == 0 and counts and named and following.text.split()[0] in COPULAS:
            return True
    return False


def _counts_parts(clause: Clause) -> bool:
    """Whether a part is told by its place in what was said: "the first one louder"."""
    return any(
        item.text in {"first", "second", "former", "latter"} and following.has("pronoun", "one")
        for item, following in pairwise(clause.lexemes)
    )


def _compares(clause: Clause) -> bool:
    """Whether a target is measured by another: "as loud as the drums", "louder than the drums"."""
    if clause.has("than"):
        return True
    if clause.any_of(("half", "double")) and clause.any_of(("reverb", "compression", "echo")):
        return False  # "half as much reverb as the drums have"
    for index, item in enumerate(clause.lexemes[:-1]):
        if item.text != "as":
            continue
        following = next((i for i in clause.lexemes[index + 1 :] if not is_filler(i)), None)
        names = following is not None and (following.has("target") or following.has("six"))
        if index > 0 and clause.lexemes[index + 1].has("before"):
            return True  # "as loud as before"
        if clause.lexemes[index + 1].text in {"a", "one"}:
            continue  # "bounced as a single track"
        if index > 0 and names:
            return True
    return False

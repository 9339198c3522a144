"""What a clause says is not to be: left alone, not muted, not wanted any more."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import RECEIVING


def is_left_alone(clause: Clause, named: Named) -> bool:
    """Whether a clause only says what is to stay: "leave the bass alone", "not the vocals"."""
    if clause.has("leave", "unneeded"):
        return not named.is_empty or clause.has_action  # "no need to make the vocals louder"
    silent = any(item.text in {"muted", "silent", "off"} for item in clause.lexemes)
    if clause.has("leave") and silent and not named.is_empty:
        return True  # "but keep the bass muted"
    if clause.has("leave") and not clause.any_of(("remove", "only", "mute", "off")):
        stays = any(item.text in {"stay", "stays", "remain", "remains"} for item in clause.lexemes)
        wants_state = clause.any_of(("up", "down", "tone", "side", "small")) and clause.has("set")
        wants_state = wants_state and not stays  # "make sure the bass stays quiet"
        wants_state = wants_state or any(number.signed for number in clause.numbers())
        return not wants_state
    if clause.has("leave") and clause.has("remove") and "out" not in clause.text.split():
        return True
    if clause.has("not") and amounts.is_negated(clause):
        return not clause.any_of(("need", "leave")) and not _is_unwanted(clause)
    return (
        clause.has("not")
        and not clause.has_action
        and not named.is_empty
        and not _is_unwanted(clause)
    )


def is_same_part(clause: Clause) -> bool:
    """Whether a part is to stay as it is: "more drums, less bass, same vocals"."""
    said = [item for item in clause.lexemes if not item.has("filler", "article")]
    return (
        len(said) == 2 and said[0].text == "same" and (said[1].has("target") or said[1].has("six"))
    )


def is_not_muted(turn: Turn, clause: Clause, named: Named) -> bool:
    """Whether what is muted is not to be: "I don't need the vocals muted after all"."""
    muted = any(turn.mix[target].muted for target in named.targets)
    return muted and clause.has("mute") and clause.has("not") and clause.any_of(("give", "need"))


_BACK_IN = {"in there", "in it", "again", "back", "in", "after all", "back in"}


def wants_back(turn: Turn, clause: Clause, named: Named) -> bool:
    """Whether what is muted is wanted after all: "I do want the vocals in there"."""
    meant = named.targets
    if named.is_empty and named.pronoun in {"it", "that", "them"}:
        meant = turn.last_named or turn.mentioned or turn.conversation.touched()
    muted = bool(meant) and all(turn.mix[target].muted for target in meant)
    wants = any(item.text in RECEIVING for item in clause.with_kind("give"))
    inside = any(item.text in _BACK_IN for item in clause.lexemes)
    return muted and wants and inside and not clause.any_of(("not", "only", "file", "mute"))


_TAKEN = {"removed", "muted", "gone", "taken out", "deleted", "silenced", "turned off", "touched"}


def _is_unwanted(clause: Clause) -> bool:
    """Whether "not" says to take something out: "I don't want the drums"."""
    place = clause.index("not")
    if any(item.text in _TAKEN for item in clause.lexemes[place + 1 :]):
        return False  # "I don't want the vocals removed"
    following = clause.lexemes[place + 1 : place + 2]
    return bool(following) and following[0].text in {
        "want",
        "need",
        "have",
        "hear",
        "wanna hear",
        "want to hear",
    }


NO = Lexeme("no", (("remove", "remove"),))
"""Says that something is to go."""


def without_unwanted(clause: Clause) -> Clause:
    """Reads "I don't want the drums compressed" as "no compression on the drums"."""
    place = clause.index("not")
    if place < 0 or not (_is_unwanted(clause) and clause.any_of(("reverb", "compression"))):
        return clause
    if clause.any_of(("small", "big", "more", "less", "toomuch", "up", "down")):
        return clause
    kept = (*clause.lexemes[:place], NO, *clause.lexemes[place + 2 :])
    return replace(clause, lexemes=kept)

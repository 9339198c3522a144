"""Answers to a proposal: "yes please", "ok give me that one", "no thanks", "yes, but only 2 dB"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mixdown.mix import MASTER, Mix
from services.interpreter import replies
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.builtin.named import named_in
from services.interpreter.edits import apply_edits, difference
from services.interpreter.intent import (
    Adjustment,
    ClarificationReason,
    Context,
    Edit,
    Proposal,
    Remix,
    Separation,
)
from services.interpreter.language.lexemes import Lexeme

_PRAISE_THAT_AGREES = {
    "sounds good", "perfect", "great", "good", "cool", "awesome", "wonderful", "excellent",
    "lovely", "sweet", "sounds great", "fantastic", "like it", "i like it", "nice", "amazing",
}  # fmt: skip
_TAKING = {
    "give",
    "get",
    "take",
    "have",
    "want",
    "need",
    "hear",
    "play",
    "send",
    "do",
    "hand",
    "show",
    "use",
    "download",
    "export",
}


@dataclass(frozen=True)
class Answer:
    """What an answer to a proposal means: an intent, or a clarification."""

    intent: Separation | Remix | None
    mix: Mix
    reason: ClarificationReason = "greeting"
    reply: str = ""
    confidence: float = 0.95


def answer_proposal(lexemes: list[Lexeme], context: Context) -> Answer | None:
    """Reads an answer to the proposal; None where the prompt says something of its own."""
    words = [item for item in lexemes if not item.mark]
    if not words:
        return None
    rest = [item for item in words if not _is_agreement(item) and not _is_small_talk(item)]
    agrees = any(item.has("accept") or item.has("ok") for item in words)
    declines = _declines(words)
    proposal = context.proposal
    if declines and all(item.has("decline") or item.has("filler") for item in rest):
        return Answer(None, context.mix, "greeting", replies.declined())
    if proposal is None:
        if agrees and any(item.has("accept") for item in words) and not rest:
            return Answer(None, context.mix, "ambiguous", replies.nothing_proposed())
        return None
    if declines:
        return None
    takes = _is_taking(rest)
    praised = any(item.text in _PRAISE_THAT_AGREES for item in words)
    thanked = any(item.has("greeting", "thanks", "bye") for item in words)
    if (
        not rest
        and (agrees or praised)
        and not (thanked and not any(i.has("accept") for i in words))
    ):
        return Answer(proposal.intent, proposal.mix)
    if takes and (agrees or _points_at_it(words)):
        return Answer(proposal.intent, proposal.mix)
    if not _is_explicit(words):
        return None
    return _modified(words, rest, proposal, context) or _widened(rest, proposal, context)


def accepted_with_more(lexemes: list[Lexeme], context: Context) -> list[Lexeme] | None:
    """Returns what is wanted besides a proposal that is taken: "yes, and mute the bass".

    Returns:
        The words after the agreement; None where the proposal is not taken, or nothing follows.
    """
    if context.proposal is None:
        return None
    words = [item for item in lexemes if not item.mark]
    if not words or not _is_explicit(words) or _declines(words):
        return None
    rest = list(lexemes)
    while rest and (_opens_answer(rest[0]) or rest[0].mark):
        rest.pop(0)
    clause = Clause(tuple(rest))
    if not clause.any_of((*ACTION_KINDS, "add", "give", "set")):
        return None
    return rest if _comes_on_top(context.proposal, clause) else None


def _opens_answer(item: Lexeme) -> bool:
    return (
        _is_agreement(item)
        or item.has("and")
        or item.has("but")
        or (item.has("greeting"))
        or (item.has("filler") and not item.has("pronoun"))
    )


def _comes_on_top(proposal: Proposal, clause: Clause) -> bool:
    """Whether more is asked than a change of the amount of what was proposed."""
    if not isinstance(proposal.intent, Remix):
        return True
    loudness = {"gain_db"} == {edit.setting for edit in proposal.intent.edits}
    varies = clause.any_of(("up", "down", "half", "double", "more", "less", "toomuch"))
    return clause.any_of((*EFFECT_KINDS, "mute", *NAMED_KINDS)) or not (loudness and varies)


def _is_agreement(item: Lexeme) -> bool:
    return item.has("accept") or item.has("ok")


def _is_small_talk(item: Lexeme) -> bool:
    return (
        item.has("greeting")
        or (item.has("filler") and not item.has("target"))
        or item.text in {"too", "also", "then", "so", "and", "do"}
    )


def _declines(words: list[Lexeme]) -> bool:
    meaningful = [item for item in words if not item.has("filler") and not item.has("greeting")]
    return bool(meaningful) and meaningful[0].has("decline")


def _is_taking(rest: list[Lexeme]) -> bool:
    """Whether all that is said besides "ok" takes what was proposed: "give me that one"."""
    if not rest:
        return False
    return all(
        item.text in _TAKING
        or item.has("pronoun", "one", "that", "it", "them")
        or item.has("also")
        or item.has("only")
        or item.has("instead")
        or is_filler(item)
        or item.has("set")
        for item in rest
    )


def _points_at_it(words: list[Lexeme]) -> bool:
    takes = any(item.text in _TAKING for item in words)
    return takes and any(item.has("pronoun", "one", "that", "it", "them") for item in words)


def _is_explicit(words: list[Lexeme]) -> bool:
    return any(item.has("accept") for item in words[:2]) or (
        words[0].has("ok") and any(item.has("but") or item.has("and") for item in words[1:3])
    )


def _widened(rest: list[Lexeme], proposal: Proposal, context: Context) -> Answer | None:
    """Reads "yes, and the vocals as well": the proposal for one more stem."""
    joins = any(item.has("and") or item.has("also") for item in rest)
    named = named_in(Clause(tuple(rest)), context.stems)
    plain = all(
        is_filler(item)
        or any(item.has(kind) for kind in ("and", "also", "target", "six", "pronoun", "give"))
        for item in rest
    )
    stems = tuple(stem for stem in named.targets if stem != MASTER)
    if not (joins and plain and stems) or not isinstance(proposal.intent, Separation):
        return None
    intent = proposal.intent
    if intent.without:
        intent = replace(intent, without=tuple(dict.fromkeys((*intent.without, *stems))))
    else:
        intent = replace(intent, stems=tuple(dict.fromkeys((*intent.stems, *stems))))
    return Answer(intent, context.mix)


def _modified(
    words: list[Lexeme], rest: list[Lexeme], proposal: Proposal, context: Context
) -> Answer | None:
    """Reads "yes, but only by 2 dB": the proposal with another number."""
    del words
    clause = Clause(tuple(rest))
    if not isinstance(proposal.intent, Remix) or clause.any_of((*EFFECT_KINDS, *NAMED_KINDS)):
        return None
    if clause.any_of(("up", "down")) and not clause.numbers() and not clause.any_of(("mute",)):
        return Answer(None, context.mix, "ambiguous", replies.how_much_instead(), 0.5)
    if clause.any_of(tuple(set(ACTION_KINDS) - {"more", "less", "double"})):
        return None
    edits = proposal.intent.edits or difference(context.mix, proposal.mix)
    changed = [_scaled(edit, clause, context.mix) for edit in edits]
    if changed == list(edits):
        return None
    intent = replace(proposal.intent, edits=tuple(changed))
    return Answer(intent, apply_edits(context.mix, changed).mix)


def _scaled(edit: Edit, clause: Clause, before: Mix) -> Edit:
    if edit.setting != "gain_db" or not isinstance(edit.change, Adjustment):
        return edit
    value = edit.change.value
    step = value if edit.change.relative else value - before[edit.target].gain_db
    sign = -1 if step < 0 else 1
    numbers = clause.numbers("db") or clause.numbers("")
    if numbers:
        return replace(edit, change=Adjustment(sign * abs(numbers[0].value), True))
    if clause.has("small") or clause.has("half", "half"):
        return replace(edit, change=Adjustment(step / 2, True))
    if clause.has("big") or clause.has("double", "double"):
        return replace(edit, change=Adjustment(step * 2, True))
    return edit

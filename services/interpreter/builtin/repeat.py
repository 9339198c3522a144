"""References to an earlier change: "more", "the same on the bass", "too much", "the drums too"."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER, EqBand
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.conversation import Past, direction_of
from services.interpreter.builtin.effects import NOT_SO_FAR, UnclearError
from services.interpreter.builtin.evidence import check_repeated, has_own_content
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.replacing import read_new_value, read_removal
from services.interpreter.builtin.revising import read_revision
from services.interpreter.builtin.same_amount import read_same_amount
from services.interpreter.builtin.turn import Turn
from services.interpreter.builtin.varying import AMOUNTS, last_change, read_step, vary
from services.interpreter.edits import difference
from services.interpreter.intent import (
    Adjustment,
    CompressionChange,
    Edit,
    Exchange,
    Remix,
    Separation,
)
from services.interpreter.language.lexemes import Lexeme, Number
from services.interpreter.language.word_classes import RECEIVING


def read_reference(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that only varies an earlier change; False for any other clause."""
    if named.instruments:
        return False
    if read_revision(turn, clause, named) or _read_both(turn, clause, named):
        return True
    if read_same_amount(turn, clause, named):
        return True
    if read_new_value(turn, clause, named) or read_removal(turn, clause, named):
        return True
    if read_step(turn, clause, named):
        return True
    limited = clause.has("pronoun", "same") and len(clause.numbers()) == 1
    limited = limited and (clause.has("only") or bool(named.targets))
    if has_own_content(clause.without(lambda item: limited and bool(item.number))):
        return False
    if clause.has("pronoun", "same") or _is_also(clause, named) or clause.has("instead"):
        return _read_same(turn, clause, named)
    if named.targets and clause.any_of(("more", "less")) and _is_on_target(clause):
        past = last_change(turn)
        if past.edits and past.edits[-1].setting != "gain_db":
            moved = Remix(
                tuple(replace(edit, target=t) for t in named.targets for edit in _unique(past))
            )
            sign = -1 if clause.has("less") else 1
            return vary(turn, clause, replace(past, intent=moved), sign=sign, share=1.0)
        return False
    if named.group or named.targets:
        return False
    if clause.any_of(("toomuch", "enough")) or _is_not_so_much(clause):
        return vary(
            turn,
            clause.without(lambda item: item.text in _NOT_SO_MUCH),
            last_change(turn),
            sign=1 if amounts.is_insufficient(clause) else -1,
            share=1.0 if amounts.is_insufficient(clause) else 0.5,
        )
    if clause.any_of(("more", "even", "less")) or clause.text in {"again", "once more"}:
        repeated = clause.text.strip() in {
            "again",
            "once more",
            "once again",
            "do it again",
            "one more time",
            "do that again",
        }
        if (
            clause.has("even")
            and not clause.any_of(("more", "less"))
            and not repeated
            and not clause.has("set")
            and not {"again", "more"} & set(clause.text.split())
        ):
            return False
        past = last_change(turn)
        if clause.has("less") and not clause.has("pronoun") and _only_lowered(past):
            raise UnclearError("Less of what I took away, or still quieter?")
        return vary(turn, clause, past, sign=-1 if clause.has("less") else 1, share=1.0)
    return False


def _only_lowered(past: Past) -> bool:
    """Whether the last change only made something quieter."""
    edits = past.edits
    return bool(edits) and all(
        edit.setting == "gain_db" and direction_of(edit.change) < 0 for edit in edits
    )


_NOT_SO_MUCH = NOT_SO_FAR | {
    "not that much", "not so much", "not quite that much", "not quite so much",
}  # fmt: skip


def _is_not_so_much(clause: Clause) -> bool:
    """Whether all that is said is that the last change was too much."""
    return any(item.text in _NOT_SO_MUCH for item in clause.lexemes) and _opens_prompt(clause)


def _is_on_target(clause: Clause) -> bool:
    """Whether a target is where something is: "less on the drums"."""
    place = next((i for i, item in enumerate(clause.lexemes) if _is_stem(item)), 0)
    before = [item for item in clause.lexemes[:place] if not item.has("filler")]
    return bool(before) and before[-1].has("in")


def _is_stem(item: Lexeme) -> bool:
    return item.has("target") or item.has("six")


def _unique(past: Past) -> list[Edit]:
    source = past.edits[-1].target
    return [edit for edit in past.edits if edit.target == source]


def _read_both(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "lower the vocals and raise the drums, both by 3 dB": one amount for all of it."""
    numbers = clause.numbers()
    if not turn.edits or named.pronoun not in {"both", "them"} or len(numbers) != 1:
        return False
    if not named.is_empty or has_own_content(clause.without(lambda item: bool(item.number))):
        return False
    edits = [_limited(edit, numbers[0]) for edit in turn.edits]
    turn.edits.clear()
    turn.mix = turn.context.mix
    turn.add_edits(edits)
    return True


def _is_also(clause: Clause, named: Named) -> bool:
    also = clause.has("also") or (clause.has("too") and not amounts.degree_too(clause))
    starts = [item for item in clause.lexemes if not item.mark]
    opener = bool(starts) and starts[0].text in {"how about", "what about", "now"}
    return (
        bool(named.targets)
        and (also or opener or (clause.joiner == "and" and _opens_prompt(clause)))
        and not clause.any_of(("only", "add"))
        and (not clause.has("give") or _wants_it_there(clause))
    )


def _wants_it_there(clause: Clause) -> bool:
    """Whether "I want that on the drums as well" repeats a change instead of asking for a stem."""
    wants = all(item.text in RECEIVING for item in clause.with_kind("give"))
    placed = _is_on_target(clause) or clause.is_target_first  # "can the bass get that too"
    return wants and clause.has("pronoun", "that", "it", "same") and placed


def _opens_prompt(clause: Clause) -> bool:
    """Whether this clause opens the prompt: "and the drums"."""
    return clause.previous is None


def _read_same(turn: Turn, clause: Clause, named: Named) -> bool:
    check_repeated(clause)
    stems = named.targets
    if turn.edits:
        edits = turn.last_edits()
        targets = stems or turn.last_named
        turn.add_edits(replace(edit, target=t) for t in targets for edit in edits)
        turn.name(targets)
        return True
    if turn.stems or turn.without:
        into = turn.without if turn.without else turn.stems
        into += [stem for stem in stems if stem not in into and stem != MASTER]
        turn.name(stems)
        return True
    past = _corrected(turn, clause) or last_change(turn)
    if not stems:
        if named.group in {"all"}:
            stems = (MASTER,)
        elif named.group == "rest":
            stems = turn.everything_but(past.targets)
        elif clause.any_of(("even",)) or (clause.has("pronoun", "same") and "again" in clause.text):
            return vary(turn, clause, past, sign=1, share=1.0)
        else:
            raise UnclearError("The same for which part?")
    known = len(turn.edits)
    done = _repeat(turn, past, stems, instead=clause.has("instead"))
    if clause.numbers():
        edits = [_limited(edit, clause.numbers()[0]) for edit in turn.edits[known:]]
        turn.mix = turn.context.mix if not known else turn.mix
        del turn.edits[known:]
        turn.add_edits(edits)
    return done


def _limited(edit: Edit, number: Number) -> Edit:
    """Returns a repeated change with another amount: "the same, but only 10%"."""
    share = amounts.share_of_one(number)
    match edit.change:
        case Adjustment() if edit.setting in {*AMOUNTS, "pan"} and share is not None:
            sign = -1 if edit.change.value < 0 else 1
            return replace(edit, change=Adjustment(sign * share, False))
        case Adjustment(value, relative) if number.unit in {"db", "semitone", ""}:
            sign = -1 if value < 0 else 1
            return replace(edit, change=Adjustment(sign * abs(number.value), relative))
        case EqBand() as band if number.unit in {"db", ""}:
            sign = -1 if band.gain_db < 0 else 1
            return replace(edit, change=replace(band, gain_db=sign * abs(number.value)))
        case _:
            raise UnclearError("How much should that be?")


def _corrected(turn: Turn, clause: Clause) -> Past | None:
    """Where "no, the drums" answers a proposal, it means the proposal on another stem."""
    proposal = turn.context.proposal
    if proposal is None or not clause.has("instead"):
        return None
    edits = difference(turn.context.mix, proposal.mix)
    intent = Remix(edits) if isinstance(proposal.intent, Remix) else proposal.intent
    return Past(Exchange("", "clarification"), intent)


def _settled(turn: Turn, edit: Edit) -> Edit:
    """Copies the level that came of "more compression", not the step."""
    settings = turn.mix[edit.target]
    match edit.change:
        case CompressionChange(level=None):
            return replace(edit, change=CompressionChange(settings.compression))
        case Adjustment(_, True) if edit.setting in {*AMOUNTS, "pan", "width"}:
            value = getattr(settings, edit.setting)
            return replace(edit, change=Adjustment(value, False))
        case _:
            return edit


def _repeat(turn: Turn, past: Past, stems: tuple[str, ...], *, instead: bool) -> bool:
    match past.intent:
        case Separation(handed, without):
            if without:
                known = () if instead else without
                turn.without += [
                    s for s in (*known, *stems) if s != MASTER and s not in turn.without
                ]
            else:
                del handed
                turn.stems += [s for s in stems if s != MASTER and s not in turn.stems]
        case Remix(edits) if edits:
            source = edits[-1].target
            chosen = [_settled(turn, edit) for edit in edits if edit.target == source]
            if instead and past.exchange.kind != "clarification":
                previous = turn.conversation.previous_mix()
                turn.context = previous
                turn.mix = previous.mix
                turn.edits.clear()
            for stem in stems:
                if stem != source or instead:
                    turn.add_edits(replace(edit, target=stem) for edit in chosen)
        case _:
            raise UnclearError("The same as what?")
    turn.name(stems)
    return True

"""References to an earlier change: "more", "the same on the bass", "too much", "the drums too"."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER, RANGES, EqBand, Filter
from services.interpreter.builtin import amounts
from services.interpreter.builtin.clauses import ACTION_KINDS, Clause, is_filler
from services.interpreter.builtin.conversation import Past
from services.interpreter.builtin.effects import (
    UnclearError,
)
from services.interpreter.builtin.evidence import check_repeated
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.revising import read_revision
from services.interpreter.builtin.same_amount import read_same_amount
from services.interpreter.builtin.turn import Turn
from services.interpreter.builtin.varying import AMOUNTS, last_change, read_step, vary
from services.interpreter.edits import difference, is_same_band
from services.interpreter.intent import (
    Adjustment,
    Clearing,
    CompressionChange,
    Edit,
    Exchange,
    Remix,
    Separation,
)
from services.interpreter.language.lexemes import Lexeme, Number

_REFERRING = (
    "pronoun", "more", "less", "even", "toomuch", "enough", "also", "small", "big", "instead",
    "too",
    "set", "add", "not", "give", "need", "accept", "only", "before", "effects", "like", "with",
    "hard", "light",
)  # fmt: skip


def read_reference(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that only varies an earlier change; False for any other clause."""
    if named.instruments:
        return False
    if read_revision(turn, clause, named) or _read_both(turn, clause, named):
        return True
    if read_same_amount(turn, clause, named):
        return True
    if _read_new_value(turn, clause, named) or _read_removal(turn, clause, named):
        return True
    if read_step(turn, clause, named):
        return True
    limited = clause.has("pronoun", "same") and clause.has("only") and len(clause.numbers()) == 1
    if _has_own_content(clause.without(lambda item: limited and bool(item.number))):
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
            share=0.5,
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
        return vary(
            turn, clause, last_change(turn), sign=-1 if clause.has("less") else 1, share=1.0
        )
    return False


_NOT_SO_MUCH = {"not that much", "not so much", "not quite that much", "not quite so much"}


def _is_not_so_much(clause: Clause) -> bool:
    """Whether all that is said is that the last change was too much."""
    return any(item.text in _NOT_SO_MUCH for item in clause.lexemes) and _opens_prompt(clause)


def _has_own_content(clause: Clause, besides: tuple[str, ...] = ()) -> bool:
    own = set(ACTION_KINDS) - set(besides) - {"more", "less", "even", "enough", "toomuch", "vague"}
    if (
        clause.any_of(tuple(own))
        or clause.numbers()
        or clause.any_of(("volume", "half", "max", "min"))
    ):
        return True
    return any(
        not (
            is_filler(item)
            or item.mark
            or any(
                item.has(kind)
                for kind in (
                    *_REFERRING,
                    *besides,
                    "in",
                    "and",
                    "target",
                    "six",
                    "group",
                    "except",
                    "but",
                    "greeting",
                    "ok",
                    "decline",
                )
            )
        )
        for item in clause.lexemes
    )


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
    if not named.is_empty or _has_own_content(clause.without(lambda item: bool(item.number))):
        return False
    edits = [_limited(edit, numbers[0]) for edit in turn.edits]
    turn.edits.clear()
    turn.mix = turn.context.mix
    turn.add_edits(edits)
    return True


def _read_removal(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "remove it" after an effect was added: the effect goes, not the stem."""
    if not clause.any_of(("remove", "off")) or named.targets or named.group or turn.last_named:
        return False
    if named.pronoun not in {"it", "that"} or _has_own_content(clause, besides=("remove", "off")):
        return False
    past = turn.conversation.latest_change()
    if past is None or not past.edits or past.exchange is not turn.conversation.newest:
        return False
    neutral = [edit for edit in map(_neutral, past.edits) if edit is not None]
    if not neutral:
        return False
    turn.add_edits(neutral)
    turn.name(dict.fromkeys(edit.target for edit in neutral))
    return True


def _neutral(edit: Edit) -> Edit | None:
    match edit.change:
        case Adjustment() if edit.setting in RANGES and edit.setting != "gain_db":
            return replace(edit, change=Adjustment(RANGES[edit.setting].neutral, False))
        case CompressionChange():
            return replace(edit, change=CompressionChange("none"))
        case EqBand(_, frequency_hz):
            return Edit(edit.target, "clear", Clearing("eq_band", frequency_hz=frequency_hz))
        case Filter(kind):
            return Edit(edit.target, "clear", Clearing("filter", filter_type=kind))
        case _:
            return None


_MEANT = {"i meant", "i mean", "meant", "i said"}


def _read_new_value(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "make it 2k" or "make that 50%" as another value for what was set last."""
    numbers = clause.numbers()
    meant = any(item.text in _MEANT for item in clause.lexemes) and _opens_prompt(clause)
    if len(numbers) != 1 or numbers[0].signed or named.targets or named.group:
        return False
    if not (named.pronoun or (meant and not turn.edits)):
        return False
    corrects = clause.has("instead") or any(item.text == "actually" for item in clause.lexemes)
    allowed = (
        *(("up", "down") if corrects else ()),
        "pronoun",
        "set",
        "to",
        "instead",
        "bound",
        "decline",
        "accept",
        "ok",
        "greeting",
        "only",
    )
    if any(
        not (item.number or item.mark or is_filler(item) or any(item.has(k) for k in allowed))
        for item in clause.lexemes
    ):
        return False
    past = turn.conversation.latest_change()
    if past is None or len({edit.setting for edit in past.edits}) != 1:
        return False
    changed = [_with_value(turn, edit, numbers[0]) for edit in past.edits]
    found = [edit for edit in changed if edit is not None]
    if len(found) != len(changed):
        return False
    turn.add_edits(found)
    turn.name(dict.fromkeys(edit.target for edit in found))
    turn.revises = turn.revises or meant
    return True


def _with_value(turn: Turn, edit: Edit, number: Number) -> Edit | None:
    match edit.change:
        case Filter(kind) if number.unit == "hz" and kind != "bandpass":
            return replace(edit, change=Filter(kind, cutoff_hz=number.value))
        case EqBand() as band if number.unit == "db":
            now = next(
                (b.gain_db for b in turn.mix[edit.target].eq if _is_band(b, band)), band.gain_db
            )
            wanted = -number.value if band.gain_db < 0 else number.value
            return replace(edit, change=replace(band, gain_db=wanted - now))
        case Adjustment() if edit.setting in AMOUNTS:
            share = amounts.share_of_one(number)
            return None if share is None else replace(edit, change=Adjustment(share, False))
        case Adjustment(value, True) if (edit.setting, number.unit) in {
            ("gain_db", "db"),
            ("gain_db", ""),
            ("pitch_semitones", "semitone"),
            ("pitch_semitones", ""),
        }:
            before = getattr(turn.mix[edit.target], edit.setting) - value
            sign = -1 if value < 0 else 1
            return replace(edit, change=Adjustment(before + sign * number.value, False))
        case _:
            return None


def _is_band(one: EqBand, other: EqBand) -> bool:
    return one.type == other.type and is_same_band(one.frequency_hz, other.frequency_hz)


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


_WANTING = {"want", "need", "have", "i want", "i need", "get", "let us have", "lets have"}


def _wants_it_there(clause: Clause) -> bool:
    """Whether "I want that on the drums as well" repeats a change instead of asking for a stem."""
    wants = all(item.text in _WANTING for item in clause.with_kind("give"))
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

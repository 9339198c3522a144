"""What was found in a prompt, put together: an intent, a reply, a proposal, or a question."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER, Mix
from services.interpreter import replies
from services.interpreter.builtin import talk
from services.interpreter.builtin.clauses import INSTRUMENT_KINDS, Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.reading import read_clause
from services.interpreter.builtin.turn import Held, Turn
from services.interpreter.intent import (
    Adjustment,
    Clarification,
    ClarificationReason,
    Clearing,
    Context,
    Edit,
    History,
    Intent,
    Interpretation,
    Limitation,
    Proposal,
    Remix,
    Separation,
)
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.undoing import history_interpretation


def assembled(turn: Turn, lexemes: list[Lexeme]) -> Interpretation:
    """Returns what a prompt means by what was found in it; asks where carrying it out is unsafe."""
    context = turn.context
    if (turn.edits or len(turn.without) > 1) and talk.wants_versions(lexemes):
        return clarified(context, "ambiguous", replies.one_version(), confidence=0.4)
    if turn.edits and (turn.cued or talk.is_cued(lexemes)):
        reply = replies.cannot_do("editing only a section")
        return clarified(context, "unsupported_operation", reply, confidence=0.7)
    _block_idle(turn)
    _block_contradiction(turn)
    if turn.blocked and not turn.is_empty:
        # Half of what was asked is a wrong edit, too.
        found = clarified(context, "ambiguous", turn.blocked, confidence=0.4)
        return replace(found, targets=tuple(turn.named))
    if turn.doubts and not turn.is_empty:
        return clarified(
            context, "ambiguous", replies.not_understood(turn.doubts[0]), confidence=0.3
        )
    limitations = [
        *(Limitation("not_done", replies.cannot_do(name)) for name in turn.not_done),
        *turn.limitations,
    ]
    if turn.is_empty:
        return _unfulfilled(turn, lexemes, limitations)
    _keep_from_reset(turn)
    if not any(item.has("target", MASTER) for item in lexemes):
        _keep_from_mix(turn)
    if turn.history is not None and _changes_too(turn):
        return clarified(context, "ambiguous", replies.one_at_a_time(), confidence=0.4)
    if turn.held:
        names = ", ".join(dict.fromkeys(held.instrument.name for held in turn.held))
        text = replies.held_aside(names, turn.held[0].instrument.stem)
        limitations.append(Limitation("not_done", text, turn.held[0].instrument.stem))
    limitations += [Limitation("not_done", question) for question in turn.questions]
    gone = {edit.target for edit in turn.edits if edit.setting != "muted"} & set(turn.without)
    if gone:
        # "karaoke with the vocals quietly": out, or only changed?
        return clarified(context, "ambiguous", replies.out_or_changed(gone), confidence=0.4)
    intent = _intent(turn)
    if intent is None:
        return clarified(context, "ambiguous", replies.ask_what(), confidence=0.3)
    if isinstance(intent, History):
        if turn.unsure:
            reply = replies.not_understood(turn.unsure)
            return clarified(context, "ambiguous", reply, confidence=0.4)
        found = history_interpretation(intent, context)
        confidence = round(turn.confidence, 3)
        return replace(found, limitations=tuple(limitations), confidence=confidence)
    mix = context.mix if isinstance(intent, Separation) else turn.mix
    if turn.unsure:
        reply = replies.ask_whether(turn.unsure, intent, context.mix, mix)
        found = clarified(context, "ambiguous", reply, confidence=0.4)
        return replace(found, proposal=Proposal(intent, mix), targets=_touched(turn, intent))
    proposal = _proposal_for(turn) if turn.held else None
    return Interpretation(
        intent=intent,
        reply=replies.done(intent, context.mix, mix, limitations),
        mix=mix,
        proposal=proposal,
        limitations=tuple(limitations),
        targets=_touched(turn, intent),
        confidence=round(turn.confidence, 3),
    )


def _block_idle(turn: Turn) -> None:
    """Asks where a part is named without an instruction, and another one would be changed."""
    changed = {edit.target for edit in turn.edits}
    if turn.edits and turn.questions and set(turn.idle) - changed:
        turn.blocked = turn.blocked or turn.questions[0]


def _block_contradiction(turn: Turn) -> None:
    """Asks where one prompt raises and lowers the same thing by as much, or hands out silence."""
    moved: dict[tuple[str, str], list[float]] = {}
    for edit in turn.edits:
        if isinstance(edit.change, Adjustment) and edit.change.relative and edit.range is None:
            moved.setdefault((edit.target, edit.setting), []).append(edit.change.value)
    undone = any(len(values) > 1 and abs(sum(values)) < 1e-9 for values in moved.values())
    twice = [key[0] for key, values in moved.items() if len(values) > 1 and not _varies(values)]
    turned = any(len(values) > 1 and _varies(values) for values in moved.values())
    if turned and any(map(_sets_again, turn.acted)):
        turn.blocked = turn.blocked or "Up or down, and by how much?"
    if twice and not any(clause.any_of(("even", "more", "and")) for clause in turn.acted):
        turn.blocked = turn.blocked or replies.ask_once(twice[0])
    muted = [edit.target for edit in turn.edits if edit.setting == "muted" and edit.change is True]
    spared = [target for target in muted if target in turn.kept]
    if spared:  # "I'd never mute the vocals, but the drums, yes, mute those"
        turn.blocked = turn.blocked or replies.mute_or_keep(spared)
    handed = (*turn.outputs, *(stem for stem in turn.stems if stem not in turn.listened))
    silent = bool(turn.edits and handed) and all(turn.mix[stem].muted for stem in handed)
    if undone or silent:
        turn.blocked = turn.blocked or replies.ask_what()


def _sets_again(clause: Clause) -> bool:
    """Whether a clause puts right what was just said: "…, but up", "not so much, make it −4"."""
    return clause.joiner == "but" or (clause.has("set") and clause.has("pronoun"))


def _varies(values: list[float]) -> bool:
    """Whether changes go both ways."""
    return min(values) < 0 < max(values)


def _keep_from_reset(turn: Turn) -> None:
    """Reads "reset everything, but keep the bass as it is" as a reset of the other targets."""
    history = turn.history
    if history is None or history.action != "reset" or history.target or not turn.kept:
        return
    others = [target for target in turn.mix.targets if target not in turn.kept]
    if others:
        turn.history = None
        turn.add_edits(Edit(target, "clear", Clearing("all")) for target in others)


def _keep_from_mix(turn: Turn) -> None:
    """Reads "louder, but not the bass" as a change of the other parts, not of the whole mix."""
    others = turn.everything_but(turn.kept)
    if not (turn.kept and others) or all(edit.target != MASTER for edit in turn.edits):
        return
    edits = [
        replace(edit, target=target)
        for edit in turn.edits
        for target in (others if edit.target == MASTER else (edit.target,))
    ]
    turn.edits.clear()
    turn.mix = turn.context.mix
    turn.add_edits(edits)


def _changes_too(turn: Turn) -> bool:
    """Whether a turn changes or hands out something, besides what its undo or reset does."""
    edits = [edit for edit in turn.edits if edit.change != Clearing("all")]
    return bool(edits or turn.stems or turn.without)


def _intent(turn: Turn) -> Separation | Remix | History | None:
    stems, without = _consistent(turn)
    if turn.edits or (without and turn.keeps_mix and not turn.mix.is_neutral):
        mutes = [Edit(stem, "muted", True) for stem in without]
        turn.add_edits(mutes)
        handed = [stem for stem in stems if stem not in turn.listened]
        return Remix(tuple(turn.edits), tuple(dict.fromkeys((*turn.outputs, *handed))))
    if stems or without:
        return Separation(tuple(stems), tuple(without))
    if turn.history is not None:
        return turn.history
    if turn.outputs or turn.renders_mix:
        return Remix((), tuple(turn.outputs))
    return None


def _consistent(turn: Turn) -> tuple[list[str], list[str]]:
    """Drops a hand-out that says the same twice: "only the voice, lose the music"."""
    stems, without = turn.stems, turn.without
    if stems and without and set(without) <= set(turn.unneeded):
        return stems, []  # "I don't need the drums. What I need is the vocals."
    if stems and without and set(without) == set(turn.everything_but(stems)):
        return stems, []
    everything = set(turn.context.stems)
    if stems and without and set(stems) == everything:
        return [], without
    if (
        stems
        and without
        and set(stems) | set(without) == everything
        and not (set(stems) & set(without))
    ):
        return stems, []
    return stems, without


def _touched(turn: Turn, intent: Intent) -> tuple[str, ...]:
    match intent:
        case Separation(stems, without):
            return (*stems, *(stem for stem in without if stem not in stems))
        case Remix(edits, outputs):
            found = [edit.target for edit in edits] or list(outputs) or list(turn.named)
            return tuple(dict.fromkeys(found))
        case _:
            return tuple(turn.named)


def _unfulfilled(
    turn: Turn, lexemes: list[Lexeme], limitations: list[Limitation]
) -> Interpretation:
    """Nothing can be carried out: explains, proposes, or asks."""
    context = turn.context
    if talk.is_off_topic(lexemes):
        return clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.8)
    if turn.not_done and not turn.held:
        reply = replies.cannot_do(turn.not_done[0])
        found = clarified(context, "unsupported_operation", reply, confidence=0.9)
        return replace(found, targets=tuple(turn.named))
    if turn.held:
        proposal = _proposal_for(turn)
        instrument = turn.held[0].instrument
        reply = replies.held(instrument.name, instrument.stem, proposal, context)
        found = clarified(context, "unsupported_stem", reply, confidence=0.9)
        return replace(found, proposal=proposal, targets=(instrument.stem,))
    if turn.questions or turn.doubts:
        asked = turn.questions[0] if turn.questions else replies.not_understood(turn.doubts[0])
        found = clarified(context, "ambiguous", asked, confidence=min(turn.confidence, 0.5))
        return replace(found, targets=tuple(turn.named), limitations=tuple(limitations))
    if turn.praised:
        reply = replies.praised(turn.mentioned or turn.spoken_stems)
        return clarified(context, "greeting", reply, confidence=0.7)
    if turn.leaves:
        return clarified(context, "ambiguous", replies.left_alone(turn.named), confidence=0.7)
    if talk.is_out_of_scope(lexemes):
        clause = Clause(tuple(lexemes))
        if clause.any_of(("vague", "toomuch", "before", "half", "small", "big", "set", "help")):
            return clarified(context, "ambiguous", replies.ask_what(), confidence=0.4)
        return clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.6)
    spoken = turn.mentioned or turn.spoken_stems
    asked = replies.ask_about(spoken) if spoken else replies.ask_what()
    return clarified(context, "ambiguous", asked, confidence=0.3)


def _proposal_for(turn: Turn) -> Proposal | None:
    """Proposes the same instruction on the stem that holds the instrument."""
    context = turn.context
    nested = Turn(context, turn.conversation, turn.mix)
    seen: list[Clause] = []
    for held in turn.held:
        if held.clause in seen:
            continue
        seen.append(held.clause)
        try:
            read_clause(nested, _on_stem(held, context.stems))
        except UnclearError:
            continue
    intent = None if nested.is_empty else _intent(nested)
    if intent is None or isinstance(intent, History):
        stem = turn.held[0].instrument.stem
        return Proposal(Separation((stem,)), context.mix)
    return Proposal(intent, nested.mix if isinstance(intent, Remix) else context.mix)


def _on_stem(held: Held, stems: tuple[str, ...]) -> Clause:
    def replaced(item: Lexeme) -> Lexeme:
        is_instrument = any(item.has(kind) for kind in INSTRUMENT_KINDS) or (
            item.has("six") and item.value("six") not in stems
        )
        return Lexeme(item.text, (("target", held.instrument.stem),)) if is_instrument else item

    return replace(held.clause, lexemes=tuple(replaced(item) for item in held.clause.lexemes))


def accepted(context: Context, intent: Separation | Remix, mix: Mix) -> Interpretation:
    """Returns a proposal that was agreed to."""
    targets: tuple[str, ...]
    if isinstance(intent, Separation):
        targets = (*intent.stems, *intent.without)
    else:
        targets = tuple(dict.fromkeys(edit.target for edit in intent.edits)) or intent.outputs
    return Interpretation(
        intent, replies.done(intent, context.mix, mix, []), mix, targets=targets, confidence=0.95
    )


def clarified(
    context: Context, reason: ClarificationReason, reply: str, *, confidence: float
) -> Interpretation:
    """Returns a clarification: nothing is rendered."""
    return Interpretation(Clarification(reason), reply, context.mix, confidence=confidence)

"""The built-in engine: a grammar over the vocabulary. No network, no key, no chance."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mixdown.mix import MASTER, Mix
from services.interpreter import replies
from services.interpreter.builtin import talk
from services.interpreter.builtin.answers import accepted_with_more, answer_proposal
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    INSTRUMENT_KINDS,
    NAMED_KINDS,
    Clause,
)
from services.interpreter.builtin.complaints import without_explained_complaints
from services.interpreter.builtin.conversation import Conversation
from services.interpreter.builtin.denials import without_denied
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.evidence import asks_for_change
from services.interpreter.builtin.joining import clauses_of
from services.interpreter.builtin.mentions import note_spoken_of, subject_of
from services.interpreter.builtin.reading import read_clause
from services.interpreter.builtin.repairs import repaired
from services.interpreter.builtin.statements import is_statement, tells_of_possession
from services.interpreter.builtin.times import range_of, with_spans
from services.interpreter.builtin.turn import Held, Turn
from services.interpreter.builtin.wordings import plainly
from services.interpreter.edits import difference
from services.interpreter.intent import (
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
from services.interpreter.language.lexemes import Lexeme, lexemes_of
from services.interpreter.undoing import history_interpretation


@dataclass(frozen=True)
class BuiltinEngine:
    """Understands English prompts by a grammar."""

    def interpret(self, prompt: str, context: Context) -> Interpretation:
        """Interprets a prompt. Never raises for any text."""
        return _interpret(prompt, context)


def _interpret(prompt: str, context: Context) -> Interpretation:
    lexemes = plainly(with_spans(lexemes_of(prompt)))
    if talk.is_injection(lexemes) or talk.is_markup(prompt):
        return _clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.95)
    if talk.is_foreign(lexemes):
        return _clarified(context, "ambiguous", replies.only_english(), confidence=0.5)
    answered = answer_proposal(lexemes, context)
    if answered is not None:
        if answered.intent is None:
            return _clarified(
                context, answered.reason, answered.reply, confidence=answered.confidence
            )
        return _accepted(context, answered.intent, answered.mix)
    reason = talk.talk_reason(lexemes)
    if reason is not None:
        return _clarified(context, reason, replies.talk(reason, context), confidence=0.95)
    meant = repaired(lexemes)
    words = talk.without_refusal(meant.lexemes)
    named = talk.instead(words) if meant.retracts else words
    amended = accepted_with_more(named, context)
    turn = _read(named if amended is None else amended, context, accepts=amended is not None)
    if meant.retracts and not any(item.has("instead") for item in named):
        turn = _read_instead(words, turn)
    return _assembled(turn, lexemes)


def _read(lexemes: list[Lexeme], context: Context, *, accepts: bool = False) -> Turn:
    turn = Turn(context, Conversation(context, _read_again), context.mix)
    if accepts:
        _take_proposal(turn)
    clauses = without_explained_complaints(without_denied(clauses_of(lexemes)))
    for clause in clauses:
        _read_one(turn, clause)
    return turn


def _take_proposal(turn: Turn) -> None:
    """Starts a turn with what was proposed: "yes, and mute the bass", "yes, but with reverb"."""
    proposal = turn.context.proposal
    assert proposal is not None
    match proposal.intent:
        case Separation(stems, without):
            turn.stems += stems
            turn.without += without
            turn.name(stems or (MASTER,))
        case Remix(edits, outputs):
            found = edits or difference(turn.context.mix, proposal.mix)
            turn.add_edits(found)
            turn.outputs += outputs
            turn.name(dict.fromkeys(edit.target for edit in found))


def _read_instead(lexemes: list[Lexeme], turn: Turn) -> Turn:
    """Takes back the turn before where "I said …" changes the same setting."""
    newest = turn.conversation.newest
    past = turn.conversation.latest_change()
    if (
        past is None
        or past.exchange is not newest
        or not past.edits
        or not turn.edits
        or turn.revises
    ):
        return turn
    if {edit.setting for edit in turn.edits} != {edit.setting for edit in past.edits}:
        return turn
    return _read(lexemes, turn.conversation.previous_mix())


def _read_again(prompt: str, context: Context) -> Intent:
    """Understands an earlier prompt, without the turns that it may itself refer to."""
    return _interpret(prompt, context).intent


def _read_one(turn: Turn, clause: Clause) -> None:
    named = turn.last_named
    try:
        turn.range = range_of(clause, turn.context.track_seconds)
    except UnclearError as unclear:
        turn.questions.append(str(unclear))
        turn.doubt(0.6)
        return
    _read_or_ask(turn, clause)
    turn.range = None
    if turn.last_named == named:
        turn.mention(subject_of(turn, clause))


def _read_or_ask(turn: Turn, clause: Clause) -> None:
    if talk.is_question(clause):
        if not clause.any_of((*NAMED_KINDS, *ACTION_KINDS, "volume", "effects")):
            return
        if clause.has("unsupported"):
            turn.not_done.append(clause.values("unsupported")[0])
            return
        turn.questions.append(replies.ask_what())
        turn.doubt(0.5)
        return
    told = is_statement(clause) and not _describes_song(turn, clause)
    if talk.is_story(clause) or told or talk.is_praise(clause):
        note_spoken_of(turn, clause)
        if clause.has("unsupported") and talk.starts_like_command(clause):
            turn.not_done.append(clause.values("unsupported")[0])
            return
        acts = clause.has_action and not tells_of_possession(clause)
        if acts and talk.starts_like_command(clause):
            turn.doubts.append(clause.text)
        return
    if clause.unknown:
        turn.doubt(0.8)
    try:
        if turn.history is not None and turn.history.action != "redo":
            _start_from_history(turn, clause)
        read_clause(turn, clause)
    except UnclearError as unclear:
        excepts = bool(clause.lexemes) and clause.lexemes[0].has("except")
        if excepts or clause.has("conditional") or asks_for_change(clause):
            turn.blocked = turn.blocked or str(unclear)
        turn.questions.append(str(unclear))
        turn.doubt(0.6)


def _describes_song(turn: Turn, clause: Clause) -> bool:
    """Whether a clause says what a song is to be like: "the song, but the bass is down 3"."""
    return turn.renders_mix and clause.joiner in {"but", "with"} and clause.has_action


def _start_from_history(turn: Turn, clause: Clause) -> None:
    """An edit after "undo that and …" starts from the mix before."""
    if not (clause.has_action or clause.any_of(("set", "add"))) or clause.any_of(
        ("undo", "before", "leave")
    ):
        return
    history = turn.history
    assert history is not None
    if history.action == "reset":
        targets = [history.target] if history.target else list(turn.mix.targets)
        turn.add_edits(Edit(target, "clear", Clearing("all")) for target in targets)
    elif turn.context.undo_mixes:
        index = min(history.steps, len(turn.context.undo_mixes)) - 1
        turn.mix = turn.context.undo_mixes[index]
    else:
        turn.mix = turn.conversation.previous_mix().mix
    turn.context = replace(turn.context, mix=turn.mix) if not turn.edits else turn.context
    turn.history = None


# --- Putting it together -------------------------------------------------------------------------


def _assembled(turn: Turn, lexemes: list[Lexeme]) -> Interpretation:
    context = turn.context
    if (turn.edits or len(turn.without) > 1) and talk.wants_versions(lexemes):
        return _clarified(context, "ambiguous", replies.one_version(), confidence=0.4)
    if turn.edits and (turn.cued or talk.is_cued(lexemes)):
        reply = replies.cannot_do("editing only a section")
        return _clarified(context, "unsupported_operation", reply, confidence=0.7)
    if turn.blocked and not turn.is_empty:
        # Half of what was asked is a wrong edit, too.
        found = _clarified(context, "ambiguous", turn.blocked, confidence=0.4)
        return replace(found, targets=tuple(turn.named))
    if turn.doubts and not turn.is_empty:
        return _clarified(
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
        return _clarified(context, "ambiguous", replies.one_at_a_time(), confidence=0.4)
    if turn.held:
        names = ", ".join(dict.fromkeys(held.instrument.name for held in turn.held))
        text = replies.held_aside(names, turn.held[0].instrument.stem)
        limitations.append(Limitation("not_done", text, turn.held[0].instrument.stem))
    limitations += [Limitation("not_done", question) for question in turn.questions]
    gone = {edit.target for edit in turn.edits if edit.setting != "muted"} & set(turn.without)
    if gone:
        # "karaoke with the vocals quietly": out, or only changed?
        return _clarified(context, "ambiguous", replies.out_or_changed(gone), confidence=0.4)
    intent = _intent(turn)
    if intent is None:
        return _clarified(context, "ambiguous", replies.ask_what(), confidence=0.3)
    if isinstance(intent, History):
        found = history_interpretation(intent, context)
        confidence = round(turn.confidence, 3)
        return replace(found, limitations=tuple(limitations), confidence=confidence)
    mix = context.mix if isinstance(intent, Separation) else turn.mix
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
        return _clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.8)
    if turn.not_done and not turn.held:
        reply = replies.cannot_do(turn.not_done[0])
        found = _clarified(context, "unsupported_operation", reply, confidence=0.9)
        return replace(found, targets=tuple(turn.named))
    if turn.held:
        proposal = _proposal_for(turn)
        instrument = turn.held[0].instrument
        reply = replies.held(instrument.name, instrument.stem, proposal, context)
        found = _clarified(context, "unsupported_stem", reply, confidence=0.9)
        return replace(found, proposal=proposal, targets=(instrument.stem,))
    if turn.questions or turn.doubts:
        asked = turn.questions[0] if turn.questions else replies.not_understood(turn.doubts[0])
        found = _clarified(context, "ambiguous", asked, confidence=min(turn.confidence, 0.5))
        return replace(found, targets=tuple(turn.named), limitations=tuple(limitations))
    if turn.praised:
        return _clarified(context, "greeting", replies.talk("greeting", context), confidence=0.7)
    if turn.leaves:
        return _clarified(context, "ambiguous", replies.left_alone(turn.named), confidence=0.7)
    if talk.is_out_of_scope(lexemes):
        clause = Clause(tuple(lexemes))
        if clause.any_of(("vague", "toomuch", "before", "half", "small", "big", "set", "help")):
            return _clarified(context, "ambiguous", replies.ask_what(), confidence=0.4)
        return _clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.6)
    return _clarified(context, "ambiguous", replies.ask_what(), confidence=0.3)


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


def _accepted(context: Context, intent: Separation | Remix, mix: Mix) -> Interpretation:
    targets: tuple[str, ...]
    if isinstance(intent, Separation):
        targets = (*intent.stems, *intent.without)
    else:
        targets = tuple(dict.fromkeys(edit.target for edit in intent.edits)) or intent.outputs
    return Interpretation(
        intent, replies.done(intent, context.mix, mix, []), mix, targets=targets, confidence=0.95
    )


def _clarified(
    context: Context, reason: ClarificationReason, reply: str, *, confidence: float
) -> Interpretation:
    return Interpretation(Clarification(reason), reply, context.mix, confidence=confidence)

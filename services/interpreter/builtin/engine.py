"""The built-in engine: a grammar over the vocabulary. No network, no key, no chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mixdown.mix import MASTER
from services.interpreter import replies
from services.interpreter.builtin import talk
from services.interpreter.builtin.answers import accepted_with_more, answer_proposal
from services.interpreter.builtin.assembling import accepted, assembled, clarified
from services.interpreter.builtin.assurance import quotations, unsure_words
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
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
from services.interpreter.builtin.named import named_in
from services.interpreter.builtin.reading import read_clause
from services.interpreter.builtin.repairs import repaired
from services.interpreter.builtin.statements import (
    is_statement,
    tells_of_possession,
    tells_what_was_done,
)
from services.interpreter.builtin.times import range_of, with_spans
from services.interpreter.builtin.turn import Held, Turn
from services.interpreter.builtin.wordings import plainly
from services.interpreter.edits import difference
from services.interpreter.intent import (
    Clearing,
    Context,
    Edit,
    Intent,
    Interpretation,
    Remix,
    Separation,
    Setting,
)
from services.interpreter.language.lexemes import Lexeme, lexemes_of, placed


@dataclass(frozen=True)
class BuiltinEngine:
    """Understands English prompts by a grammar."""

    def interpret(self, prompt: str, context: Context) -> Interpretation:
        """Interprets a prompt. Never raises for any text."""
        return _interpret(prompt, context)


def _interpret(prompt: str, context: Context, *, agreed: bool = False) -> Interpretation:
    """Interprets a prompt; one that was `agreed` to be carried out is not doubted."""
    said = placed(with_spans(lexemes_of(prompt)))
    lexemes = plainly(said)
    if talk.is_injection(lexemes) or talk.is_markup(prompt):
        return clarified(context, "out_of_scope", replies.back_to_track(), confidence=0.95)
    if talk.is_foreign(lexemes):
        return clarified(context, "ambiguous", replies.only_english(), confidence=0.5)
    answered = answer_proposal(lexemes, context)
    if answered is not None:
        if answered.intent is None:
            return clarified(
                context, answered.reason, answered.reply, confidence=answered.confidence
            )
        return accepted(context, answered.intent, answered.mix)
    reason = talk.talk_reason(lexemes)
    if reason is not None:
        return clarified(context, reason, replies.talk(reason, context), confidence=0.95)
    meant = repaired(lexemes)
    words = talk.without_refusal(meant.lexemes)
    named = talk.instead(words) if meant.retracts else words
    amended = accepted_with_more(named, context)
    turn = _read(named if amended is None else amended, context, accepts=amended is not None)
    if meant.retracts and not any(item.has("instead") for item in named):
        turn = _read_instead(words, turn)
    if agreed:
        turn.unsure = ""
    else:
        turn.unsure = turn.unsure or unsure_words(said, turn.acted, quotations(prompt))
    return assembled(turn, lexemes)


def _read(lexemes: list[Lexeme], context: Context, *, accepts: bool = False) -> Turn:
    turn = Turn(context, Conversation(context, _read_again), context.mix)
    if accepts:
        _take_proposal(turn)
    clauses = without_explained_complaints(without_denied(clauses_of(lexemes)))
    said: set[str] = set()
    for clause in clauses:
        if clause.text in said and not clause.any_of(("even", "more", "less")):
            continue  # said once more, for stress
        said.add(clause.text)
        found = turn.found
        _read_one(turn, clause)
        if turn.found != found:
            turn.acted.append(clause)
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
    settings = {edit.setting for edit in past.edits}
    same = {edit.setting for edit in turn.edits} == settings
    if not (same or _refuses(lexemes, settings)):
        return turn
    return _read(lexemes, turn.conversation.previous_mix())


def _refuses(lexemes: list[Lexeme], settings: set[Setting]) -> bool:
    """Whether "I said lower them, not mute them" refuses what was done."""
    place = next((i for i, item in enumerate(lexemes) if item.has("not")), len(lexemes))
    return any(
        settings == {_REFUSED[kind]}
        for item in lexemes[place + 1 :]
        for kind in _REFUSED
        if item.has(kind)
    )


_REFUSED: Mapping[str, Setting] = {
    "mute": "muted", "up": "gain_db", "down": "gain_db", "reverb": "reverb",
    "compression": "compression", "pan": "pan", "side": "pan", "pitch": "pitch_semitones",
}  # fmt: skip


def _read_again(prompt: str, context: Context) -> Intent:
    """Understands an earlier prompt, without the turns that it may itself refer to."""
    return _interpret(prompt, context, agreed=True).intent


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
        if clause.joiner == "," and clause.lexemes[0].text in _RELATIVE and asks_for_change(clause):
            turn.blocked = turn.blocked or replies.not_understood(clause.text)
        _answer(turn, clause)
        return
    told = is_statement(clause) and not _describes_song(turn, clause)
    if talk.is_story(clause) or told or talk.is_praise(clause):
        note_spoken_of(turn, clause)
        if clause.has("unsupported") and talk.starts_like_command(clause):
            turn.not_done.append(clause.values("unsupported")[0])
            return
        told = tells_of_possession(clause) or tells_what_was_done(clause)
        acts = clause.has_action and not told
        if acts and talk.starts_like_command(clause):
            turn.doubts.append(clause.text)
        return
    if clause.unknown:
        turn.doubt(0.8)
    if clause.has("conditional"):
        turn.unsure = turn.unsure or clause.text
        clause = _unconditional(clause)
    try:
        if turn.history is not None and turn.history.action != "redo":
            _start_from_history(turn, clause)
        read_clause(turn, clause)
    except UnclearError as unclear:
        excepts = bool(clause.lexemes) and clause.lexemes[0].has("except")
        if excepts or asks_for_change(clause):
            turn.blocked = turn.blocked or str(unclear)
        turn.questions.append(str(unclear))
        turn.doubt(0.6)


def _unconditional(clause: Clause) -> Clause:
    """Returns what is to be done of "turn it up if it is too quiet", "I wonder if it is loud"."""
    place = clause.index("conditional")
    before = Clause(clause.lexemes[:place])
    acts = before.has_action or before.any_of(("add", "give"))
    kept = before.lexemes if acts else clause.lexemes[place + 1 :]
    return replace(clause, lexemes=kept)


def _answer(turn: Turn, clause: Clause) -> None:
    """Answers a question that is about the song: where an instrument is, what is set."""
    named = named_in(clause, turn.context.stems)
    if named.instruments and clause.text.split()[0] in _WHERE:
        turn.held += [Held(instrument, clause) for instrument in named.instruments]
        return
    stems = [target for target in named.targets if target != MASTER]
    turn.questions.append(replies.ask_after_state(stems, turn.context.mix))
    turn.doubt(0.5)


_RELATIVE = {"which", "who", "whose"}
_WHERE = {"where", "which", "what", "tell", "whats", "wheres"}


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

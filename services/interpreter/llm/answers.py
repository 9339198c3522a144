"""A valid answer of the language model to an interpretation.

The mix is computed here, by the same code as for the built-in engine; the model never writes one.
Replies about changes are ours too: they carry the numbers that were really used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.interpreter import replies, validation
from services.interpreter.edits import apply_edits
from services.interpreter.intent import (
    Clarification,
    Context,
    Interpretation,
    Limitation,
    Proposal,
    Remix,
    Separation,
)
from services.interpreter.undoing import history_interpretation

LONGEST_REPLY = 600


def interpretation_from(
    kind: str, answer: Mapping[str, Any], context: Context, confidence: float
) -> Interpretation:
    """Reads the second stage's answer. Raises InvalidAnswerError."""
    match kind:
        case "separation":
            separation = validation.separation_from(answer, context)
            found = _carried_out(separation, answer, context)
        case "remix":
            found = _carried_out(validation.remix_from(answer, context), answer, context)
        case "history":
            found = history_interpretation(validation.history_from(answer, context), context)
        case _:
            found = _clarified(answer, context)
    return replace(found, engine="openai", confidence=confidence)


def _carried_out(
    intent: Separation | Remix, answer: Mapping[str, Any], context: Context
) -> Interpretation:
    limitations = [
        Limitation("not_done", text) for text in validation.sentences_from(answer, "not_done")
    ]
    mix = context.mix
    if isinstance(intent, Remix):
        applied = apply_edits(mix, intent.edits)
        mix = applied.mix
        limitations += applied.limitations
    return Interpretation(
        intent,
        replies.done(intent, context.mix, mix, limitations),
        mix,
        limitations=tuple(limitations),
        targets=targets_of(intent),
    )


def targets_of(intent: Separation | Remix) -> tuple[str, ...]:
    """Returns the targets that an intent touches."""
    if isinstance(intent, Separation):
        return tuple(dict.fromkeys((*intent.stems, *intent.without)))
    return tuple(dict.fromkeys(edit.target for edit in intent.edits)) or intent.outputs


def _clarified(answer: Mapping[str, Any], context: Context) -> Interpretation:
    reason = validation.reason_from(answer)
    intent = validation.proposal_from(answer, context)
    reply = answer.get("reply")
    if not isinstance(reply, str) or not reply.strip():
        raise validation.InvalidAnswerError("reply must be a text.")
    proposal = None
    targets: tuple[str, ...] = ()
    if intent is not None:
        edits = intent.edits if isinstance(intent, Remix) else ()
        proposal = Proposal(intent, apply_edits(context.mix, edits).mix)
        targets = targets_of(intent)
    return Interpretation(
        Clarification(reason),
        reply.strip()[:LONGEST_REPLY],
        context.mix,
        proposal=proposal,
        targets=targets,
    )

"""Undo, redo and reset: the mix that they bring back, as far as it is known here."""

from __future__ import annotations

from services.interpreter import replies
from services.interpreter.edits import apply_edits
from services.interpreter.intent import Clearing, Context, Edit, History, Interpretation


def history_interpretation(intent: History, context: Context) -> Interpretation:
    """Returns the interpretation of an undo, redo or reset."""
    if intent.action == "reset":
        targets = [intent.target] if intent.target else list(context.mix.targets)
        cleared = [Edit(target, "clear", Clearing("all")) for target in targets]
        mix = apply_edits(context.mix, cleared).mix
        touched = (intent.target,) if intent.target else ()
        return Interpretation(intent, replies.reset(intent), mix, targets=touched)
    known = context.undo_mixes if intent.action == "undo" else context.redo_mixes
    mix = known[min(intent.steps, len(known)) - 1] if known else context.mix
    nothing = known is not None and not known
    reply = replies.moved(intent, context.mix, mix, known)
    return Interpretation(intent, reply, mix, nothing_to_render=nothing)

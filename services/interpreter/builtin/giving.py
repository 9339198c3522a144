"""What is asked for with "give me" and "only": stems, all of them, or the mix as it is now."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named, named_in
from services.interpreter.builtin.targets import VOCALS, of_group
from services.interpreter.builtin.turn import Turn
from services.interpreter.language.word_classes import WANTING

_WANTING = WANTING | {"have"}


def read_given(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "give me the vocals" and "just the drums"; False where nothing is handed out."""
    along = next((i for i, item in enumerate(clause.lexemes) if item.text == "along"), -1)
    if along >= 0:
        return _read_along(turn, clause, along)
    needed = any(item.text in {"need", "needs"} for item in clause.lexemes)
    if clause.is_target_first and needed and not clause.has("only"):
        return False  # "the vocals need fixing" asks for no file
    if clause.any_of(("add", "need")) or (
        clause.has("set") and not clause.any_of(("give", "only"))
    ):
        return False
    if any(item.text.startswith("what") for item in clause.lexemes[2:]):
        raise UnclearError("What exactly should that be?")  # "give the vocals what the drums have"
    if clause.has("vague") and not clause.any_of(("only", "file")):
        return False  # "give the vocals a hand"
    stems = tuple(target for target in named.targets if target != MASTER)
    if named.excluded and (named.group or not stems):
        turn.hand_without(named.excluded)
        return True
    if named.group in {"all", "stems"} and not stems:
        if (
            "stem" in clause.text
            or "part" in clause.text
            or "track" in clause.text
            or "each" in clause.text
        ):
            turn.hand_stems(turn.context.stems)
            return True
        return False
    if named.group == "instruments" or _is_only_music(clause, stems):
        turn.hand_without((VOCALS,))
        return True
    if named.group and not (named.group == "stems" and stems):
        turn.hand_stems(of_group(turn, replace(named, targets=()), one_by_one=True) or ())
        return True
    place = clause.index("only")
    located = place >= 0 and any(item.has("in") for item in clause.lexemes[place + 1 : place + 2])
    if stems and located and clause.previous is not None and clause.previous.has_action:
        raise UnclearError(f"What should I do on the {' and '.join(stems)}?")
    if stems:
        if _is_only_listening(clause):
            turn.listened += [stem for stem in stems if stem not in turn.listened]
        if _is_processed(turn, clause, stems):
            turn.outputs += [stem for stem in stems if stem not in turn.outputs]
            turn.name(stems)
        else:
            if clause.has("only") and set(turn.stems) == set(turn.context.stems):
                turn.stems.clear()  # "separate the stems and give me just the vocals"
            turn.hand_stems(stems)
        return True
    return _read_rendered(turn, clause, named)


def _read_along(turn: Turn, clause: Clause, place: int) -> bool:
    """Reads "something my drummer can play along with": the song without what is played to it."""
    played = named_in(replace(clause, lexemes=clause.lexemes[:place]), turn.context.stems).targets
    stems = tuple(target for target in played if target != MASTER)
    if not stems:
        raise UnclearError("Which part do you play yourself?")
    turn.hand_without(stems)
    return True


_LISTENING = {
    "hear", "listen", "listening to", "let me hear", "let us hear", "want to hear", "play",
}  # fmt: skip


def _is_only_listening(clause: Clause) -> bool:
    """Whether parts are to be heard, not handed out: "could we hear the vocals with reverb"."""
    gives = clause.with_kind("give")
    return bool(gives) and all(i.text in _LISTENING for i in gives) and not clause.has("only")


def _is_only_music(clause: Clause, stems: tuple[str, ...]) -> bool:
    return not stems and clause.has("only") and any(item.text == "music" for item in clause.lexemes)


def _is_processed(turn: Turn, clause: Clause, stems: tuple[str, ...]) -> bool:
    """Whether a stem is wanted as it sounds now: "give me just that vocal" after edits."""
    pointed = any(item.text in {"that", "this", "these", "those"} for item in clause.lexemes)
    edited = any(not turn.mix[stem].is_neutral for stem in stems)
    return edited and pointed


def _read_rendered(turn: Turn, clause: Clause, named: Named) -> bool:
    rendering = any(
        item.has("give") and item.text not in _WANTING for item in clause.lexemes
    ) and all(
        is_filler(item)
        or item.mark
        or any(
            item.has(k)
            for k in ("give", "target", "pronoun", "only", "set", "accept", "greeting", "back")
        )
        for item in clause.lexemes
    )
    if not rendering or named.pronoun == "one":
        return False
    touched = turn.last_named or turn.conversation.touched()
    if clause.has("only") and touched and touched != (MASTER,) and named.pronoun:
        turn.outputs += [t for t in touched if t != MASTER]
        return True
    if MASTER in named.targets or (named.pronoun in {"it", "that"} and not turn.mix.is_neutral):
        turn.renders_mix = True
        turn.name((MASTER,))
        return True
    return False

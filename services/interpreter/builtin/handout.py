"""Separation: which stems are handed out, and what the original is handed out without."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named, named_in
from services.interpreter.builtin.targets import VOCALS, of_group
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import Separation

_LESS_FILES = {
    "drumless": "drums",
    "bassless": "bass",
    "guitarless": "guitar",
    "pianoless": "piano",
}
_ONE_PART_VERBS = (
    "nothing but",
    "isolat",
    "solo",
    "extract",
    "grab",
    "pick",
    "single",
    "pull",
    "lift",
    "alone",
)
_EACH = {"separately", "individually", "seperately", "as separate files", "in separate files",
         "as individual files", "on separate tracks", "as separate wavs", "into stems"}  # fmt: skip
_WANTING = {"want", "need", "have"}


def read_handout(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that asks for audio as it is; False where it asks for something else."""
    if _reduces_to(clause) and [t for t in named.targets if t != MASTER]:
        _hand_stems(turn, tuple(target for target in named.targets if target != MASTER))
        return True
    level = clause.any_of(("up", "more", "less", "down")) or clause.numbers("times")
    if clause.any_of(("half", "double")) and not clause.any_of(("separate", "file")):
        return False
    if clause.numbers("db", "percent") or (level and not clause.any_of(("file", "separate"))):
        return False
    if clause.any_of(("mute", "unmute")) or (clause.has("off") and not clause.has("separate")):
        return False
    if clause.has("file"):
        return _read_file(turn, clause, named)
    if clause.has("separate") and _only_says_out(clause):
        return _read_stems(turn, clause, named)
    if clause.any_of(("give", "only")) and _only_says_out(clause):
        return _read_given(turn, clause, named)
    if clause.has("remove") and not clause.has("volume"):
        return _read_without(turn, clause, named)
    if clause.has("not") and not named.is_empty:
        return _read_without(turn, clause, named)
    if clause.has("separate"):
        return _read_stems(turn, clause, named)
    if clause.any_of(("only", "give")) or clause.has("group", "stems") or _names_all_stems(clause):
        return _read_given(turn, clause, named)
    if clause.has("leave") and clause.has("only"):
        return _read_stems(turn, clause, named)
    if (
        named.excluded
        and (named.group or named.targets)
        and not clause.any_of(("set", "add", "volume"))
    ):
        _hand_without(turn, named.excluded)
        return True
    return False


_HANDING = {
    "give", "send", "export", "bounce", "get", "hand", "render", "give me", "send me", "get me",
}  # fmt: skip


def asks_for_part(clause: Clause) -> bool:
    """Whether only the part that is changed is wanted: "give me just the vocals pitched up"."""
    place = clause.index("only")
    handed = any(item.text in _HANDING for item in clause.lexemes[: max(place, 0)])
    following = clause.lexemes[place + 1 :] if place >= 0 else ()
    named = next((item for item in following if not is_filler(item)), None)
    return handed and named is not None and (named.has("target") or named.has("six"))


def _reduces_to(clause: Clause) -> bool:
    """Whether only what is named is to be left: "strip it down to just piano and voice"."""
    if clause.numbers() or not clause.has("only"):
        return False
    place = clause.index("only")
    before = [item for item in clause.lexemes[:place] if not item.has("filler")]
    return bool(before) and before[-1].has("to") and clause.any_of(("down", "remove", "separate"))


def _names_all_stems(clause: Clause) -> bool:
    """Whether stems are named as things to have: "all stems", "each track"."""
    if (clause.lexemes and clause.lexemes[-1].text in {"stem", "stem please"}) or (
        clause.text.endswith(("stem please", "stem"))
    ):
        return not clause.any_of(("set", "add", "volume", "tone", "also"))
    nouns = ("stem", "part", "track", "element", "channel")
    return any(
        item.has("group", "all") and any(noun in item.text for noun in nouns)
        for item in clause.lexemes
    ) and not clause.any_of(("set", "add", "volume", "tone", "half", "max", "min", "effects"))


def _hand_stems(turn: Turn, stems: tuple[str, ...]) -> None:
    turn.stems += [stem for stem in stems if stem not in turn.stems]
    turn.name(stems)


def _hand_without(turn: Turn, stems: tuple[str, ...]) -> None:
    turn.without += [stem for stem in stems if stem not in turn.without]
    turn.name(stems)
    # What follows is about the song that is left: "karaoke version but 2 semitones lower".
    turn.last_named = (MASTER,)


def _read_file(turn: Turn, clause: Clause, named: Named) -> bool:
    files = clause.values("file")
    place = clause.index("file")
    before = Clause(clause.lexemes[:place])
    if before.unknown and not (before.has_verb or before.has("filler", "polite")):
        raise UnclearError("Should I give you that version?")  # "people prefer karaoke"
    for name in files:
        if name in _LESS_FILES:
            stem = _LESS_FILES[name]
            if stem not in turn.context.stems:
                raise UnclearError(
                    f"This model has no {stem} stem. Shall I leave out the other stem?"
                )
            _hand_without(turn, (stem,))
    if "acapella" in files:
        others = () if clause.any_of(("remove", "except")) else named.targets
        _hand_stems(turn, tuple(dict.fromkeys((VOCALS, *(t for t in others if t != MASTER)))))
    if "instrumental" in files and not set(files) & set(_LESS_FILES):
        _read_instrumental(turn, clause, named)
    return True


def _read_instrumental(turn: Turn, clause: Clause, named: Named) -> None:
    place = clause.index("file", "instrumental")
    is_source = any(item.text == "from" for item in clause.lexemes[max(0, place - 2) : place])
    stems = tuple(target for target in named.targets if target != MASTER)
    if clause.any_of(("remove", "except")) or named.excluded:
        _hand_without(turn, named.excluded or stems or (VOCALS,))
        return
    if stems and clause.has("separate"):
        _hand_stems(turn, stems)
        if is_source:
            return
    elif stems and "and" in clause.text.split():
        _hand_stems(turn, stems)
    _hand_without(turn, (VOCALS,))


def _read_without(turn: Turn, clause: Clause, named: Named) -> bool:
    place = max(clause.index("remove"), clause.index("not") if not clause.has("remove") else -1)
    before = named_in(replace(clause, lexemes=clause.lexemes[:place]), turn.context.stems)
    after = named_in(replace(clause, lexemes=clause.lexemes[place:]), turn.context.stems)
    if clause.has("effects"):
        return False
    _continue_without(turn, clause)
    is_postfix = after.is_empty and not after.pronoun
    removed = replace(before, excluded=named.excluded) if is_postfix else after
    keeps = before if not is_postfix else Named()
    if (
        (clause.has("separate") or _says_only(clause))
        and keeps.targets
        and MASTER not in keeps.targets
        and not is_postfix
    ):
        _hand_stems(turn, keeps.targets)
        return True
    kept = tuple(target for target in keeps.targets if target != MASTER)
    if kept and (clause.has("give") or (turn.stems and clause.joiner == "and")):
        _hand_stems(turn, kept)
        return True
    if removed.group == "rest" and keeps.targets:
        _hand_stems(turn, tuple(target for target in keeps.targets if target != MASTER))
        return True
    stems = _removed_stems(turn, clause, removed)
    if not stems:
        return False
    if set(stems) >= set(turn.context.stems):
        raise UnclearError("That would leave silence. Which part should stay?")
    _hand_without(turn, stems)
    return True


def _says_only(clause: Clause) -> bool:
    """Whether "only" is about a part, not about a verb: "just get rid of it"."""
    place = clause.index("only")
    following = clause.lexemes[place + 1 : place + 2] if place >= 0 else ()
    return bool(following) and not following[0].has("remove")


def _only_says_out(clause: Clause) -> bool:
    """Whether "out" does not remove but belongs to "rip out", "give me … out of this song"."""
    removing = [item for item in clause.lexemes if item.has("remove")]
    taking = any(item.text in {"get", "take", "leave", "keep"} for item in clause.lexemes)
    return bool(removing) and not taking and all(i.text.startswith("out") for i in removing)


def _continue_without(turn: Turn, clause: Clause) -> None:
    """Adds to the last hand-out: "and without the drums as well"."""
    if not (clause.has("also") and turn.is_empty):
        return
    past = turn.conversation.latest_change()
    if past is not None and isinstance(past.intent, Separation):
        turn.without += past.intent.without


def _removed_stems(turn: Turn, clause: Clause, removed: Named) -> tuple[str, ...]:
    if removed.targets == (MASTER,) and clause.has("target", MASTER):
        if any(item.text == "music" for item in clause.lexemes):
            return turn.everything_but((VOCALS,))
        return ()
    if removed.group in {"all", "stems"} or (MASTER in removed.targets and removed.excluded):
        return turn.everything_but(removed.excluded) if removed.excluded else ()
    group = of_group(turn, removed, one_by_one=True)
    if group is not None:
        return group
    if removed.targets:
        return tuple(target for target in removed.targets if target != MASTER)
    if removed.pronoun in {"it", "them", "that", "both"}:
        known = turn.last_named or turn.mentioned or turn.conversation.touched()
        return tuple(target for target in known if target != MASTER)
    return ()


def _read_stems(turn: Turn, clause: Clause, named: Named) -> bool:
    named = _before_source(turn, clause, named)
    if named.excluded and (clause.has("leave") or named.group or named.targets == (MASTER,)):
        if clause.has("group", "all") and "stem" in clause.text:
            _hand_stems(turn, turn.everything_but(named.excluded))
        else:
            _hand_without(turn, named.excluded)
        return True
    if named.group in {"all", "stems"} and not [t for t in named.targets if t != MASTER]:
        _hand_stems(turn, turn.context.stems)
        return True
    if named.group == "instruments":
        if any(item.text in _EACH for item in clause.lexemes):
            _hand_stems(turn, turn.everything_but((VOCALS, *named.excluded)))
            return True
        if named.targets:
            _hand_stems(turn, tuple(t for t in named.targets if t != MASTER))
        _hand_without(turn, (VOCALS,))
        return True
    stems = tuple(target for target in named.targets if target != MASTER)
    if named.group == "rest" and stems:
        _hand_stems(turn, stems)
        into = (
            "into" in clause.text.split()
            or "and the rest" in clause.text
            or "and everything else" in clause.text
        )
        if into:
            _hand_without(turn, stems)
        return True
    together = any("another" in item.text or "second" in item.text for item in clause.lexemes)
    if named.group == "rest" and together and turn.stems:
        _hand_without(turn, tuple(turn.stems))  # "vocals on one track, the rest on another"
        return True
    if named.group in {"rest", "rhythm"}:
        _hand_stems(turn, of_group(turn, named, one_by_one=True) or ())
        return True
    if stems:
        _hand_stems(turn, stems)
        return True
    if named.pronoun in {"them", "both", "that", "one"} and turn.last_named:
        _hand_stems(turn, tuple(t for t in turn.last_named if t != MASTER))
        return True
    one_part = any(item.text.startswith(_ONE_PART_VERBS) for item in clause.lexemes)
    if named.pronoun in {"them", "both"} or (
        named.pronoun in {"that", "it"} and (one_part or clause.has("only"))
    ):
        known = turn.mentioned or tuple(t for t in turn.conversation.touched() if t != MASTER)
        if known:
            _hand_stems(turn, known)
            return True
    if clause.any_of(("leave",)):
        return False
    if "nothing else" in clause.text or "in isolation" in clause.text:
        return False
    if one_part:
        raise UnclearError("Which part should I isolate?")
    _hand_stems(turn, turn.context.stems)
    return True


def _before_source(turn: Turn, clause: Clause, named: Named) -> Named:
    """Drops what stems are taken from: "the vocals from the rest", "from everything else"."""
    for place, item in enumerate(clause.lexemes):
        if item.text in {"from", "out of"}:
            kept = named_in(replace(clause, lexemes=clause.lexemes[:place]), turn.context.stems)
            if not kept.is_empty:
                return replace(kept, excluded=named.excluded)
    return named


def _read_given(turn: Turn, clause: Clause, named: Named) -> bool:
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
    stems = tuple(target for target in named.targets if target != MASTER)
    if named.excluded and (named.group or not stems):
        _hand_without(turn, named.excluded)
        return True
    if named.group in {"all", "stems"} and not stems:
        if (
            "stem" in clause.text
            or "part" in clause.text
            or "track" in clause.text
            or "each" in clause.text
        ):
            _hand_stems(turn, turn.context.stems)
            return True
        return False
    if named.group == "instruments" or _is_only_music(clause, stems):
        _hand_without(turn, (VOCALS,))
        return True
    if named.group and not (named.group == "stems" and stems):
        _hand_stems(turn, of_group(turn, replace(named, targets=()), one_by_one=True) or ())
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
            _hand_stems(turn, stems)
        return True
    return _read_rendered(turn, clause, named)


def _read_along(turn: Turn, clause: Clause, place: int) -> bool:
    """Reads "something my drummer can play along with": the song without what is played to it."""
    played = named_in(replace(clause, lexemes=clause.lexemes[:place]), turn.context.stems).targets
    stems = tuple(target for target in played if target != MASTER)
    if not stems:
        raise UnclearError("Which part do you play yourself?")
    _hand_without(turn, stems)
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

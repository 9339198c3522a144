"""Separation: which stems are handed out, and what the original is handed out without."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER
from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.giving import read_given
from services.interpreter.builtin.named import Named, named_in
from services.interpreter.builtin.targets import VOCALS, of_group
from services.interpreter.builtin.turn import Turn
from services.interpreter.intent import Separation
from services.interpreter.language.word_classes import WANTING

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


def read_handout(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that asks for audio as it is; False where it asks for something else."""
    if _reduces_to(clause) and [t for t in named.targets if t != MASTER]:
        turn.hand_stems(tuple(target for target in named.targets if target != MASTER))
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
        return read_given(turn, clause, named)
    if clause.has("remove") and not clause.has("volume"):
        return _read_without(turn, clause, named)
    if clause.has("not") and not named.is_empty:
        return _read_without(turn, clause, named)
    if clause.has("separate"):
        return _read_stems(turn, clause, named)
    if clause.any_of(("only", "give")) or clause.has("group", "stems") or _names_all_stems(clause):
        return read_given(turn, clause, named)
    if clause.has("leave") and clause.has("only"):
        return _read_stems(turn, clause, named)
    if (
        named.excluded
        and (named.group or named.targets)
        and not clause.any_of(("set", "add", "volume"))
    ):
        turn.hand_without(named.excluded)
        return True
    return False


_HANDING = {
    "give", "send", "export", "bounce", "get", "hand", "render", "give me", "send me", "get me",
}  # fmt: skip


def _hands_part(clause: Clause) -> bool:
    """Whether a part is handed out as it is to sound: "give me the drums compressed"."""
    said = [item for item in clause.lexemes if not item.has("filler", "article", "polite")]
    if len(said) > 1 and said[0].text in _HANDING and said[1].text in {"me", "us"}:
        said = said[1:]
    elif not (said and said[0].text in _SENDING):
        return False
    named = len(said) > 2 and (said[1].has("target") or said[1].has("six"))
    sounds = clause.any_of(_SOUNDING) or bool(clause.numbers("semitone"))
    return named and not said[1].has("target", MASTER) and sounds


_SENDING = {"send me", "get me", "export", "bounce", "render", "download", "hand me", "give me"}
_SOUNDING = ("pitch", "compression", "reverb", "echo", "chorus", "distortion", "filter")


def asks_for_part(clause: Clause) -> bool:
    """Whether only the part that is changed is wanted: "give me just the vocals pitched up"."""
    if _hands_part(clause):
        return True
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
            turn.hand_without((stem,))
    if "acapella" in files:
        others = () if clause.any_of(("remove", "except")) else named.targets
        turn.hand_stems(tuple(dict.fromkeys((VOCALS, *(t for t in others if t != MASTER)))))
    if "instrumental" in files and not set(files) & set(_LESS_FILES):
        _read_instrumental(turn, clause, named)
    return True


def _read_instrumental(turn: Turn, clause: Clause, named: Named) -> None:
    place = clause.index("file", "instrumental")
    is_source = any(item.text == "from" for item in clause.lexemes[max(0, place - 2) : place])
    stems = tuple(target for target in named.targets if target != MASTER)
    if clause.any_of(("remove", "except")) or named.excluded:
        turn.hand_without(named.excluded or stems or (VOCALS,))
        return
    if stems and clause.has("separate"):
        turn.hand_stems(stems)
        if is_source:
            return
    elif stems and "and" in clause.text.split():
        turn.hand_stems(stems)
    turn.hand_without((VOCALS,))


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
        turn.hand_stems(keeps.targets)
        return True
    kept = tuple(target for target in keeps.targets if target != MASTER)
    if kept and (clause.has("give") or (turn.stems and clause.joiner == "and")):
        turn.hand_stems(kept)
        return True
    if removed.group == "rest" and keeps.targets:
        turn.hand_stems(tuple(target for target in keeps.targets if target != MASTER))
        return True
    stems = _removed_stems(turn, clause, removed)
    if not stems:
        return False
    if set(stems) >= set(turn.context.stems):
        raise UnclearError("That would leave silence. Which part should stay?")
    turn.hand_without(stems)
    needless = clause.has("not") and any(i.text in WANTING for i in clause.with_kind("give"))
    if needless or any(item.text in _NOT_NEEDED for item in clause.lexemes):
        turn.unneeded += stems
    return True


_NOT_NEEDED = {"do not need", "do not want", "have no use for", "no use for", "no need for"}


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
        if removed.pronoun == "both" and len(known) != 2:
            raise UnclearError("Both of which?")  # two effects, perhaps
        return tuple(target for target in known if target != MASTER)
    return ()


def _read_stems(turn: Turn, clause: Clause, named: Named) -> bool:
    named = _before_source(turn, clause, named)
    if named.excluded and (clause.has("leave") or named.group or named.targets == (MASTER,)):
        if clause.has("group", "all") and "stem" in clause.text:
            turn.hand_stems(turn.everything_but(named.excluded))
        else:
            turn.hand_without(named.excluded)
        return True
    if named.group in {"all", "stems"} and not [t for t in named.targets if t != MASTER]:
        turn.hand_stems(turn.context.stems)
        return True
    if named.group == "instruments":
        if any(item.text in _EACH for item in clause.lexemes):
            turn.hand_stems(turn.everything_but((VOCALS, *named.excluded)))
            return True
        if named.targets:
            turn.hand_stems(tuple(t for t in named.targets if t != MASTER))
        turn.hand_without((VOCALS,))
        return True
    stems = tuple(target for target in named.targets if target != MASTER)
    if named.group == "rest" and stems:
        turn.hand_stems(stems)
        into = (
            "into" in clause.text.split()
            or "and the rest" in clause.text
            or "and everything else" in clause.text
        )
        if into:
            turn.hand_without(stems)
        return True
    together = any("another" in item.text or "second" in item.text for item in clause.lexemes)
    if named.group == "rest" and together and turn.stems:
        turn.hand_without(tuple(turn.stems))  # "vocals on one track, the rest on another"
        return True
    if named.group in {"rest", "rhythm"}:
        turn.hand_stems(of_group(turn, named, one_by_one=True) or ())
        return True
    if stems:
        turn.hand_stems(stems)
        return True
    if named.pronoun in {"them", "both", "that", "one"} and turn.last_named:
        turn.hand_stems(tuple(t for t in turn.last_named if t != MASTER))
        return True
    one_part = any(item.text.startswith(_ONE_PART_VERBS) for item in clause.lexemes)
    if named.pronoun in {"them", "both"} or (
        named.pronoun in {"that", "it"} and (one_part or clause.has("only"))
    ):
        known = turn.mentioned or tuple(t for t in turn.conversation.touched() if t != MASTER)
        if known:
            turn.hand_stems(known)
            return True
    if clause.any_of(("leave",)):
        return False
    if "nothing else" in clause.text or "in isolation" in clause.text:
        return False
    if one_part:
        raise UnclearError("Which part should I isolate?")
    turn.hand_stems(turn.context.stems)
    return True


def _before_source(turn: Turn, clause: Clause, named: Named) -> Named:
    """Drops what stems are taken from: "the vocals from the rest", "from everything else"."""
    for place, item in enumerate(clause.lexemes):
        if item.text in {"from", "out of"}:
            kept = named_in(replace(clause, lexemes=clause.lexemes[:place]), turn.context.stems)
            if not kept.is_empty:
                return replace(kept, excluded=named.excluded)
    return named

"""A clause to what it asks for: the dispatch between settings, hand-outs and history."""

from __future__ import annotations

from dataclasses import replace

from mixdown.mix import MASTER, Filter, TargetSettings
from services.interpreter import replies
from services.interpreter.builtin import amounts, effects, handout, loudness, timbre
from services.interpreter.builtin.bass import bass_is_tone
from services.interpreter.builtin.changing import kind_of_change, says_no_loudness
from services.interpreter.builtin.clauses import (
    COLORING_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    Clause,
)
from services.interpreter.builtin.coloring import coloring_changes
from services.interpreter.builtin.complaints import with_echo_as_reverb
from services.interpreter.builtin.completing import completed
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.evidence import check_parts, check_read, check_taken
from services.interpreter.builtin.history import read_history
from services.interpreter.builtin.leaving import (
    NO,
    is_left_alone,
    is_not_muted,
    is_same_part,
    wants_back,
    without_unwanted,
)
from services.interpreter.builtin.muting import read_back, read_mute, read_neutral, read_unmute
from services.interpreter.builtin.named import Named, named_in
from services.interpreter.builtin.passages import faded, read_rescoped
from services.interpreter.builtin.placing import read_placing
from services.interpreter.builtin.repeat import read_reference
from services.interpreter.builtin.targets import having, targets_of
from services.interpreter.builtin.turn import Held, Turn
from services.interpreter.builtin.unclear import check_clear
from services.interpreter.builtin.varying import AMOUNTS
from services.interpreter.intent import Change, Clearing, Edit, Setting


def read_clause(turn: Turn, clause: Clause) -> None:
    """Adds to the turn what a clause asks for.

    Raises:
        UnclearError: the clause is about the track, but leaves open what is meant.
    """
    clause = with_echo_as_reverb(turn, without_unwanted(completed(clause)))
    is_tone = bass_is_tone(clause)
    skip = frozenset({clause.index("target", "bass")}) if is_tone else frozenset()
    named = named_in(clause, turn.context.stems, skip)
    if clause.has("bound") and clause.numbers("hz") and named.group == "all":
        named = replace(named, group="")  # "everything below 80 Hz" is a range, not a target
    if is_not_muted(turn, clause, named) and read_unmute(turn, named):
        return
    if wants_back(turn, clause, named) and read_unmute(turn, named):
        return
    if is_left_alone(clause, named) or (turn.edits and is_same_part(clause)):
        turn.leaves = True
        set_before = named.is_empty and named.pronoun in {"it", "that"}
        set_before = set_before or clause.any_of(EFFECT_KINDS)  # "but keep the drum reverb"
        turn.keeps_mix = turn.keeps_mix or set_before
        turn.kept += tuple(target for target in named.targets if target != MASTER)
        taken = (*turn.without, *turn.stems)
        if taken and (clause.has("small") or any(i.stem in taken for i in named.instruments)):
            turn.doubts.append(clause.text)  # "karaoke, but keep the backing vocals"
        if not clause.has("leave"):
            turn.name(named.targets)  # "don't mute the drums, just turn them down"
        turn.named += [target for target in named.targets if target not in turn.named]
        return
    check_clear(clause, named)
    if turn.range is not None and read_rescoped(turn, clause, named):
        return
    if read_placing(turn, clause, named) or _read_unsupported(turn, clause, named):
        return
    if read_history(turn, clause, named):
        return
    if clause.unknown and named.is_empty and not named.pronoun and not clause.has("file"):
        # "mute the foobar" must not mute the whole mix.
        raise UnclearError(replies.unknown_part(clause.unknown[0]))
    if named.instruments and not _is_about_nothing(clause):
        turn.held += [Held(instrument, clause) for instrument in named.instruments]
        if not named.targets and not named.group:
            return
    if not is_tone and read_reference(turn, clause, named):
        return
    _read_change(turn, clause, named, bass_is_tone=is_tone)


def _read_change(turn: Turn, clause: Clause, named: Named, *, bass_is_tone: bool) -> None:
    kind = kind_of_change(clause, bass_is_tone=bass_is_tone)
    if named.group == "rest" and clause.has("down", "drop") and not clause.numbers():
        # "keep the drums, drop the rest"
        kept = tuple(NO if item.has("down", "drop") else item for item in clause.lexemes)
        clause = replace(clause, lexemes=kept)
    if kind in {"", "gain"} and _read_taken(turn, clause, named):
        return
    if kind == "" or (kind == "gain" and says_no_loudness(clause)):
        if clause.has("mute") or clause.has("unmute") or clause.has("off"):
            read_mute(turn, clause, named)
            return
        if clause.has("back") and not clause.has("down"):
            read_back(turn, clause, named)
            return
        if clause.has("neutral"):
            read_neutral(turn, clause, named)
            return
        _read_nothing(turn, clause, named)
        return
    if clause.has("mute") and kind == "gain":
        raise UnclearError("Mute it, or change its level?")
    brings_back = clause.has("unmute") or (
        clause.has("back") and kind == "gain" and not clause.has("down")
    )
    measured = clause.numbers() or clause.any_of(("half", "double"))
    if brings_back and read_unmute(turn, named) and not measured:
        return
    _read_effect(turn, clause, named, kind, bass_is_tone=bass_is_tone)


def _read_taken(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a hand-out; what it would leave unread is asked."""
    if turn.range is not None:
        return _read_silenced(turn, clause, named)
    known = len(turn.stems), len(turn.without), len(turn.outputs)
    if not handout.read_handout(turn, clause, named):
        return False
    try:
        check_taken(clause)
    except UnclearError:
        for kept, length in zip((turn.stems, turn.without, turn.outputs), known, strict=True):
            del kept[length:]
        raise
    return True


def _read_silenced(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "remove the vocals from 1:10 to 1:25": silent there. Other files are whole tracks."""
    stems = tuple(target for target in named.targets if target != MASTER)
    if clause.has("remove") and stems and not clause.any_of(("only", "give", "separate", "file")):
        turn.add_edits(Edit(stem, "muted", True) for stem in stems)
        turn.name(stems)
        return True
    if clause.any_of(("give", "only", "separate", "file")):
        turn.not_done.append("cutting and arranging")
        return True
    return False


# --- Reading -------------------------------------------------------------------------------------


def _read_effect(
    turn: Turn, clause: Clause, named: Named, kind: str, *, bass_is_tone: bool
) -> None:
    kind = _meant_pitch(turn, clause, named, kind)
    if kind == "pan" and named.is_empty and (clause.lexemes[0].text == "my" or _steers(clause)):
        raise UnclearError("Which part should go to that side?")  # "… with my right ear"
    _check_amount_of(turn, clause, kind)
    turn.doubt(check_read(clause, kind))
    if len(named.targets) > 1:
        check_parts(clause)
    _check_loudness_word(clause, kind)
    setting, sign = _setting_and_sign(clause, kind)
    targets = targets_of(turn, clause, named, setting=setting, sign=sign)
    if named.group == "all" and not named.excluded and _takes_back(clause, kind):
        targets = having(turn, {setting}) or targets  # "no reverb anywhere", "centre everything"
    targets = tuple(target for target in targets if target not in named.excluded)
    if not targets:
        raise UnclearError("Which part of the song do you mean?")
    for target in targets:
        settings = turn.mix[target]
        changes = _changes(clause, kind, settings, bass_is_tone=bass_is_tone)
        if kind == "fade" and clause.spans:
            turn.add_edits(faded(target, changes, clause.spans[0], turn.range))
            continue
        turn.add_edits(Edit(target, name, change) for name, change in changes)
    turn.name(targets)
    if handout.asks_for_part(clause):
        turn.outputs += [t for t in targets if t != MASTER and t not in turn.outputs]


def _steers(clause: Clause) -> bool:
    """Whether it may as well be said to a driver: "turn left", "take a right at the light"."""
    said = [
        item
        for item in clause.lexemes
        if item.text in _STEERING or not (item.has("filler") or item.has("ok"))
    ]
    steers = len(said) > 1 and said[0].text in _STEERING and said[1].has("side")
    return steers and not clause.any_of(("pronoun", "more", "volume"))


_STEERING = {"turn", "take", "make", "go", "bear", "keep"}


def _check_amount_of(turn: Turn, clause: Clause, kind: str) -> None:
    """Asks what "more like 20%" is of, after a change of reverb."""
    if kind != "gain" or not clause.numbers("percent") or clause.has_named_target:
        return
    if turn.edits or clause.any_of(("volume", "up", "down", "half", "double")):
        return
    past = turn.conversation.latest_change()
    if past and past.edits and all(edit.setting in AMOUNTS for edit in past.edits):
        raise UnclearError(f"{past.edits[0].setting.capitalize()}, or loudness?")


def _takes_back(clause: Clause, kind: str) -> bool:
    """Whether a setting is to go back to neutral, wherever it is set."""
    if kind == "pan":
        return clause.has("side", "centre") or clause.has("neutral")
    return kind in {"reverb", "compression", "pitch", "eq", *COLORING_KINDS} and clause.any_of(
        ("remove", "off", "neutral")
    )


def _meant_pitch(turn: Turn, clause: Clause, named: Named, kind: str) -> str:
    """Reads "a bit lower" as pitch where the last change was one of pitch."""
    says = any(item.text in {"lower", "higher"} for item in clause.lexemes)
    if kind != "gain" or not says or named.targets or clause.has("volume") or clause.numbers("db"):
        return kind
    past = turn.conversation.latest_change()
    if past and past.edits and all(edit.setting == "pitch_semitones" for edit in past.edits):
        return "pitch"
    return kind


def _check_loudness_word(clause: Clause, kind: str) -> None:
    if kind != "gain":
        return
    says_how_much = bool(clause.numbers()) or clause.any_of(
        ("volume", "small", "big", "half", "double")
    )
    if _only_names_level(clause) and not says_how_much:
        raise UnclearError("Louder or quieter, and by how much?")  # "in a loud band"
    if clause.has("up", "high") and not clause.has("volume"):
        if clause.numbers("db", "percent"):
            return
        raise UnclearError("Do you mean louder, or higher in pitch?")
    dropped = clause.has("down", "drop") and not clause.has("down", "plain")
    if (dropped or clause.has("down", "cut")) and not says_how_much:
        raise UnclearError("Should I take it out, or turn it down?")


def _only_names_level(clause: Clause) -> bool:
    """Whether a level is only an adjective: "a loud band"."""
    ways = [item for item in clause.lexemes if item.has("up") or item.has("down")]
    asks = ("set", "give", "need", "add", "too", "toomuch", "more", "less", "even", "not")
    return bool(ways) and all(i.text in {"loud", "quiet"} for i in ways) and not clause.any_of(asks)


def _setting_and_sign(clause: Clause, kind: str) -> tuple[str, int]:
    reduced = amounts.is_reduction(clause)
    sign = -1 if reduced else 1 if amounts.is_addition(clause) else 0
    names = {
        "gain": "gain_db", "pan": "pan", "reverb": "reverb", "pitch": "pitch_semitones",
        "compression": "compression", "eq": "eq", "tone": "eq", "filter": "filters",
        "echo": "echo", "chorus": "chorus", "distortion": "distortion", "width": "width",
        "fade": "fade_out_s",
    }  # fmt: skip
    if kind == "gain":
        sign = loudness.loudness_direction(clause)
    return names[kind], sign


def _changes(
    clause: Clause, kind: str, settings: TargetSettings, *, bass_is_tone: bool
) -> list[tuple[Setting, Change]]:
    match kind:
        case "gain":
            change = loudness.gain_change(clause, settings)
            if change is None:
                raise UnclearError("Louder or quieter, and by how much?")
            return [("gain_db", change)]
        case "reverb":
            return [("reverb", effects.reverb_change(clause, settings))]
        case "pitch":
            return [("pitch_semitones", effects.pitch_change(clause, settings))]
        case "pan":
            return [("pan", effects.pan_change(clause, settings))]
        case "compression":
            if amounts.degree_too(clause) and settings.compression == "none":
                raise UnclearError("I have not compressed that; it is in the recording.")
            return [("compression", effects.compression_change(clause, settings))]
        case "echo" | "chorus" | "distortion" | "width" | "fade":
            return [*coloring_changes(clause, kind, settings)]
        case "tone":
            return [("eq", band) for band in timbre.tone_bands(clause)]
        case "filter":
            found = timbre.filter_change(clause, settings)
            return [("filters" if isinstance(found, Filter) else "clear", found)]
        case _:
            bands = timbre.eq_changes(clause, settings, bass_is_tone=bass_is_tone)
            return [("clear" if isinstance(band, Clearing) else "eq", band) for band in bands]


def _read_nothing(turn: Turn, clause: Clause, named: Named) -> None:
    """Where a target is named and nothing is asked of it, asks; remembers it otherwise."""
    found = named.targets
    if named.group in {"all", "stems"} and not found:
        found = (MASTER,)
    elif named.pronoun and not found:
        found = turn.last_named or turn.conversation.touched() or (MASTER,)
    if clause.has("complaint") and found and not clause.any_of(("vague",)):
        turn.name(found)
        return
    if clause.any_of(("vague", "set", "add", "give", "only", "need", "even", "effects")) or found:
        turn.name(found)
        if not (clause.unknown or clause.any_of(("none", "vague"))):
            turn.idle += tuple(target for target in found if target != MASTER)
        parts = [target for target in found if target != MASTER]
        if clause.unknown:
            raise UnclearError(replies.unknown_wish(clause.unknown[0], parts))
        what = " and ".join("mix" if t == MASTER else t for t in found) or "song"
        raise UnclearError(f"What should I do with the {what}: louder, quieter, an effect?")


# --- What is not meant ---------------------------------------------------------------------------


def _is_about_nothing(clause: Clause) -> bool:
    return not (
        clause.has_action
        or clause.any_of(("give", "only", "add", "set", "volume", "need", "vague"))
        or clause.numbers()
        or (
            clause.has("group") and clause.any_of(("except", "but"))
        )  # "everything but the strings"
    )


_HARMLESS_NEAR = {
    "stereo width": ("side", "pan"),
    "tempo": (),
    "noise reduction": (),
}


_PROJECTS = ("am making", "are making", "am doing", "are doing", "am working on", "are working on")


def _tells_of_project(clause: Clause) -> bool:
    """Whether somebody only tells what he is doing: "I am making a mashup"."""
    text = clause.without(lambda item: item.has("ok") or bool(item.mark)).text
    who = text.removeprefix("so ").removeprefix("i ").removeprefix("we ")
    return who != text and who.startswith(_PROJECTS)


_BORDERS = {"at the start", "at the beginning", "in the beginning", "at the end"}


def _read_unsupported(turn: Turn, clause: Clause, named: Named) -> bool:
    operations = clause.values("unsupported")
    kept = [
        name
        for name in operations
        if not clause.any_of(_HARMLESS_NEAR.get(name, ())) or not _HARMLESS_NEAR.get(name)
    ]
    if "cutting and arranging" in kept and clause.any_of(("reverb", "separate")):
        kept.remove("cutting and arranging")
    borders = any(item.text in _BORDERS for item in clause.lexemes)
    if borders and clause.any_of(("reset", "undo", "neutral", "fade")):
        return False  # "reset everything to how it was at the start", "fade it out at the end"
    if not kept or _tells_of_project(clause):
        return False
    turn.not_done += [name for name in kept if name not in turn.not_done]
    only_where = not clause.any_of(
        (*NAMED_KINDS, *EFFECT_KINDS, "up", "down", "mute", "pronoun", "for")
    )
    if "editing only a section" in kept and only_where and not turn.edits:
        turn.cued = True  # "in the chorus, mute the drums"
    turn.name(target for target in named.targets if target != MASTER)
    return True

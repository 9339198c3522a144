"""Revising an earlier change: "half of that", "the other way", "move that up to 4k", "narrower"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mixdown.mix import MASTER, EqBand, Filter
from services.interpreter.builtin.clauses import NAMED_KINDS, Clause, is_filler
from services.interpreter.builtin.conversation import Past
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.named import Named
from services.interpreter.builtin.turn import Turn
from services.interpreter.builtin.varying import AMOUNTS
from services.interpreter.edits import is_same_band
from services.interpreter.intent import Adjustment, Clearing, CompressionChange, Edit, Setting
from services.interpreter.language.lexemes import Lexeme, Number
from services.interpreter.language.word_classes import MEANT

_WORDS = (
    "pronoun", "set", "to", "only", "instead", "accept", "ok", "decline", "greeting", "but", "and",
    "also", "bound", "not", "even",
)  # fmt: skip


def read_revision(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads a clause that revises the latest change; False for any other clause."""
    found = (
        _read_copied(turn, clause, named)
        or _read_put_elsewhere(turn, clause, named)
        or _read_share(turn, clause, named)
        or _read_opposite(turn, clause, named)
        or _read_moved(turn, clause, named)
        or _read_width(turn, clause, named)
    )
    turn.revises = turn.revises or found
    return found


_AS_MUCH = {
    "half as many", "half as much", "twice as many", "twice as much", "half the amount",
    "twice the amount", "double the amount",
}  # fmt: skip
_VERBS = {"double", "doubled", "triple", "halve", "halved"}


def _consists_of(clause: Clause, *kinds: str) -> bool:
    return all(
        item.mark
        or item.number
        or item.text == "band"
        or is_filler(item)
        or any(item.has(kind) for kind in (*_WORDS, *kinds))
        for item in clause.lexemes
    )


def _newest(turn: Turn) -> Past | None:
    """Returns the turn right before, where it changed the mix."""
    past = turn.conversation.latest_change()
    if past is None or not past.edits or past.exchange is not turn.conversation.newest:
        return None
    return past


# --- As much as another part has ------------------------------------------------------------------


def _read_copied(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "give the drums the same reverb as the vocals": one setting taken over."""
    kinds = [kind for kind in _COPIED if clause.has(kind)]
    if len(kinds) != 1 or clause.numbers():
        return False
    stems = [target for target in named.targets if target != MASTER]
    taken = _taken_from(clause)
    if taken and len(stems) > 1:
        setting = _COPIED[kinds[0]]
        _copy(turn, setting, taken, [stem for stem in stems if stem != taken])
        if any(item.text == "move" for item in clause.lexemes):
            nothing = CompressionChange("none") if setting == "compression" else _NOTHING
            turn.add_edits([Edit(taken, setting, nothing)])
        return True
    share = _share(clause) if any(item.text in _AS_MUCH for item in clause.lexemes) else None
    if len(stems) == 1 and not taken and _moves(clause):
        return _move(turn, _COPIED[kinds[0]], stems[0])
    if not clause.has("pronoun", "same") and share is None:
        return False
    last = max((i for i, item in enumerate(clause.lexemes) if _names(item)), default=-1)
    before = [item.text for item in clause.lexemes[max(0, last - 4) : last]]
    if len(stems) < 2 or not {"as", "that", "like"} & set(before):
        return False
    return _copy(turn, _COPIED[kinds[0]], stems[-1], stems[:-1], share or 1.0)


def _moves(clause: Clause) -> bool:
    """Whether an effect as it is goes elsewhere: "move the reverb to the vocals"."""
    opens = next((item for item in clause.lexemes if not is_filler(item)), None)
    return (
        opens is not None
        and opens.text == "move"
        and any(item.has("to") or item.has("in") for item in clause.lexemes)
        and clause.any_of(("reverb", "compression", "echo", "chorus", "distortion"))
        and not clause.any_of(("small", "big", "up", "down", "side"))
    )


def _move(turn: Turn, setting: Setting, target: str) -> bool:
    owners = [t for t in turn.mix.targets if t != target and setting in turn.mix[t].changed()]
    if len(owners) != 1:
        raise UnclearError("From which part should I move it?")
    _copy(turn, setting, owners[0], [target])
    nothing = CompressionChange("none") if setting == "compression" else _NOTHING
    turn.add_edits([Edit(owners[0], setting, nothing)])
    return True


def _read_put_elsewhere(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "take the reverb off the vocals and put it on the drums"."""
    stems = [target for target in named.targets if target != MASTER]
    if not (stems and turn.edits and named.pronoun in {"it", "that"} and clause.has("set")):
        return False
    taken = turn.last_edits()
    if len(taken) != 1 or not _consists_of(clause, "add", *NAMED_KINDS):
        return False
    setting, source = taken[0].setting, taken[0].target
    if setting not in _COPIED.values() or setting in turn.mix[source].changed():
        return False
    value = getattr(turn.context.mix[source], setting)
    change = CompressionChange(value) if setting == "compression" else Adjustment(value, False)
    turn.add_edits(Edit(target, setting, change) for target in stems)
    turn.name(stems)
    return True


def _taken_from(clause: Clause) -> str:
    """Returns where a setting is taken from: "use the reverb from the vocals on the drums"."""
    if not clause.any_of(("set", "add", "give")) or clause.any_of(_CHANGING):
        return ""
    effect = next((i for i, item in enumerate(clause.lexemes) if _is_copied(item)), -1)
    owner = next((i for i in reversed(clause.lexemes[:effect]) if not i.has("filler")), None)
    placed = next((i for i in clause.lexemes[effect + 1 :] if not i.has("filler")), None)
    if owner is not None and _names(owner) and placed is not None and placed.text in _ONTO:
        return owner.value("target") or owner.value("six")  # "put the vocals' reverb on the drums"
    for index in range(effect + 1, len(clause.lexemes)):
        if clause.lexemes[index].text != "from":
            continue
        following = next((i for i in clause.lexemes[index + 1 :] if not is_filler(i)), None)
        if following is not None and _names(following):
            return following.value("target") or following.value("six")
    return ""


def _is_copied(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in _COPIED)


def _copy(turn: Turn, setting: Setting, source: str, stems: list[str], share: float = 1.0) -> bool:
    if setting not in turn.mix[source].changed():
        raise UnclearError(f"Nothing of that is set on the {source}. How much should it be?")
    value = getattr(turn.mix[source], setting)
    if share != 1.0 and setting not in AMOUNTS:
        raise UnclearError("How much should that be?")
    change = (
        CompressionChange(value) if setting == "compression" else Adjustment(value * share, False)
    )
    turn.add_edits(Edit(target, setting, change) for target in stems)
    turn.name(stems)
    return True


def _names(item: Lexeme) -> bool:
    return item.has("target") or item.has("six")


_NOTHING = Adjustment(0.0, False)
_ONTO = {"on", "onto", "to"}
_CHANGING = ("remove", "off", "less", "more", "up", "down", "mute", "toomuch", "none", "half")
_COPIED: Mapping[str, Setting] = {
    "reverb": "reverb",
    "compression": "compression",
    "pan": "pan",
    "pitch": "pitch_semitones",
    "volume": "gain_db",
    "echo": "echo",
    "chorus": "chorus",
    "distortion": "distortion",
    "width": "width",
}

# --- Shares and multiples ------------------------------------------------------------------------


def _read_share(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "half of that" and "bass twice that": a share of the change before."""
    share = _share(clause)
    as_much = (bool(turn.edits) or _newest(turn) is not None) and any(
        item.text in _AS_MUCH for item in clause.lexemes
    )
    if share is None or not (clause.has("pronoun", "that", "it", "same") or as_much):
        return False
    if any(item.text in _VERBS for item in clause.lexemes) and not _scales_last(turn, clause):
        return False  # "double it" is a command of its own
    lessened = ("less",) if clause.has("pronoun", "that") and share < 1 else ()
    if not _consists_of(clause, "half", "double", "of", *NAMED_KINDS, "share", *lessened):
        return False
    targets = named.targets
    if turn.edits:
        scaled = [_scaled(edit, share) for edit in turn.last_edits()]
        wanted = targets or turn.last_named
        edits = [replace(edit, target=target) for target in wanted for edit in scaled if edit]
    else:
        past = _newest(turn)
        if past is None:
            return False
        if targets:
            scaled = [_scaled(edit, share) for edit in past.edits]
            edits = [replace(edit, target=target) for target in targets for edit in scaled if edit]
        else:
            edits = [edit for edit in (_lessened(turn, e, share) for e in past.edits) if edit]
    if not edits:
        return False
    turn.add_edits(edits)
    turn.name(dict.fromkeys(edit.target for edit in edits))
    return True


def _scales_last(turn: Turn, clause: Clause) -> bool:
    """Whether "double that" or "halve it" is about the last change, not the loudness."""
    past = _newest(turn)
    if past is None or turn.edits:
        return False
    amounts = all(edit.setting in AMOUNTS for edit in past.edits)
    return clause.has("pronoun", "that") or (clause.has("pronoun", "it") and amounts)


def _share(clause: Clause) -> float | None:
    if clause.has("double", "double"):
        return 2.0
    if clause.has("double", "triple"):
        return 3.0
    if clause.has("half", "half"):
        return 0.5
    shares = clause.numbers("share", "times")
    return shares[0].value if len(shares) == 1 else None


def _scaled(edit: Edit, share: float) -> Edit | None:
    match edit.change:
        case Adjustment(value, relative):
            return replace(edit, change=Adjustment(value * share, relative))
        case EqBand() as band:
            return replace(edit, change=replace(band, gain_db=band.gain_db * share))
        case _:
            return None


def _lessened(turn: Turn, edit: Edit, share: float) -> Edit | None:
    """Returns what turns a change that was made into a share of itself."""
    match edit.change:
        case Adjustment(value, True):
            return replace(edit, change=Adjustment(value * (share - 1), True))
        case Adjustment():
            now = getattr(turn.mix[edit.target], edit.setting)
            return replace(edit, change=Adjustment(now * share, False))
        case EqBand() as band:
            return replace(edit, change=replace(band, gain_db=band.gain_db * (share - 1)))
        case _:
            return None


# --- The other way -------------------------------------------------------------------------------


def _read_opposite(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "no, the other way" and "I meant cut": the last change turned round."""
    if named.targets or named.group or turn.edits or clause.numbers():
        return False
    turned = clause.has("opposite") and _consists_of(clause, "opposite")
    past = _newest(turn)
    if past is None or not (turned or _is_bare_direction(clause, past)):
        return False
    edits: list[Edit] = []
    for edit in past.edits:
        match edit.change:
            case Adjustment(value, True):
                edits.append(replace(edit, change=Adjustment(-2 * value, True)))
            case Adjustment(value, False) if edit.setting in {"pan", "gain_db", "pitch_semitones"}:
                edits.append(replace(edit, change=Adjustment(-value, False)))
            case EqBand() as band:
                edits.append(replace(edit, change=replace(band, gain_db=-2 * band.gain_db)))
            case _:
                return False
    turn.add_edits(edits)
    turn.name(dict.fromkeys(edit.target for edit in edits))
    return True


def _is_bare_direction(clause: Clause, past: Past) -> bool:
    """Whether "I meant cut" turns a boost round."""
    if not any(item.text in MEANT for item in clause.lexemes):
        return False
    if not _consists_of(clause, "up", "down"):
        return False
    rises = [
        edit.change.value if isinstance(edit.change, Adjustment) else edit.change.gain_db
        for edit in past.edits
        if isinstance(edit.change, Adjustment | EqBand)
    ]
    if len(rises) != len(past.edits):
        return False
    wanted = clause.has("up") - clause.has("down")
    return wanted != 0 and all(value * wanted < 0 for value in rises)


# --- Another frequency, another width ------------------------------------------------------------


def _read_moved(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "move that up to 4k" and "open it up to 3k": the same band or filter elsewhere."""
    numbers = clause.numbers("hz")
    if len(numbers) != 1 or len(clause.numbers()) != 1 or named.group or not clause.has("to"):
        return False
    if [target for target in named.targets if target != MASTER]:
        return False
    if clause.has("filter") and not clause.has("filter", "any"):
        return False
    if not _consists_of(clause, "up", "down", "eq", "filter", "opened"):
        return False
    past = _newest(turn)
    if past is None or len(past.edits) != 1 or not (named.pronoun or clause.any_of(("filter",))):
        return False
    edits = _moved(past.edits[0], numbers[0])
    if not edits:
        return False
    turn.add_edits(edits)
    turn.name((past.edits[0].target,))
    return True


def _moved(edit: Edit, number: Number) -> list[Edit]:
    match edit.change:
        case Filter(kind) if kind != "bandpass":
            return [replace(edit, change=Filter(kind, cutoff_hz=number.value))]
        case EqBand() as band:
            old = Clearing("eq_band", frequency_hz=band.frequency_hz)
            moved = replace(band, frequency_hz=number.value)
            return [Edit(edit.target, "clear", old), replace(edit, change=moved)]
        case _:
            return []


def _read_width(turn: Turn, clause: Clause, named: Named) -> bool:
    """Reads "make that band narrower": the same band with another q."""
    if not clause.has("q", "narrow", "wide") or clause.numbers() or named.targets:
        return False
    if not _consists_of(clause, "q", "eq", "small", "big", "more", "up", "down"):
        return False
    past = _newest(turn)
    band = past.edits[-1].change if past else None
    if past is None or not isinstance(band, EqBand):
        return False
    target = past.edits[-1].target
    now = next(
        (b for b in turn.mix[target].eq if is_same_band(b.frequency_hz, band.frequency_hz)), band
    )
    q = now.q * (2.0 if clause.has("q", "narrow") else 0.5)
    cleared = Edit(target, "clear", Clearing("eq_band", frequency_hz=now.frequency_hz))
    turn.add_edits([cleared, Edit(target, "eq", replace(now, q=q))])
    turn.name((target,))
    return True

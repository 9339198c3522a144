"""Complaints and their remedies.

A complaint asks for its remedy ("the drums are too loud"), unless a command that follows tells the
remedy ("the mix is too hot, lower it slightly" lowers once).
"""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.amounts import degree_too, is_excess
from services.interpreter.builtin.bass import bass_is_tone
from services.interpreter.builtin.clauses import EFFECT_KINDS, NAMED_KINDS, TARGET_KINDS, Clause
from services.interpreter.builtin.named import named_in
from services.interpreter.builtin.statements import (
    ASKING,
    copula_of,
    is_complaint,
    is_statement,
    tells_taste,
)
from services.interpreter.builtin.talk import is_praise
from services.interpreter.builtin.turn import Turn
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import CURING, EASING, LEVELS, PLANNING


def without_explained_complaints(clauses: list[Clause]) -> list[Clause]:
    """Drops complaints that a later command takes care of; only their target is kept."""
    result: list[Clause] = []
    clauses = _without_tastes(clauses)
    clauses = _without_remedies([_complained(clause) for clause in clauses])
    for index, clause in enumerate(clauses):
        if index and _explains(clauses[index - 1], clause):
            continue
        told, spot = is_complaint(clause), _is_spot(clause)
        later = range(index + 1, min(index + 1 + _SOON, len(clauses)))
        remedy = next((i for i in later if _cures(clauses[i], clause, told=told, spot=spot)), 0)
        if remedy:
            clauses[remedy] = _with_object(clauses[remedy], clause)
            result.append(_only_named(clause))
        else:
            result.append(clause)
    return [clause for clause in result if clause.lexemes]


_SOON = 8
"""How many clauses behind a complaint its remedy may stand."""


def _explains(command: Clause, complaint: Clause) -> bool:
    """Whether a complaint only gives the reason: "song up 4 dB, it's so quiet on my phone"."""
    if not is_complaint(complaint) or complaint.any_of(NAMED_KINDS) or is_complaint(command):
        return False
    if is_statement(command) or not command.any_of(TARGET_KINDS):
        return False
    tonal = ("tone", "region", "eq")
    if complaint.any_of(EFFECT_KINDS):
        return command.any_of(tonal) and complaint.any_of(tonal)
    return command.any_of(("up", "down")) and not command.any_of(EFFECT_KINDS)


def _cures(wanted: Clause, fault: Clause, *, told: bool, spot: bool) -> bool:
    """Whether a later command takes care of a complaint, told or by pointing at its spot."""
    lacking = _lacks_region(wanted, fault) or _is_aim(wanted, fault)
    if not (told or spot or lacking or _is_same_tone(wanted, fault)):
        return False
    if spot and not _with_object(wanted, fault).numbers("hz"):
        return False
    return _answers(wanted, fault)


def _is_spot(clause: Clause) -> bool:
    """Whether a clause only points at a frequency: "there's a ringing around 800 hertz"."""
    acts = clause.has_verb or clause.numbers("db") or clause.any_of(("up", "down", "filter"))
    edge = clause.has("bound") and not clause.has("bound", "around")
    return bool(clause.numbers("hz")) and not (acts or edge)


def _is_same_tone(command: Clause, fault: Clause) -> bool:
    """Whether "make them less harsh" answers "the drums hurt my ears"."""
    same = set(command.values("tone")) & set(fault.values("tone"))
    return bool(same) and command.has("less") and not (fault.has_verb or fault.has("less"))


def _is_aim(command: Clause, fault: Clause) -> bool:
    """Whether "I want to tame the drums, so compress them" tells first what for."""
    opening = {item.text for item in fault.lexemes[:2]}
    return command.has("hence") and bool(opening & PLANNING) and not fault.numbers()


_LACKING = {"lack", "lacks", "missing", "is missing", "lacking", "could use", "needs", "wants"}


def _lacks_region(command: Clause, fault: Clause) -> bool:
    """Whether "boost its lows by 2 dB" answers "the voice lacks bottom"."""
    same = {"region", "tone"} & {
        kind for item in fault.lexemes for kind, _ in item.readings
    } and set(command.values("region")) & set(fault.values("region"))
    lacks = any(item.text in _LACKING for item in fault.lexemes)
    return bool(same) and lacks and bool(command.numbers())


_HERE = {"there", "here"}


def _with_object(command: Clause, complaint: Clause) -> Clause:
    """Says what "it" is in the command that follows a complaint: "… low mids, lower them"."""
    if command.any_of(EFFECT_KINDS) or command.numbers("hz"):
        return command
    if command.any_of(NAMED_KINDS):
        return _at_the_spot(command, complaint)
    if not command.any_of(("down", "less", "remove", "off")):
        return command
    points = command.has("pronoun") or any(map(_is_here, command.lexemes))
    points = points or any(item.text in EASING for item in command.lexemes)
    cures = command.any_of(("remove", "off")) or any(i.text in CURING for i in command.lexemes)
    spots = ("region", "reverb", "compression", *(("tone",) if cures else ()))
    about = [i for i in complaint.lexemes if any(i.has(k) for k in spots)]
    about = [i for i in complaint.lexemes if i.number and i.number.unit == "hz"] or about
    if not (points and about):
        return command
    plural = command.has("pronoun", "them") and complaint.has("target", "vocals", "drums")
    heals = any(item.text in CURING for item in command.lexemes)
    if plural and not heals and not any(item.has("region") or item.number for item in about):
        return command  # "the drums have too much reverb, turn them down"
    names = [item for item in complaint.lexemes if any(item.has(k) for k in NAMED_KINDS)]
    kept = [i for i in command.lexemes if not (i.has("pronoun") or i.text in _HERE)]
    return replace(
        command, lexemes=(*kept, _AT, *about, _ON, *names) if names else (*kept, _AT, *about)
    )


def _at_the_spot(command: Clause, complaint: Clause) -> Clause:
    """Says where "there" is: "a bit much around 9000 hertz, cut the drums there"."""
    spots = [i for i in complaint.lexemes if i.number and i.number.unit == "hz"]
    if not (spots and any(map(_is_here, command.lexemes))):
        return command
    kept = [i for i in command.lexemes if i.text not in _HERE]
    return replace(command, lexemes=(*kept, _AT, *spots))


def _is_here(item: Lexeme) -> bool:
    return item.text in _HERE or item.text.endswith((" there", " here"))


_AT = Lexeme("at", (("to", "to"),))
_ON = Lexeme("on", (("in", "in"),))


TOO = Lexeme("too", (("too", "too"),))
"""Makes a complaint of a level that is only told."""


def _without_tastes(clauses: list[Clause]) -> list[Clause]:
    """Drops what belongs to a taste: "I like the vocals with more reverb"."""
    kept: list[Clause] = []
    for index, clause in enumerate(clauses):
        before = clauses[index - 1] if index else None
        if before and clause.joiner == "with" and (tells_taste(before) or is_praise(before)):
            continue
        kept.append(clause)
    return kept


_REVERB = Lexeme("reverb", (("reverb", "reverb"),))
_NO = Lexeme("no", (("remove", "remove"),))
_RECORDED = Lexeme("echo", (("unsupported", "recorded echo"),))


def with_echo_as_reverb(turn: Turn, clause: Clause) -> Clause:
    """Reads "less of that echo on the drums" as the reverb that is set on them.

    Where echo is set it stays one; where neither is, it is in the recording.
    """
    echoes = clause.with_kind("echo")
    reduces = clause.any_of(("less", "remove", "off", "down")) or is_excess(clause)
    if not echoes or not reduces or clause.any_of(("add", "reverb")):
        return clause
    named = named_in(clause, turn.context.stems)
    about = (*named.targets, *(instrument.stem for instrument in named.instruments))
    heard = about or tuple(turn.mix.targets)
    if any(turn.mix[target].echo for target in heard):
        return clause
    meant = _REVERB if any(turn.mix[target].reverb for target in heard) else _RECORDED
    lexemes = tuple(meant if item is echoes[0] else item for item in clause.lexemes)
    return replace(clause, lexemes=lexemes)


def _complained(clause: Clause) -> Clause:
    """Reads "the drums are really loud" as "too loud": a level that is told is a complaint."""
    covering = _covers_at(clause)
    if covering > 0:
        # What is covered goes; how much is said behind it stays: "…, 2 dB less".
        rest = clause.lexemes[covering + 1 :]
        start = next((i for i, item in enumerate(rest) if _measures(item)), len(rest))
        return replace(clause, lexemes=(*clause.lexemes[:covering], _TOO_LOUD, *rest[start:]))
    if _is_drowned(clause):
        lexemes = tuple(
            _TOO_MUCH if _drowns(item) else item for item in clause.lexemes if not item.has("in")
        )
        return replace(clause, lexemes=lexemes)
    if _sticks_out(clause):
        lexemes = tuple(_TOO_LOUD if item.text in _STICKING else item for item in clause.lexemes)
        return replace(clause, lexemes=lexemes)
    place = copula_of(clause)
    if place < 0 or degree_too(clause) or clause.any_of((*ASKING, "more", "less", "enough")):
        return clause
    for index in range(place + 1, len(clause.lexemes)):
        item = clause.lexemes[index]
        if item.text in LEVELS and not clause.numbers():
            lexemes = (*clause.lexemes[:index], TOO, *clause.lexemes[index:])
            return replace(clause, lexemes=lexemes)
    return clause


_STICKING = {
    "stick out", "sticks out", "sticking out", "jump out", "jumps out", "jumping out", "poke out",
    "pokes out", "poking out", "leap out", "leaps out", "pop out", "pops out", "popping out",
}  # fmt: skip
_TOO_LOUD = Lexeme("too loud", (("toomuch", "toomuch"),))


_TOO_MUCH = Lexeme("too much", (("toomuch", "toomuch"),))


def _drowns(item: Lexeme) -> bool:
    return item.text.split()[0] in {"drowning", "swimming", "drowned", "swamped", "lost"}


def _is_drowned(clause: Clause) -> bool:
    """Whether a part is told to have too much of an effect: "the vocals are drowning in reverb"."""
    told = [item for item in clause.lexemes if _drowns(item)]
    effects = ("reverb", "echo", "distortion", "chorus")
    nouns = any(item.has(kind) for item in clause.lexemes for kind in effects if item not in told)
    asks = clause.any_of((*ASKING, "more", "less", "like", "up")) or any(
        item.has("filler", "polite") for item in clause.lexemes
    )
    return len(told) == 1 and nouns and clause.is_target_first and not asks


def _measures(item: Lexeme) -> bool:
    return bool(item.number) or any(item.has(kind) for kind in ("less", "small", "big"))


def _covers_at(clause: Clause) -> int:
    """Returns where "the drums drown out the vocals" tells what is too loud, 0 if it does not."""
    place = clause.index("covers")
    before = Clause(clause.lexemes[: max(place, 0)])
    rest = Clause(clause.lexemes[place + 1 :])
    if place < 0 or not before.has_named_target or before.any_of((*ASKING, "up", "down", "more")):
        return 0
    covered = rest.any_of(TARGET_KINDS) or rest.has("remove")
    return place if covered and not rest.any_of(("up", "down", "reverb")) else 0


def _sticks_out(clause: Clause) -> bool:
    """Whether "the drums poke out" complains, not "make the vocals stick out"."""
    place = next((i for i, item in enumerate(clause.lexemes) if item.text in _STICKING), -1)
    before = Clause(clause.lexemes[: max(place, 0)])
    return before.has_named_target and not before.any_of((*ASKING, "more", "less"))


def _without_remedies(clauses: list[Clause]) -> list[Clause]:
    """Drops "can you fix that?" after a complaint, which tells the remedy itself."""
    kept: list[Clause] = []
    for clause in clauses:
        before = kept[-1] if kept else None
        if before is not None and before.has("tone") and is_complaint(before) and _cures_it(clause):
            continue
        if before is not None and clause.has("remedy"):
            if is_complaint(before):
                continue
            if before.has("filter", "rumble"):
                kept[-1] = replace(before, lexemes=(_NO, *before.lexemes))
                continue
        kept.append(clause)
    return kept


def _cures_it(clause: Clause) -> bool:
    """Whether "smooth it out" only asks for the remedy of what was complained of."""
    said = [word for item in clause.lexemes if not item.mark for word in item.text.split()]
    verb = " ".join(word for word in said if word not in {"it", "that", "them", "please", "just"})
    return verb in CURING and clause.has("compression") and not clause.has_named_target


def _answers(command: Clause, complaint: Clause) -> bool:
    acts = command.has_action or command.any_of(("set", "add", "half"))
    if is_complaint(command) or not (acts or (command.has("give") and command.numbers())):
        return False
    if is_statement(command):
        return False
    if command.has("leave") or not command.has_named_target:
        return not command.has("leave")
    if command.has("hence") or any(map(_is_here, command.lexemes)):
        return True
    names = {item.readings for item in complaint.lexemes if any(item.has(k) for k in NAMED_KINDS)}
    if not names:
        return True
    return command.has("pronoun") or any(item.readings in names for item in command.lexemes)


def _only_named(clause: Clause) -> Clause:
    tonal = clause.index("target", "bass") if bass_is_tone(clause) else -1
    end = next((i for i, item in enumerate(clause.lexemes) if item.has("for")), None)
    kept = tuple(
        item
        for index, item in enumerate(clause.lexemes[:end])
        if index != tonal
        and any(item.has(kind) for kind in ("target", "six", "group", "and"))
        and not item.has("reverb")
    )
    sounds = clause.lexemes and any(item.has("target") or item.has("six") for item in kept)
    if not sounds:
        return replace(clause, lexemes=())
    return replace(clause, lexemes=(*kept, Lexeme("sounds", (("complaint", "complaint"),))))

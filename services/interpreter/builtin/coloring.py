"""Echo, chorus, distortion, width and fades: a clause to changes of their settings."""

from __future__ import annotations

from mixdown.mix import TargetSettings
from services.interpreter.builtin.amounts import (
    factor,
    is_addition,
    is_excess,
    is_insufficient,
    is_reduction,
    is_strong,
    is_weak,
    placement,
    share_of_one,
)
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.intent import Adjustment, NumberSetting
from services.interpreter.language.lexemes import Number

Changes = list[tuple[NumberSetting, Adjustment]]

ECHO_STEP = 0.15
CHORUS_STEP = 0.2
DISTORTION_STEP = 0.15
WIDTH_STEP = 0.5
FEEDBACK_STEP = 0.15
SLAPBACK_MS = 110.0
FADE_IN_S = 3.0
FADE_OUT_S = 5.0

_STRONG = 0.7
"""What "a lot" of an amount from 0 to 1 is; the default is two steps, "a bit" one."""


def coloring_changes(clause: Clause, kind: str, settings: TargetSettings) -> Changes:
    """Reads a clause about echo, chorus, distortion, width or a fade.

    Raises:
        UnclearError: the words leave open how much is meant.
    """
    match kind:
        case "echo":
            return _echo(clause, settings)
        case "chorus":
            return [("chorus", _amount(clause, settings.chorus, CHORUS_STEP))]
        case "distortion":
            return [("distortion", _amount(clause, settings.distortion, DISTORTION_STEP))]
        case "width":
            return [("width", _width(clause, settings))]
        case _:
            return _fades(clause)


# --- Amounts from 0 to 1 -------------------------------------------------------------------------


def _amount(clause: Clause, now: float, step: float) -> Adjustment:
    removed = clause.any_of(("remove", "off", "neutral", "mute")) and not clause.has("up")
    numbers = clause.numbers("percent", "", "share")
    if numbers:
        return _numbered(clause, numbers[0])
    if clause.has("double", "double"):
        return Adjustment(now * 2, False)
    if clause.has("half", "half"):
        return Adjustment(now / 2, False)
    if clause.has("max"):
        return Adjustment(1.0, False)
    if removed and not is_weak(clause):
        return Adjustment(0.0, False)
    if removed or is_excess(clause) or is_reduction(clause):
        return Adjustment(-step * factor(clause), True)
    if is_addition(clause) or is_insufficient(clause) or (clause.has("add") and now >= 2 * step):
        return Adjustment(step * factor(clause), True)
    if is_strong(clause):
        return Adjustment(_STRONG, False)
    return Adjustment(step if is_weak(clause) else 2 * step, False)


def _numbered(clause: Clause, number: Number) -> Adjustment:
    share = share_of_one(number)
    assert share is not None
    placed = placement(clause, number)
    relative = number.signed or number.more or placed == "by" or clause.any_of(("more", "less"))
    if relative and placed != "to":
        down = clause.any_of(("down", "less", "remove", "off"))
        return Adjustment(-abs(share) if down else share, True)
    return Adjustment(share, False)


# --- Echo ----------------------------------------------------------------------------------------


def _echo(clause: Clause, settings: TargetSettings) -> Changes:
    times = clause.numbers("millisecond", "second")
    if len(times) > 1:
        raise UnclearError("Which of those times should lie between the echoes?")
    changes: Changes = []
    if times:
        milliseconds = times[0].value * (1 if times[0].unit == "millisecond" else 1000)
        changes.append(("echo_time_ms", Adjustment(milliseconds, False)))
    elif clause.any_of(("longer", "shorter")):
        scale = 1.5 if clause.has("longer") else 1 / 1.5
        changes.append(("echo_time_ms", Adjustment(settings.echo_time_ms * scale, False)))
    if clause.has("echo", "repeats"):
        return [*changes, ("echo_feedback", _feedback(clause, settings))]
    if clause.has("echo", "slapback"):
        changes += [("echo_feedback", Adjustment(0.0, False))]
        if not times:
            changes.append(("echo_time_ms", Adjustment(SLAPBACK_MS, False)))
    if clause.any_of(("longer", "shorter")) or clause.has("echo", "time"):
        if not changes:
            raise UnclearError("How many milliseconds should lie between the echoes?")
        return changes
    if times and settings.echo and not _says_amount(clause):
        return changes
    return [("echo", _amount(clause, settings.echo, ECHO_STEP)), *changes]


def _says_amount(clause: Clause) -> bool:
    kinds = ("more", "less", "small", "big", "remove", "off", "max", "half", "double", "toomuch")
    return clause.any_of(kinds) or bool(clause.numbers("percent"))


def _feedback(clause: Clause, settings: TargetSettings) -> Adjustment:
    numbers = clause.numbers("percent")
    if numbers:
        return Adjustment(numbers[0].value / 100, False)
    if clause.any_of(("remove", "off")):
        return Adjustment(0.0, False)
    if is_reduction(clause) or is_excess(clause):
        return Adjustment(-FEEDBACK_STEP * factor(clause), True)
    if is_addition(clause) or clause.has("add"):
        return Adjustment(FEEDBACK_STEP * factor(clause), True)
    del settings
    raise UnclearError("More repeats of the echo, or fewer?")


# --- Width ---------------------------------------------------------------------------------------


def _width(clause: Clause, settings: TargetSettings) -> Adjustment:
    numbers = clause.numbers("percent", "times")
    if clause.has("width", "mono") and not clause.any_of(("not", "off", "remove")):
        return Adjustment(0.0, False)
    if clause.any_of(("neutral", "off", "remove")) or clause.has("width", "mono", "back"):
        return Adjustment(1.0, False)
    if numbers:
        value = numbers[0].value / (100 if numbers[0].unit == "percent" else 1)
        wider = clause.has("width", "wide") and numbers[0].unit == "percent"
        return Adjustment(1 + value if wider and value < 1 else value, False)
    if clause.has("double", "double"):
        return Adjustment(settings.width * 2, False)
    if clause.has("half", "half"):
        return Adjustment(settings.width / 2, False)
    narrow = clause.has("width", "narrow") or clause.has("q", "narrow")
    if clause.has("max"):
        return Adjustment(0.0 if narrow else 2.0, False)
    narrower = narrow or is_reduction(clause) or is_excess(clause)
    if is_insufficient(clause):
        narrower = narrow
    if not (narrower or clause.has("width", "wide") or is_addition(clause) or clause.has("add")):
        raise UnclearError("Wider or narrower?")
    return Adjustment((-WIDTH_STEP if narrower else WIDTH_STEP) * factor(clause), True)


# --- Fades ---------------------------------------------------------------------------------------


def _fades(clause: Clause) -> Changes:
    ways: list[NumberSetting] = []
    if clause.has("fade", "in"):
        ways.append("fade_in_s")
    if clause.has("fade", "out"):
        ways.append("fade_out_s")
    if not ways and clause.any_of(("remove", "off")):
        ways = ["fade_in_s", "fade_out_s"]
    if not ways:
        raise UnclearError("Should it fade in or out, and over how many seconds?")
    if clause.any_of(("remove", "off", "neutral")):
        return [(way, Adjustment(0.0, False)) for way in ways]
    numbers = clause.numbers("second", "")
    if len(numbers) > 1 or (numbers and len(ways) > 1):
        raise UnclearError("How many seconds in, and how many out?")
    if numbers:
        return [(ways[0], Adjustment(numbers[0].value, False))]
    return [(way, _fade_length(clause, way)) for way in ways]


def _fade_length(clause: Clause, way: NumberSetting) -> Adjustment:
    if clause.any_of(("longer", "more")):
        return Adjustment(2.0 * factor(clause), True)
    if clause.any_of(("shorter", "less")):
        return Adjustment(-2.0 * factor(clause), True)
    default = FADE_IN_S if way == "fade_in_s" else FADE_OUT_S
    scale = 2.0 if clause.has("big") or clause.has("small", "gentle") else 1.0
    return Adjustment(default * (scale if not clause.has("small") else 0.5), False)

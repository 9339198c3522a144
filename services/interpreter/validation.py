"""What a language model answered, checked and turned into the domain's values.

Deterministic, and the only way from a model's words to a mix: unknown targets, wrong types and
missing fields are refused with a sentence that the model can act on; numbers out of range are
clamped later, as for the built-in engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from mixdown.mix import (
    COMPRESSION_LEVELS,
    Compression,
    EqBand,
    EqType,
    Filter,
    FilterType,
)
from services.interpreter.builtin.amounts import decibels
from services.interpreter.intent import (
    NUMBER_SETTINGS,
    Adjustment,
    Change,
    ClarificationReason,
    ClearedSetting,
    Clearing,
    CompressionChange,
    Context,
    Edit,
    History,
    HistoryAction,
    Remix,
    Separation,
    Setting,
    TimeRange,
)

MAX_EDITS = 64
MAX_STEPS = 16
LARGEST_NUMBER = 1e6


class InvalidAnswerError(Exception):
    """An answer breaks the rules; the message says how, in words for the model."""


def separation_from(answer: Mapping[str, Any], context: Context) -> Separation:
    """Reads a separation. Raises InvalidAnswerError."""
    stems = _stems(answer, "stems", context)
    without = _stems(answer, "without", context)
    if not stems and not without:
        raise InvalidAnswerError("stems and without are both empty.")
    if set(without) >= set(context.stems):
        raise InvalidAnswerError("without names every stem, which leaves silence.")
    return Separation(stems, without)


def remix_from(answer: Mapping[str, Any], context: Context) -> Remix:
    """Reads a remix. Raises InvalidAnswerError."""
    items = _list(answer, "edits")
    if len(items) > MAX_EDITS:
        raise InvalidAnswerError(f"there are {len(items)} edits; at most {MAX_EDITS} are allowed.")
    edits = tuple(edit_from(item, context) for item in items)
    outputs = _stems(answer, "outputs", context) if "outputs" in answer else ()
    if not edits and not outputs and context.mix.is_neutral:
        raise InvalidAnswerError("there are no edits.")
    return Remix(edits, outputs)


def history_from(answer: Mapping[str, Any], context: Context) -> History:
    """Reads an undo, redo or reset. Raises InvalidAnswerError."""
    action = _choice(answer, "action", get_args(HistoryAction))
    steps = answer.get("steps", 1)
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise InvalidAnswerError(f"steps must be an integer from 1 to {MAX_STEPS}.")
    target = answer.get("target")
    if target is not None and target not in context.targets:
        raise InvalidAnswerError(_unknown_target(context))
    return History(cast("HistoryAction", action), steps, target if action == "reset" else None)


def reason_from(answer: Mapping[str, Any]) -> ClarificationReason:
    """Reads the reason of a clarification. Raises InvalidAnswerError."""
    return cast("ClarificationReason", _choice(answer, "reason", get_args(ClarificationReason)))


def proposal_from(answer: Mapping[str, Any], context: Context) -> Separation | Remix | None:
    """Reads the proposal of a clarification. Raises InvalidAnswerError."""
    proposal = answer.get("proposal")
    if proposal is None:
        return None
    if not isinstance(proposal, Mapping):
        raise InvalidAnswerError("proposal must be an object or null.")
    kind = _choice(proposal, "kind", ("separation", "remix"))
    if kind == "separation":
        return separation_from(proposal, context)
    return remix_from({"edits": proposal.get("edits")}, context)


def sentences_from(answer: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Reads short texts for people. Raises InvalidAnswerError."""
    items = _list(answer, key) if key in answer else []
    if not all(isinstance(item, str) for item in items):
        raise InvalidAnswerError(f"{key} must hold strings.")
    return tuple(item.strip()[:300] for item in items[:5] if item.strip())


def edit_from(item: Any, context: Context) -> Edit:
    """Reads an edit. Raises InvalidAnswerError."""
    if not isinstance(item, Mapping):
        raise InvalidAnswerError("each edit must be an object.")
    target = item.get("target")
    if target not in context.targets:
        raise InvalidAnswerError(_unknown_target(context))
    name = item.get("setting")
    setting, change = _change(str(name), item)
    return Edit(str(target), setting, change, _range(item))


def _range(item: Mapping[str, Any]) -> TimeRange | None:
    """Reads the stretch of the track that an edit holds in; None for all of it."""
    if item.get("start_s") is None and item.get("end_s") is None:
        return None
    start_s = _number(item, "start_s") if item.get("start_s") is not None else 0.0
    end_s = _number(item, "end_s") if item.get("end_s") is not None else None
    if start_s < 0 or (end_s is not None and end_s <= start_s):
        raise InvalidAnswerError("start_s must not be negative, and end_s must lie after it.")
    return None if start_s == 0 and end_s is None else TimeRange(start_s, end_s)


def _change(name: str, item: Mapping[str, Any]) -> tuple[Setting, Change]:
    relative = item.get("mode") == "add"
    if name in NUMBER_SETTINGS:
        return name, Adjustment(_number(item, "value"), relative)
    match name:
        case "gain_ratio":
            ratio = _number(item, "value")
            if ratio < 0:
                raise InvalidAnswerError("a gain_ratio must not be negative.")
            return "gain_db", Adjustment(decibels(ratio), relative)
        case "muted":
            if not isinstance(item.get("muted"), bool):
                raise InvalidAnswerError("the setting muted needs muted as true or false.")
            return "muted", bool(item["muted"])
        case "compression":
            level = _choice(item, "level", COMPRESSION_LEVELS)
            return "compression", CompressionChange(cast("Compression", level))
        case "compression_levels":
            levels = max(-3, min(3, round(_number(item, "value"))))
            return "compression", CompressionChange(levels=levels)
        case "eq_band":
            return "eq", _band(item)
        case "filter":
            return "filters", _filter(item)
        case "clear":
            return "clear", _clearing(item)
        case _:
            raise InvalidAnswerError("setting is not a known one.")


def _band(item: Mapping[str, Any]) -> EqBand:
    kind = _choice(item, "type", get_args(EqType))
    q = _number(item, "q") if item.get("q") is not None else 1.0
    return EqBand(cast("EqType", kind), _number(item, "frequency_hz"), _number(item, "value"), q)


def _filter(item: Mapping[str, Any]) -> Filter:
    kind = cast("FilterType", _choice(item, "type", get_args(FilterType)))
    if kind == "bandpass":
        return Filter(kind, low_hz=_number(item, "low_hz"), high_hz=_number(item, "high_hz"))
    return Filter(kind, cutoff_hz=_number(item, "frequency_hz"))


def _clearing(item: Mapping[str, Any]) -> Clearing:
    cleared = cast("ClearedSetting", _choice(item, "cleared", get_args(ClearedSetting)))
    if cleared == "filter":
        kind = _choice(item, "type", get_args(FilterType))
        return Clearing(cleared, filter_type=cast("FilterType", kind))
    if cleared == "eq_band":
        frequency_hz = _number(item, "frequency_hz")
        if frequency_hz <= 0:
            raise InvalidAnswerError("frequency_hz must be positive.")
        return Clearing(cleared, frequency_hz=frequency_hz)
    return Clearing(cleared)


def _number(item: Mapping[str, Any], key: str) -> float:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidAnswerError(f"{key} must be a number.")
    if abs(value) > LARGEST_NUMBER or math.isnan(value):  # only what fits into a float
        raise InvalidAnswerError(f"{key} is not a sensible number.")
    return float(value)


def _choice(item: Mapping[str, Any], key: str, allowed: Sequence[str]) -> str:
    value = item.get(key)
    if value not in allowed:
        raise InvalidAnswerError(f"{key} must be one of {', '.join(allowed)}.")
    return str(value)


def _list(answer: Mapping[str, Any], key: str) -> list[Any]:
    value = answer.get(key)
    if not isinstance(value, list):
        raise InvalidAnswerError(f"{key} must be a list.")
    return value


def _stems(answer: Mapping[str, Any], key: str, context: Context) -> tuple[str, ...]:
    items = _list(answer, key)
    for item in items:
        if item not in context.stems:
            raise InvalidAnswerError(f"{key} must hold only {', '.join(context.stems)}.")
    return tuple(dict.fromkeys(items))


def _unknown_target(context: Context) -> str:
    # The words at fault are left out here and below: they may be the user's, and this text goes to
    # the model as a rule.
    return f"target must be one of {', '.join(context.targets)}."

"""Between protobuf and the interpreter's domain, both ways."""

from __future__ import annotations

from typing import TypeVar, assert_never

from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.mix import (
    MASTER,
    EqBand,
    Filter,
    FilterType,
    Mix,
    MixOutOfRangeError,
    UnknownTargetError,
)
from mixdown.mix.protobuf import (
    compression_from_message,
    compression_to_message,
    eq_band_from_message,
    eq_band_to_message,
    filter_from_message,
    filter_to_message,
    mix_from_message,
    mix_to_message,
    output_to_message,
)
from mixdown.mix.v1 import intent_pb2, mix_pb2
from services.interpreter import errors
from services.interpreter.intent import (
    Adjustment,
    Change,
    Clarification,
    ClarificationReason,
    ClearedSetting,
    Clearing,
    CompressionChange,
    Context,
    Edit,
    Exchange,
    History,
    HistoryAction,
    Intent,
    Interpretation,
    Limitation,
    Proposal,
    Remix,
    Separation,
    Setting,
    TimeRange,
    kind_of,
)

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_HISTORY = 50
MAX_KNOWN_MIXES = 16

_REASONS: dict[ClarificationReason, intent_pb2.Clarification.Reason.ValueType] = {
    "unsupported_stem": intent_pb2.Clarification.REASON_UNSUPPORTED_STEM,
    "unsupported_operation": intent_pb2.Clarification.REASON_UNSUPPORTED_OPERATION,
    "ambiguous": intent_pb2.Clarification.REASON_AMBIGUOUS,
    "help": intent_pb2.Clarification.REASON_HELP,
    "out_of_scope": intent_pb2.Clarification.REASON_OUT_OF_SCOPE,
    "greeting": intent_pb2.Clarification.REASON_GREETING,
}
_ACTIONS: dict[HistoryAction, intent_pb2.History.Action.ValueType] = {
    "undo": intent_pb2.History.ACTION_UNDO,
    "redo": intent_pb2.History.ACTION_REDO,
    "reset": intent_pb2.History.ACTION_RESET,
}
_CLEARED: dict[ClearedSetting, intent_pb2.Clearing.Setting.ValueType] = {
    "all": intent_pb2.Clearing.SETTING_UNSPECIFIED,
    "eq": intent_pb2.Clearing.SETTING_EQ,
    "filters": intent_pb2.Clearing.SETTING_FILTERS,
    "filter": intent_pb2.Clearing.SETTING_FILTER,
    "eq_band": intent_pb2.Clearing.SETTING_EQ_BAND,
    "passages": intent_pb2.Clearing.SETTING_PASSAGES,
}
_FILTER_TYPES: dict[FilterType, mix_pb2.Filter.Type.ValueType] = {
    "lowpass": mix_pb2.Filter.TYPE_LOWPASS,
    "highpass": mix_pb2.Filter.TYPE_HIGHPASS,
    "bandpass": mix_pb2.Filter.TYPE_BANDPASS,
}


# --- In ------------------------------------------------------------------------------------------


def context_from_message(message: interpreter_pb2.Context) -> Context:
    """Reads a context.

    Raises:
        NoStemsError: no stem is named.
        UnknownTargetError, MixOutOfRangeError: a mix breaks the rules.
    """
    stems = tuple(dict.fromkeys(stem for stem in message.stems if stem and stem != MASTER))
    if not stems:
        raise errors.NoStemsError
    try:
        return _context(message, stems)
    except UnknownTargetError as error:
        raise errors.UnknownTargetError(
            str(error), metadata={"target": error.target, "known": ", ".join(error.known)}
        ) from error
    except MixOutOfRangeError as error:
        raise errors.MixOutOfRangeError(
            str(error), metadata={"target": error.target, "setting": error.setting}
        ) from error


def _context(message: interpreter_pb2.Context, stems: tuple[str, ...]) -> Context:
    return Context(
        mix=_mix(message.mix, stems),
        history=tuple(_exchange(item) for item in message.history[-MAX_HISTORY:]),
        proposal=_proposal(message.proposal, stems) if message.HasField("proposal") else None,
        stems=stems,
        undo_mixes=tuple(_mix(item, stems) for item in message.undo_mixes[:MAX_KNOWN_MIXES]),
        redo_mixes=tuple(_mix(item, stems) for item in message.redo_mixes[:MAX_KNOWN_MIXES]),
        track_seconds=message.track_seconds or None,
    )


def _mix(message: mix_pb2.Mix, stems: tuple[str, ...]) -> Mix:
    mix = mix_from_message(message)
    mix.check(stems)
    return mix


def _exchange(message: interpreter_pb2.Exchange) -> Exchange:
    intent = intent_from_message(message.intent)
    return Exchange(
        prompt=message.prompt,
        kind=kind_of(intent) if intent else "clarification",
        targets=tuple(message.targets),
        reply=message.reply,
        intent=intent,
    )


def _proposal(message: intent_pb2.Proposal, stems: tuple[str, ...]) -> Proposal | None:
    intent = intent_from_message(message.intent)
    if not isinstance(intent, Separation | Remix):
        return None
    return Proposal(intent, _mix(message.mix, stems))


def intent_from_message(message: intent_pb2.Intent) -> Intent | None:
    """Reads an intent; None where the message holds none that is known."""
    match message.WhichOneof("kind"):
        case "separation":
            return Separation(tuple(message.separation.stems), tuple(message.separation.without))
        case "remix":
            edits = tuple(edit for item in message.remix.edits if (edit := _edit(item)))
            return Remix(edits, tuple(message.remix.outputs))
        case "clarification":
            reason = _key(_REASONS, message.clarification.reason)
            return Clarification(reason or "ambiguous")
        case "history":
            action = _key(_ACTIONS, message.history.action)
            steps = max(1, message.history.steps)
            return History(action, steps, message.history.target or None) if action else None
        case _:
            return None


def _edit(message: intent_pb2.Edit) -> Edit | None:
    changed = _setting_and_change(message)
    if changed is None:
        return None
    return Edit(message.target, *changed, range=_range(message))


def _range(message: intent_pb2.Edit) -> TimeRange | None:
    if not message.HasField("range"):
        return None
    stretch = message.range
    return TimeRange(stretch.start_s, stretch.end_s if stretch.HasField("end_s") else None)


def _setting_and_change(message: intent_pb2.Edit) -> tuple[Setting, Change] | None:
    name = message.WhichOneof("change")
    match name:
        case None:
            return None
        case "muted":
            return "muted", message.muted
        case "compression":
            return "compression", _compression(message.compression)
        case "eq_band":
            return "eq", eq_band_from_message(message.target, message.eq_band)
        case "filter":
            return "filters", filter_from_message(message.target, message.filter)
        case "clear":
            return "clear", _clearing(message.clear)
        case _:
            return name, _adjustment(getattr(message, name))


def _adjustment(message: intent_pb2.Adjustment) -> Adjustment:
    relative = message.WhichOneof("change") == "add"
    return Adjustment(message.add if relative else message.set, relative)


def _compression(message: intent_pb2.CompressionChange) -> CompressionChange:
    if message.WhichOneof("change") == "add_levels":
        return CompressionChange(levels=message.add_levels)
    return CompressionChange(compression_from_message(message.set))


def _clearing(message: intent_pb2.Clearing) -> Clearing:
    return Clearing(
        _key(_CLEARED, message.setting) or "all",
        _key(_FILTER_TYPES, message.filter_type),
        message.frequency_hz or None,
    )


def _key(table: dict[Key, Value], value: Value) -> Key | None:
    return next((key for key, candidate in table.items() if candidate == value), None)


# --- Out -----------------------------------------------------------------------------------------


def interpretation_to_message(found: Interpretation) -> interpreter_pb2.Interpretation:
    """Writes an interpretation."""
    engines = {
        "builtin": interpreter_pb2.ENGINE_BUILTIN,
        "openai": interpreter_pb2.ENGINE_OPENAI,
    }
    return interpreter_pb2.Interpretation(
        intent=intent_to_message(found.intent),
        reply=found.reply,
        mix=mix_to_message(found.mix),
        outputs=[output_to_message(output) for output in found.outputs],
        proposal=_proposal_to_message(found.proposal) if found.proposal else None,
        limitations=[_limitation_to_message(item) for item in found.limitations],
        targets=found.targets,
        engine=engines[found.engine],
        confidence=found.confidence,
        fallback_reason=found.fallback_reason,
    )


def _proposal_to_message(proposal: Proposal) -> intent_pb2.Proposal:
    return intent_pb2.Proposal(
        intent=intent_to_message(proposal.intent), mix=mix_to_message(proposal.mix)
    )


def _limitation_to_message(item: Limitation) -> interpreter_pb2.Limitation:
    kinds = {
        "clamped": interpreter_pb2.Limitation.KIND_CLAMPED,
        "not_done": interpreter_pb2.Limitation.KIND_NOT_DONE,
    }
    return interpreter_pb2.Limitation(
        kind=kinds[item.kind],
        target=item.target,
        setting=item.setting,
        requested=item.requested,
        used=item.used,
        text=item.text,
    )


def intent_to_message(intent: Intent) -> intent_pb2.Intent:
    """Writes an intent."""
    match intent:
        case Separation(stems, without):
            return intent_pb2.Intent(separation=intent_pb2.Separation(stems=stems, without=without))
        case Remix(edits, outputs):
            messages = [_edit_to_message(edit) for edit in edits]
            return intent_pb2.Intent(remix=intent_pb2.Remix(edits=messages, outputs=outputs))
        case Clarification(reason):
            return intent_pb2.Intent(
                clarification=intent_pb2.Clarification(reason=_REASONS[reason])
            )
        case History(action, steps, target):
            return intent_pb2.Intent(
                history=intent_pb2.History(
                    action=_ACTIONS[action], steps=steps, target=target or ""
                )
            )
        case _:
            assert_never(intent)


def _edit_to_message(edit: Edit) -> intent_pb2.Edit:
    message = _change_to_message(edit)
    if edit.range is not None:
        message.range.CopyFrom(
            intent_pb2.TimeRange(start_s=edit.range.start_s, end_s=edit.range.end_s)
        )
    return message


def _change_to_message(edit: Edit) -> intent_pb2.Edit:
    change: Change = edit.change
    match change:
        case bool():
            return intent_pb2.Edit(target=edit.target, muted=change)
        case Adjustment(value, relative):
            written = (
                intent_pb2.Adjustment(add=value) if relative else intent_pb2.Adjustment(set=value)
            )
            message = intent_pb2.Edit(target=edit.target)
            getattr(message, edit.setting).CopyFrom(written)
            return message
        case CompressionChange(level, levels):
            compression = (
                intent_pb2.CompressionChange(add_levels=levels)
                if level is None
                else intent_pb2.CompressionChange(set=compression_to_message(level))
            )
            return intent_pb2.Edit(target=edit.target, compression=compression)
        case EqBand():
            return intent_pb2.Edit(target=edit.target, eq_band=eq_band_to_message(change))
        case Filter():
            return intent_pb2.Edit(target=edit.target, filter=filter_to_message(change))
        case Clearing(setting, filter_type, frequency_hz):
            clearing = intent_pb2.Clearing(
                setting=_CLEARED[setting],
                filter_type=_FILTER_TYPES[filter_type]
                if filter_type
                else mix_pb2.Filter.TYPE_UNSPECIFIED,
                frequency_hz=frequency_hz or 0.0,
            )
            return intent_pb2.Edit(target=edit.target, clear=clearing)
        case _:
            assert_never(change)

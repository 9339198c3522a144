"""Strict JSON schemas of the language model's answers, one per intent.

Strict mode wants every field required (null for absent) and no other fields. Ranges are left to the
validation: not every compatible server knows `minimum`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

KINDS = ("separation", "remix", "clarification", "history")
REASONS = (
    "unsupported_stem",
    "unsupported_operation",
    "ambiguous",
    "help",
    "out_of_scope",
    "greeting",
)
SETTINGS = (
    "gain_db",
    "gain_ratio",
    "muted",
    "pan",
    "reverb",
    "pitch_semitones",
    "compression",
    "compression_levels",
    "echo",
    "echo_time_ms",
    "echo_feedback",
    "chorus",
    "distortion",
    "width",
    "fade_in_s",
    "fade_out_s",
    "eq_band",
    "filter",
    "clear",
)


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _choice(values: Sequence[str], *, nullable: bool = False) -> Schema:
    if nullable:
        return {"type": ["string", "null"], "enum": [*values, None]}
    return {"type": "string", "enum": list(values)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_NUMBER: Schema = {"type": ["number", "null"]}
_TEXT: Schema = {"type": "string"}


def classification() -> Schema:
    """The first stage: what kind of request it is."""
    return _object(kind=_choice(KINDS), why=_TEXT, confidence={"type": "number"})


def extraction(kind: str, stems: Sequence[str], targets: Sequence[str]) -> Schema:
    """The second stage: the details of one kind of request."""
    makers: Mapping[str, Schema] = {
        "separation": _separation(stems),
        "remix": _remix(stems, targets),
        "clarification": _clarification(stems, targets),
        "history": _history(targets),
    }
    return makers[kind]


def _separation(stems: Sequence[str]) -> Schema:
    return _object(
        stems=_list(_choice(stems)), without=_list(_choice(stems)), not_done=_list(_TEXT)
    )


def _remix(stems: Sequence[str], targets: Sequence[str]) -> Schema:
    return _object(
        edits=_list(_edit(targets)), outputs=_list(_choice(stems)), not_done=_list(_TEXT)
    )


def _edit(targets: Sequence[str]) -> Schema:
    return _object(
        target=_choice(targets),
        setting=_choice(SETTINGS),
        mode=_choice(("set", "add"), nullable=True),
        value=_NUMBER,
        muted={"type": ["boolean", "null"]},
        level=_choice(("none", "low", "medium", "high"), nullable=True),
        type=_choice(
            ("peak", "low_shelf", "high_shelf", "lowpass", "highpass", "bandpass"), nullable=True
        ),
        frequency_hz=_NUMBER,
        low_hz=_NUMBER,
        high_hz=_NUMBER,
        q=_NUMBER,
        cleared=_choice(("all", "eq", "filters", "filter", "eq_band", "passages"), nullable=True),
        start_s=_NUMBER,
        end_s=_NUMBER,
    )


def _clarification(stems: Sequence[str], targets: Sequence[str]) -> Schema:
    proposal = _object(
        kind=_choice(("separation", "remix")),
        stems=_list(_choice(stems)),
        without=_list(_choice(stems)),
        edits=_list(_edit(targets)),
    )
    return _object(
        reason=_choice(REASONS),
        reply=_TEXT,
        proposal={"anyOf": [proposal, {"type": "null"}]},
    )


def _history(targets: Sequence[str]) -> Schema:
    return _object(
        action=_choice(("undo", "redo", "reset")),
        steps={"type": "integer"},
        target=_choice(targets, nullable=True),
    )

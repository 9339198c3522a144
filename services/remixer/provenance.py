"""What a file tells about its making: the comment among its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from mixdown.mix import Mix, Output, TargetSettings


def describe(mix: Mix, output: Output, model: str) -> str:
    """Returns what was done to the original, in one line; "" where nothing was.

    >>> describe(Mix().change("vocals", gain_db=3.0), Output("mix"), "htdemucs")
    'Mixdown (htdemucs): vocals gain_db 3'

    Args:
        mix: The settings that the output is made with.
        output: What the file holds.
        model: The separation model; "" where no stem was needed.
    """
    parts = [f"without {' and '.join(output.stems)}"] if output.kind == "without" else []
    if output.kind == "stem":
        parts.append(f"{output.stems[0]} alone")
    parts += [f"{target} {_told(settings)}" for target, settings in mix.targets.items()]
    if not parts:
        return ""
    return f"Mixdown{f' ({model})' if model else ''}: {'; '.join(parts)}"


def tagged(tags: Mapping[str, str], done: str) -> dict[str, str]:
    """Returns the tags of the original with what was done at the end of the comment."""
    if not done:
        return dict(tags)
    return {**tags, "comment": " | ".join(filter(None, (tags.get("comment", ""), done)))}


def _told(settings: TargetSettings) -> str:
    now = replace(settings, passages=())
    told = [f"{name} {_plain(value)}" for name, value in now.changed().items()]
    for passage in settings.passages:
        end = "the end" if passage.end_s is None else f"{passage.end_s:g} s"
        told.append(f"from {passage.start_s:g} s to {end} ({_told(passage.settings) or 'neutral'})")
    return ", ".join(told)


def _plain(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:g}"
        case tuple():
            return " + ".join(_plain(item) for item in value)
        case _ if is_dataclass(value):
            told = (getattr(value, item.name) for item in fields(value))
            return " ".join(_plain(item) for item in told if item is not None)
    return str(value)

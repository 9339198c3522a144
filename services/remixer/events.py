"""What a render tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.remixer.plan import PlannedOutput
from services.runtime.audio.loudness import Loudness
from services.runtime.blobs import Blob

Stage = Literal["queued", "separating", "rendering"]


@dataclass(frozen=True)
class Progress:
    """How far the work is: `fraction` 0 to 1, `eta_seconds` 0 where unknown."""

    stage: Stage
    fraction: float = 0.0
    queue_position: int = 0
    eta_seconds: float = 0.0


@dataclass(frozen=True)
class OutputStarted:
    """An output begins. `size_bytes` is 0 where it is not known before the end."""

    planned: PlannedOutput
    size_bytes: int


@dataclass(frozen=True)
class OutputAudio:
    """Bytes of an output, from `offset_bytes` on."""

    name: str
    offset_bytes: int
    data: bytes


@dataclass(frozen=True)
class OutputFinished:
    """An output is complete, and in the store.

    Args:
        name: The output.
        blob: The file.
        clipped_samples: Samples that its format could not hold.
        peak: Highest absolute sample before encoding.
        loudness: How loud it is, before encoding.
        original_loudness: How loud the original is.
        limited_db: By how much its highest peak was lowered to hold the ceiling.
        cached: Whether it was made before.
    """

    name: str
    blob: Blob
    clipped_samples: int
    peak: float
    loudness: Loudness
    original_loudness: Loudness
    limited_db: float
    cached: bool


@dataclass(frozen=True)
class RenderFinished:
    """All outputs are complete. `notes` tell people what had to be changed on the way."""

    seconds: float
    notes: tuple[str, ...]


Event = Progress | OutputStarted | OutputAudio | OutputFinished | RenderFinished

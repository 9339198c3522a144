"""What a caller of a separation is told, in this order.

Any number of `Queued`, one `Started`, `Progress` and `Audio` mixed, one `Finished`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeparationRequest:
    """Which stems of which track.

    Args:
        track_sha256: The track in the blob store.
        model: Name of a model; empty for the default one.
        stems: Stems to stream, at least one, without repeats.
        start_frame: First frame wanted, at the model's rate.
        shifts: Random shifts to average over, 0 to 10.
        background: Whether nobody listens or waits meanwhile.
    """

    track_sha256: str
    model: str
    stems: tuple[str, ...]
    start_frame: int = 0
    shifts: int = 0
    background: bool = False


@dataclass(frozen=True)
class Queued:
    """The request waits behind `position` others."""

    position: int


@dataclass(frozen=True)
class Started:
    """Work begins; what the audio is. Fields as in the contract."""

    model: str
    weights_sha256: str
    sample_rate_hz: int
    channels: int
    frames: int
    stems: tuple[str, ...]
    cached: bool


@dataclass(frozen=True)
class Progress:
    """How far it is: 0 to 1, and seconds left (0 where unknown)."""

    fraction: float
    eta_seconds: float


@dataclass(frozen=True)
class Audio:
    """Interleaved little-endian float32 of one stem, from frame `offset_frames`."""

    stem: str
    offset_frames: int
    pcm: bytes


@dataclass(frozen=True)
class Finished:
    """How it went. Fields as in the contract."""

    model: str
    backend: str
    seconds: float
    peaks: dict[str, float]
    cached: bool


Event = Queued | Started | Progress | Audio | Finished

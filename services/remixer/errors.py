"""What a render can be refused for.

MixdownError ← RemixerError ← NoOutputsError, RepeatedOutputError, UnknownStemError,
UnknownTargetError, MixOutOfRangeError, UnknownModelError, TooManyRendersError, StemsLostError.
From the runtime: UndecodableAudioError, UnsupportedFormatError, BlobNotFoundError. The separator's
errors are passed on as they came.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from services.runtime.errors import MixdownError


class RemixerError(MixdownError):
    """Root of the remixer's errors."""


class NoOutputsError(RemixerError):
    """A render without outputs, or with an output that is none."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "NO_OUTPUTS"


class UnknownStemError(RemixerError):
    """An output names a stem that the model does not have."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_STEM"

    def __init__(self, stem: str, model: str, known: Iterable[str]) -> None:
        names = ", ".join(known)
        super().__init__(
            f"The model {model} has no stem {stem!r}; it has {names}.",
            metadata={"stem": stem, "model": model, "known": names},
        )


class UnknownTargetError(RemixerError):
    """A mix has a target that is neither a stem of the model nor the master bus."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_TARGET"


class MixOutOfRangeError(RemixerError):
    """A setting of a mix is out of its range."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "MIX_OUT_OF_RANGE"


class UnknownModelError(RemixerError):
    """The separator does not know the model."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_MODEL"


class TooManyRendersError(RemixerError):
    """This process renders as much as it may already."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"

    def __init__(self, limit: int) -> None:
        super().__init__(
            "Too many renders are under way. Please try again in a moment.",
            metadata={"limit": str(limit)},
            retry_after_seconds=1.0,
        )


class StemsLostError(RemixerError):
    """The separator's stream broke its contract: a gap, a missing end, one stem far ahead."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "STEMS_LOST"

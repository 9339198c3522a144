"""What the separator tells its callers.

MixdownError
├── SeparatorError
│   ├── UnknownModelError           INVALID_ARGUMENT / UNKNOWN_MODEL
│   ├── UnknownStemError            INVALID_ARGUMENT / UNKNOWN_STEM
│   ├── InvalidStartFrameError      INVALID_ARGUMENT / INVALID_START_FRAME
│   ├── InvalidShiftsError          INVALID_ARGUMENT / INVALID_SHIFTS
│   ├── QueueFullError              RESOURCE_EXHAUSTED / QUEUE_FULL
│   ├── OutOfDeviceMemoryError      RESOURCE_EXHAUSTED / OUT_OF_MEMORY
│   ├── DeviceLostError             UNAVAILABLE / DEVICE_LOST
│   ├── WeightsUnavailableError     FAILED_PRECONDITION / WEIGHTS_UNAVAILABLE
│   ├── DamagedWeightsError         FAILED_PRECONDITION / WEIGHTS_UNAVAILABLE
│   └── BackendUnavailableError     FAILED_PRECONDITION / BACKEND_UNAVAILABLE
├── BlobNotFoundError               (of the runtime)
└── UndecodableAudioError           (of the runtime)
"""

from __future__ import annotations

from grpc import StatusCode

from services.runtime.errors import MixdownError


class SeparatorError(MixdownError):
    """The root of the separator's own errors."""


class UnknownModelError(SeparatorError):
    """No model has this name."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_MODEL"


class UnknownStemError(SeparatorError):
    """The model has no such stem, or no stem or one twice was asked for."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_STEM"


class InvalidStartFrameError(SeparatorError):
    """The first frame wanted is not within the track."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_START_FRAME"


class InvalidShiftsError(SeparatorError):
    """The number of random shifts is out of range."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_SHIFTS"


class QueueFullError(SeparatorError):
    """Too many requests wait already."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"


class OutOfDeviceMemoryError(SeparatorError):
    """A single segment does not fit into the device's memory."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "OUT_OF_MEMORY"


class DeviceLostError(SeparatorError):
    """The device computes nothing any more for this process, which ends; another one may."""

    code = StatusCode.UNAVAILABLE
    reason = "DEVICE_LOST"

    def __init__(self) -> None:
        super().__init__(
            "The device that separates has failed. Please try again.", retry_after_seconds=1.0
        )


class WeightsUnavailableError(SeparatorError):
    """No source of the model's weights can be reached."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "WEIGHTS_UNAVAILABLE"


class DamagedWeightsError(SeparatorError):
    """A file of weights is not what it should be."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "WEIGHTS_UNAVAILABLE"


class BackendUnavailableError(SeparatorError):
    """A backend cannot run here, or not this model, or not exactly enough."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "BACKEND_UNAVAILABLE"

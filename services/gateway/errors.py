"""What the gateway answers when a call cannot be answered.

    MixdownError
    ├── NoIdentityError         UNAUTHENTICATED / NO_IDENTITY
    ├── EmptyFileError          INVALID_ARGUMENT / EMPTY_FILE
    ├── UnsupportedAudioError   INVALID_ARGUMENT / UNSUPPORTED_AUDIO
    ├── ChecksumMismatchError   INVALID_ARGUMENT / CHECKSUM_MISMATCH
    ├── UploadTooLargeError     INVALID_ARGUMENT / UPLOAD_TOO_LARGE
    ├── MissingStartError       INVALID_ARGUMENT / MISSING_START
    ├── RepeatedStartError      INVALID_ARGUMENT / REPEATED_START
    ├── OffsetMismatchError     ABORTED / OFFSET_MISMATCH
    ├── InvalidNameError        INVALID_ARGUMENT / INVALID_NAME
    ├── InvalidRequestIdError   INVALID_ARGUMENT / INVALID_REQUEST_ID
    ├── PromptEmptyError        INVALID_ARGUMENT / PROMPT_EMPTY
    ├── PromptTooLongError      INVALID_ARGUMENT / PROMPT_TOO_LONG
    ├── InvalidBatchError       INVALID_ARGUMENT / INVALID_BATCH
    ├── UnknownModelError       INVALID_ARGUMENT / UNKNOWN_MODEL
    ├── UnknownStemError        INVALID_ARGUMENT / UNKNOWN_STEM
    ├── UnknownTargetError      INVALID_ARGUMENT / UNKNOWN_TARGET
    ├── MixOutOfRangeError      INVALID_ARGUMENT / MIX_OUT_OF_RANGE
    ├── InvalidOffsetError      OUT_OF_RANGE / INVALID_OFFSET
    ├── NoDirectDownloadError   FAILED_PRECONDITION / NO_DIRECT_DOWNLOAD
    └── LeaseLostError          ABORTED / LEASE_LOST (never reaches a caller)

`UndecodableAudioError` and `UnsupportedFormatError` come from `services.runtime.errors`; what the
services behind the gateway answer is passed on.
"""

from __future__ import annotations

import grpc

from services.runtime.errors import MixdownError, UndecodableAudioError


class NoIdentityError(MixdownError):
    """Nobody has said who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "NO_IDENTITY"


class EmptyFileError(MixdownError):
    """A file without a byte."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "EMPTY_FILE"


class UnsupportedAudioError(MixdownError):
    """Audio beyond the limits of this installation."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNSUPPORTED_AUDIO"


class ChecksumMismatchError(MixdownError):
    """The bytes that came are not those that were announced."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "CHECKSUM_MISMATCH"


class UploadTooLargeError(MixdownError):
    """A file that is larger than allowed, or than announced."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UPLOAD_TOO_LARGE"


class MissingStartError(MixdownError):
    """An upload that does not begin with `start`."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "MISSING_START"


class RepeatedStartError(MixdownError):
    """An upload with a second `start`."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "REPEATED_START"


class OffsetMismatchError(MixdownError):
    """The bytes sent do not begin where the committed ones end."""

    code = grpc.StatusCode.ABORTED
    reason = "OFFSET_MISMATCH"


class InvalidNameError(MixdownError):
    """A name that is empty, too long or looks like a path."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_NAME"


class InvalidRequestIdError(MixdownError):
    """A request id that is too long or not printable."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST_ID"


class PromptEmptyError(MixdownError):
    """A prompt without a word."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "PROMPT_EMPTY"


class PromptTooLongError(MixdownError):
    """A prompt that is longer than allowed."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "PROMPT_TOO_LONG"


class InvalidBatchError(MixdownError):
    """A batch without a track, with too many, or with one twice."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_BATCH"


class UnknownModelError(MixdownError):
    """A separation model that this installation does not have."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_MODEL"


class UnknownStemError(MixdownError):
    """A stem that the model of the session does not have, or an output that makes no sense."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_STEM"


class UnknownTargetError(MixdownError):
    """A mix that sets a target that the model of the session does not have."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNKNOWN_TARGET"


class MixOutOfRangeError(MixdownError):
    """A mix with a setting outside of its range."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "MIX_OUT_OF_RANGE"


class InvalidOffsetError(MixdownError):
    """An offset outside of the file."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = "INVALID_OFFSET"


class NoDirectDownloadError(MixdownError):
    """Files cannot be downloaded from the blob store itself here."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "NO_DIRECT_DOWNLOAD"

    def __init__(self) -> None:
        super().__init__("Files cannot be downloaded directly here; use DownloadArtifact.")


class LeaseLostError(MixdownError):
    """The turn is no longer ours: cancelled, or taken over by another gateway."""

    code = grpc.StatusCode.ABORTED
    reason = "LEASE_LOST"


REFUSED_FILES: tuple[type[MixdownError], ...] = (
    ChecksumMismatchError,
    UnsupportedAudioError,
    UndecodableAudioError,
)
"""What is said of a file that came whole and can never become a track."""

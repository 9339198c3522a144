"""What can go wrong in the session service.

MixdownError
└── SessionError
    ├── NotFoundError
    │   ├── TrackNotFoundError, SessionNotFoundError, TurnNotFoundError
    │   └── ArtifactNotFoundError, UploadNotFoundError
    ├── InvalidArgumentError
    │   ├── InvalidNameError, InvalidTextError, InvalidRequestIdError, InvalidFieldMaskError
    │   ├── InvalidPageTokenError, InvalidPageSizeError, InvalidLeaseDurationError
    │   └── InvalidEventError, UnknownMixTargetError, MixSettingOutOfRangeError
    ├── UploadConflictError, RequestIdConflictError, TurnEndedError
    ├── TurnInProgressError, TurnLineFullError, TurnLeasedError, LeaseLostError
    ├── TurnQuotaError, StorageQuotaError, AudioQuotaError
    ├── BlobLeavingError, BlobGoneError, ShuttingDownError
    └── DatabaseUnavailableError
"""

from __future__ import annotations

import grpc

from services.runtime.errors import MixdownError, QuotaViolation


class SessionError(MixdownError):
    """Root of the errors of the session service."""


class NotFoundError(SessionError):
    """Something does not exist, or belongs to another user, which is the same to a caller."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class TrackNotFoundError(NotFoundError):
    """There is no such track."""

    reason = "TRACK_NOT_FOUND"

    def __init__(self, track_id: str) -> None:
        super().__init__("There is no such track.", metadata={"track_id": track_id})


class SessionNotFoundError(NotFoundError):
    """There is no such session."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__("There is no such session.", metadata={"session_id": session_id})


class TurnNotFoundError(NotFoundError):
    """There is no such turn."""

    reason = "TURN_NOT_FOUND"

    def __init__(self, turn_id: str) -> None:
        super().__init__("There is no such turn.", metadata={"turn_id": turn_id})


class ArtifactNotFoundError(NotFoundError):
    """There is no such artifact."""

    reason = "ARTIFACT_NOT_FOUND"

    def __init__(self, artifact_id: str) -> None:
        super().__init__("There is no such file.", metadata={"artifact_id": artifact_id})


class UploadNotFoundError(NotFoundError):
    """There is no such upload."""

    reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__("There is no such upload.", metadata={"upload_id": upload_id})


class InvalidArgumentError(SessionError):
    """A request does not keep the rules of its fields."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"


class InvalidNameError(InvalidArgumentError):
    """A name for people is empty, too long, or looks like a path."""

    reason = "INVALID_NAME"


class InvalidTextError(InvalidArgumentError):
    """A text holds the character NUL, which no database column can."""

    reason = "INVALID_TEXT"

    def __init__(self) -> None:
        super().__init__("A text must not hold the character NUL.")


class InvalidRequestIdError(InvalidArgumentError):
    """A request id is empty or too long."""

    reason = "INVALID_REQUEST_ID"


class InvalidFieldMaskError(InvalidArgumentError):
    """An update names a field that cannot be set."""

    reason = "INVALID_FIELD_MASK"


class InvalidPageTokenError(InvalidArgumentError):
    """A page token was not given by this listing."""

    reason = "INVALID_PAGE_TOKEN"

    def __init__(self) -> None:
        super().__init__("This page token was not given by this listing.")


class InvalidPageSizeError(InvalidArgumentError):
    """A page size is negative."""

    reason = "INVALID_PAGE_SIZE"

    def __init__(self, page_size: int) -> None:
        super().__init__(
            "The page size must not be negative.", metadata={"page_size": str(page_size)}
        )


class InvalidLeaseDurationError(InvalidArgumentError):
    """A lease would be too short or too long."""

    reason = "INVALID_LEASE_DURATION"


class InvalidEventError(InvalidArgumentError):
    """No event or outcome is set, or it lacks what it must have."""

    reason = "INVALID_EVENT"


class UnknownMixTargetError(InvalidArgumentError):
    """A mix names a target that the session's model does not have."""

    reason = "UNKNOWN_TARGET"


class MixSettingOutOfRangeError(InvalidArgumentError):
    """A setting of a mix is out of its range."""

    reason = "MIX_OUT_OF_RANGE"


class UploadConflictError(SessionError):
    """An upload exists with another size."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "UPLOAD_CONFLICT"


class RequestIdConflictError(SessionError):
    """A request id was used for another request."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "REQUEST_ID_CONFLICT"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "This request id was used for another request.", metadata={"request_id": request_id}
        )


class TurnEndedError(SessionError):
    """A turn has ended, and nobody can work on it any more."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "TURN_ENDED"

    def __init__(self, turn_id: str) -> None:
        super().__init__("This turn has ended.", metadata={"turn_id": turn_id})


class TurnInProgressError(SessionError):
    """Another turn of the session is worked on."""

    code = grpc.StatusCode.ABORTED
    reason = "TURN_IN_PROGRESS"

    def __init__(self, turn_id: str) -> None:
        super().__init__(
            "Another turn of this session is still running.", metadata={"turn_id": turn_id}
        )


class TurnLineFullError(SessionError):
    """Too many turns of the session wait for another one."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TURN_LINE_FULL"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} turns of this session wait already.",
            metadata={"limit": str(limit)},
            retry_after_seconds=5.0,
        )


class TurnLeasedError(SessionError):
    """Somebody works on the turn."""

    code = grpc.StatusCode.ABORTED
    reason = "TURN_LEASED"

    def __init__(self, turn_id: str) -> None:
        super().__init__("Somebody works on this turn.", metadata={"turn_id": turn_id})


class LeaseLostError(SessionError):
    """A lease was given back, passed to somebody else, or ended with its turn."""

    code = grpc.StatusCode.ABORTED
    reason = "LEASE_LOST"

    def __init__(self, turn_id: str) -> None:
        super().__init__("The lease of this turn is lost.", metadata={"turn_id": turn_id})


class TurnQuotaError(SessionError):
    """A user has as many turns under way or in line as allowed."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TURN_QUOTA_EXCEEDED"

    def __init__(self, limit: int) -> None:
        message = f"{limit} turns may run or wait at once."
        super().__init__(
            message,
            metadata={"limit": str(limit)},
            retry_after_seconds=5.0,
            violation=QuotaViolation("user/turns", message),
        )


class StorageQuotaError(SessionError):
    """What a user wants to store is more than allowed."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "STORAGE_QUOTA_EXCEEDED"

    def __init__(self, limit_bytes: int, stored_bytes: int) -> None:
        message = f"{limit_bytes} bytes may be stored; delete tracks or sessions to make room."
        super().__init__(
            message,
            metadata={"limit_bytes": str(limit_bytes), "stored_bytes": str(stored_bytes)},
            violation=QuotaViolation("user/bytes", message),
        )


class AudioQuotaError(SessionError):
    """A user's turns would render more audio today than allowed."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "AUDIO_QUOTA_EXCEEDED"

    def __init__(
        self, limit_minutes: float, used_minutes: float, reset_time: str, seconds: float
    ) -> None:
        message = f"{limit_minutes:g} minutes of audio may be rendered in a day (UTC)."
        super().__init__(
            message,
            metadata={
                "limit_minutes": f"{limit_minutes:g}",
                "used_minutes": f"{used_minutes:.2f}",
                "reset_time": reset_time,
            },
            retry_after_seconds=seconds,
            violation=QuotaViolation("user/daily-audio", message),
        )


class DatabaseUnavailableError(SessionError):
    """The database cannot be reached, or is too busy to answer in time."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The database cannot be reached now. Please try again.", retry_after_seconds=1.0
        )


class BlobLeavingError(SessionError):
    """A file that is to be referred to is being deleted right now."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "BLOB_LEAVING"

    def __init__(self, sha256: str) -> None:
        super().__init__(
            "This file is being deleted right now. Please try again.",
            metadata={"sha256": sha256},
            retry_after_seconds=1.0,
        )


class BlobGoneError(SessionError):
    """A file that is to be referred to was deleted lately, and may not be there."""

    code = grpc.StatusCode.ABORTED
    reason = "BLOB_GONE"

    def __init__(self, sha256: str) -> None:
        super().__init__(
            "This file was deleted meanwhile.",
            metadata={"sha256": sha256},
            retry_after_seconds=0.1,
        )


class ShuttingDownError(SessionError):
    """This replica is going; another one goes on."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__("This replica is going. Please call again.", retry_after_seconds=0.2)

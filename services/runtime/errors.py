"""The root of every service's exceptions, and how an error travels over gRPC.

An error is one gRPC code and one `google.rpc.ErrorInfo` (AIP-193): domain "mixdown", a reason in
UPPER_SNAKE_CASE, the variables of the message in `metadata`. Each service has one exception tree
below `MixdownError`, each class naming its code and reason once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "mixdown"


@dataclass(frozen=True)
class QuotaViolation:
    """Which quota a call would exceed; becomes a QuotaFailure.

    Args:
        subject: What the quota counts: "user/turns", "user/bytes", "user/daily-audio".
        description: One sentence for people.
    """

    subject: str
    description: str


class MixdownError(Exception):
    """What a caller is told when a call cannot be answered.

    Args:
        message: One sentence for people; no internals.
        metadata: The variables of the message.
        retry_after_seconds: When it makes sense to call again; becomes a RetryInfo.
        violation: Which quota stands in the way; becomes a QuotaFailure.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        metadata: dict[str, str] | None = None,
        retry_after_seconds: float | None = None,
        violation: QuotaViolation | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata or {}
        self.retry_after_seconds = retry_after_seconds
        self.violation = violation


class InternalError(MixdownError):
    """A defect. The message names the request, the log has the rest."""


class BlobNotFoundError(MixdownError):
    """Nothing with this content is in the blob store."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "BLOB_NOT_FOUND"


class BlobDamagedError(MixdownError):
    """A file in the blob store is not what its name says."""

    code = grpc.StatusCode.DATA_LOSS
    reason = "BLOB_DAMAGED"


class BlobStoreUnavailableError(MixdownError):
    """The blob store cannot be reached, or did not do what it was asked."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "BLOB_STORE_UNAVAILABLE"

    def __init__(
        self,
        message: str = "The store of files cannot be reached now. Please try again.",
        *,
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata, retry_after_seconds=1.0)


class UndecodableAudioError(MixdownError):
    """There is no audio in the bytes, or it is damaged."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNDECODABLE_AUDIO"


class UnsupportedFormatError(MixdownError):
    """An encoding cannot hold what it is asked to hold."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNSUPPORTED_FORMAT"


def status_of(error: MixdownError) -> grpc.Status:
    """Returns the rich gRPC status of an error."""
    details = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    ]
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    if error.violation is not None:
        failure = error_details_pb2.QuotaFailure()
        failure.violations.add(
            subject=error.violation.subject, description=error.violation.description
        )
        status.details.add().Pack(failure)
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        status.details.append(packed)
    return rpc_status.to_status(status)


def error_info_of(error: grpc.RpcError) -> error_details_pb2.ErrorInfo:
    """Returns the ErrorInfo that came with a failed call; an empty one where none did."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
            break
    return info

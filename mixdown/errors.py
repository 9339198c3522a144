"""What goes wrong for a caller.

MixdownError                what Mixdown answered; `reason` and `code` say which
├── NotReachableError       nothing answers at the address, or not any more
├── TurnFailedError         the turn ended by an error
├── TurnCancelledError      the turn was cancelled
└── DamagedFileError        what arrived is not what was sent
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

_TRANSPORT_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}


class MixdownError(Exception):
    """What Mixdown answered to a call that it could not carry out.

    Args:
        message: What went wrong, for people.
        reason: Why, for programs: "SESSION_NOT_FOUND", "PROMPT_TOO_LONG", … as told at each call
            of the contract.
        code: The gRPC status code.
        metadata: The variables of the message.
        retry_after_seconds: After how long it makes sense to ask again; None where it is not told.
        violations: Which quotas are used up, each in words for people.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        code: grpc.StatusCode,
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
        violations: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.code = code
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds
        self.violations = tuple(violations)


class NotReachableError(MixdownError):
    """Nothing answers at the address, or not any more."""


class TurnFailedError(MixdownError):
    """The turn ended by an error."""


class TurnCancelledError(MixdownError):
    """The turn was cancelled."""

    def __init__(self) -> None:
        super().__init__(
            "The turn was cancelled.", reason="CANCELLED", code=grpc.StatusCode.CANCELLED
        )


class DamagedFileError(MixdownError):
    """The bytes that arrived are not those that were sent."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} arrived damaged.", reason="DAMAGED_FILE", code=grpc.StatusCode.DATA_LOSS
        )


def error_from_call(error: aio.AioRpcError, address: str) -> MixdownError:
    """Returns what a failed call means."""
    code = error.code()
    info = error_details_pb2.ErrorInfo()
    for detail in _details(error):
        if detail.Unpack(info):
            return MixdownError(
                error.details() or code.name,
                reason=info.reason,
                code=code,
                metadata=info.metadata,
                retry_after_seconds=retry_delay_seconds(error),
                violations=_violations(error),
            )
    if code == grpc.StatusCode.UNAVAILABLE:
        return NotReachableError(
            f"Mixdown does not answer at {address}.", reason="NOT_REACHABLE", code=code
        )
    return MixdownError(error.details() or code.name, reason=code.name, code=code)


def may_succeed_again(error: aio.AioRpcError) -> bool:
    """Tells whether the same call may succeed later.

    That holds for UNAVAILABLE, for what comes with a RetryInfo, and for what the transport says of
    itself when a connection breaks: that comes without an ErrorInfo.
    """
    if error.code() == grpc.StatusCode.UNAVAILABLE or retry_delay_seconds(error) is not None:
        return True
    return error.code() in _TRANSPORT_CODES and not _details(error)


def retry_delay_seconds(error: aio.AioRpcError) -> float | None:
    """Returns after how long the server wants to be asked again; None where it does not say."""
    for detail in _details(error):
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def _violations(error: aio.AioRpcError) -> list[str]:
    failure = error_details_pb2.QuotaFailure()
    for detail in _details(error):
        if detail.Unpack(failure):
            return [violation.description for violation in failure.violations]
    return []


def _details(error: aio.AioRpcError) -> list[any_pb2.Any]:
    status = rpc_status.from_call(cast("grpc.Call", error))
    return list(status.details) if status else []

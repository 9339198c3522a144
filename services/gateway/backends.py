"""The services behind the gateway, and what their failures mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import grpc
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from mixdown.conversation.v1 import conversation_pb2
from mixdown.interpreter.v1 import interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2_grpc
from mixdown.separator.v1 import separator_pb2_grpc
from mixdown.session.v1 import session_pb2_grpc
from services.gateway.settings import GatewaySettings
from services.runtime.channels import connect
from services.runtime.errors import error_info_of

SESSION_TIMEOUT_SECONDS: Final = 10.0
"""How long the session service may take for one answer."""

INTERPRETER_TIMEOUT_SECONDS: Final = 60.0
"""How long the interpreter may take; it bounds its language model more tightly itself."""

_TRANSPORT_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}


@dataclass(frozen=True)
class Backends:
    """Stubs of the services behind the gateway, and their channels."""

    session: session_pb2_grpc.SessionServiceAsyncStub
    interpreter: interpreter_pb2_grpc.InterpreterServiceAsyncStub
    remixer: remixer_pb2_grpc.RemixerServiceAsyncStub
    separator: separator_pb2_grpc.SeparatorServiceAsyncStub
    channels: tuple[aio.Channel, ...]

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self.channels:
            await channel.close()


def open_backends(settings: GatewaySettings) -> Backends:
    """Opens channels to the services that `settings` name."""
    session = connect(settings.session_address, settings.tls)
    interpreter = connect(settings.interpreter_address, settings.tls)
    remixer = connect(settings.remixer_address, settings.tls, carries_audio=True)
    separator = connect(settings.separator_address, settings.tls)
    return Backends(
        session=session_pb2_grpc.SessionServiceStub(session),
        interpreter=interpreter_pb2_grpc.InterpreterServiceStub(interpreter),
        remixer=remixer_pb2_grpc.RemixerServiceStub(remixer),
        separator=separator_pb2_grpc.SeparatorServiceStub(separator),
        channels=(session, interpreter, remixer, separator),
    )


def is_transient(error: aio.AioRpcError) -> bool:
    """Tells whether the same call may succeed when it is made again.

    That holds for UNAVAILABLE, and for what the transport says of itself when a server dies in
    the middle of a stream: those come without an ErrorInfo.
    """
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return True
    return error.code() in _TRANSPORT_CODES and not error_info_of(error).reason


def retry_delay_seconds(error: aio.AioRpcError) -> float | None:
    """Returns after how long a busy service wants to be asked again; None where it does not say."""
    status = rpc_status.from_call(cast("grpc.Call", error))
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToTimedelta().total_seconds())
    return None


def reason_of(error: aio.AioRpcError) -> str:
    """Returns the reason that came with an error; "" where none did."""
    return str(error_info_of(error).reason)


def error_message(error: aio.AioRpcError) -> conversation_pb2.Error:
    """Returns what is stored of a service's answer when it makes a turn fail."""
    info = error_info_of(error)
    if not info.reason:
        # What no service wrote is not for callers: addresses, library messages.
        unavailable = is_transient(error)
        return conversation_pb2.Error(
            code=(grpc.StatusCode.UNAVAILABLE if unavailable else grpc.StatusCode.INTERNAL).value[
                0
            ],
            reason="SERVICE_UNAVAILABLE" if unavailable else "INTERNAL",
            message="A part of Mixdown cannot be reached now. Please try again."
            if unavailable
            else "Something went wrong on our side.",
        )
    return conversation_pb2.Error(
        code=error.code().value[0],
        reason=info.reason,
        message=error.details() or "",
        metadata=dict(info.metadata),
    )

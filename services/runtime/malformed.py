"""Messages that cannot be read.

Left to itself, gRPC answers bytes that are no message (or text that is no UTF-8) with INTERNAL, as
if the fault were ours, and tells nobody why. Here they reach the handler's wrapper as `MALFORMED`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from services.runtime.errors import MixdownError


class MalformedMessageError(MixdownError):
    """The bytes of a request are no message of its type."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "MALFORMED_MESSAGE"


MALFORMED: Final = object()
"""What stands for a message that could not be read."""


def forgiving(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Returns a deserializer that gives `MALFORMED` where `deserialize` fails."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return MALFORMED

    return read


def check(request: Any) -> None:
    """Raises MalformedMessageError for what could not be read."""
    if request is MALFORMED:
        raise MalformedMessageError("The request is no message of its type.")

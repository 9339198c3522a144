"""What an interpretation can be refused for.

MixdownError ← InterpreterError ← PromptEmptyError, PromptTooLongError, NoStemsError,
UnknownTargetError, MixOutOfRangeError, EngineNotConfiguredError.
"""

from __future__ import annotations

from typing import ClassVar

import grpc

from services.runtime.errors import MixdownError


class InterpreterError(MixdownError):
    """Root of the interpreter's errors."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INVALID_ARGUMENT
    reason: ClassVar[str] = "INVALID_REQUEST"


class PromptEmptyError(InterpreterError):
    """There is nothing in the prompt."""

    reason = "PROMPT_EMPTY"

    def __init__(self) -> None:
        super().__init__("The prompt is empty.")


class PromptTooLongError(InterpreterError):
    """The prompt is longer than allowed."""

    reason = "PROMPT_TOO_LONG"

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            f"The prompt has {length} characters; at most {limit} are allowed.",
            metadata={"length": str(length), "limit": str(limit)},
        )


class NoStemsError(InterpreterError):
    """The context does not say which stems the model has."""

    reason = "NO_STEMS"

    def __init__(self) -> None:
        super().__init__("The context names no stems; at least one is needed.")


class UnknownTargetError(InterpreterError):
    """The context's mix has a target that is neither a stem nor the master bus."""

    reason = "UNKNOWN_TARGET"


class MixOutOfRangeError(InterpreterError):
    """A setting of the context's mix is out of its range."""

    reason = "MIX_OUT_OF_RANGE"


class EngineNotConfiguredError(InterpreterError):
    """The language model was asked for and no key is set."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "ENGINE_NOT_CONFIGURED"

    def __init__(self) -> None:
        super().__init__(
            "The OpenAI engine has no key. Set MIXDOWN_OPENAI_API_KEY, or use the built-in engine."
        )

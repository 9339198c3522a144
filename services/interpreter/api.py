"""The interpreter's gRPC service: translates requests to the domain and answers back."""

from __future__ import annotations

import time
from collections.abc import Mapping

from grpc import aio

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from services.interpreter import errors, metrics
from services.interpreter.engines import EngineChoice, Engines
from services.interpreter.messages import context_from_message, interpretation_to_message

MAX_PROMPT_CHARACTERS = 4000

_ENGINES: Mapping[int, EngineChoice] = {
    interpreter_pb2.ENGINE_BUILTIN: "builtin",
    interpreter_pb2.ENGINE_OPENAI: "openai",
    interpreter_pb2.ENGINE_AUTO: "auto",
}


class InterpreterService(interpreter_pb2_grpc.InterpreterServiceServicer):
    """Interprets prompts."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def Interpret(  # noqa: N802  # the name in the contract
        self,
        request: interpreter_pb2.InterpretRequest,
        context: aio.ServicerContext[
            interpreter_pb2.InterpretRequest, interpreter_pb2.Interpretation
        ],
    ) -> interpreter_pb2.Interpretation:
        """Interprets one prompt."""
        prompt = request.prompt.strip()
        if not prompt:
            raise errors.PromptEmptyError
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise errors.PromptTooLongError(len(prompt), MAX_PROMPT_CHARACTERS)
        known = context_from_message(request.context)
        began = time.perf_counter()
        found = await self._engines.interpret(prompt, known, _ENGINES.get(request.engine))
        metrics.count(found, time.perf_counter() - began)
        return interpretation_to_message(found)

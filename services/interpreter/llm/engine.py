"""The OpenAI engine: classify, extract with a strict schema, validate, repair once.

Works with every server that speaks the Chat Completions API; `client.py` knows how they differ.
Whatever goes wrong ends in `LanguageModelError` with a reason; the caller then takes the built-in
engine's answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import openai
import structlog
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.trace import SpanKind

from services.interpreter.intent import Context, Interpretation
from services.interpreter.llm import prompts, schemas
from services.interpreter.llm.answers import interpretation_from
from services.interpreter.llm.circuit import CircuitBreaker
from services.interpreter.llm.client import ChatClient, LanguageModelError, Question
from services.interpreter.metrics import MODEL_CALLS, MODEL_REPAIRS, MODEL_SECONDS, observe_circuit
from services.interpreter.settings import InterpreterSettings
from services.interpreter.validation import InvalidAnswerError
from services.runtime import tracing
from services.runtime.context import remaining_seconds

_log = structlog.get_logger("mixdown.interpreter.model")

DEADLINE_RESERVE_SECONDS = 0.25
"""What is left of the caller's deadline for the fallback and the way back."""

LONGEST_PAUSE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.25


class LanguageModelEngine:
    """Understands prompts by a language model.

    Args:
        client: The client; it makes one attempt a call (`max_retries=0`), because only this class
            knows how much of the caller's deadline is left for another one.
        settings: Model, timeouts, attempts.
        circuit: Leaves the model alone after failures in a row.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, settings: InterpreterSettings, circuit: CircuitBreaker
    ) -> None:
        self._settings = settings
        self._circuit = circuit
        self._client = ChatClient(client, settings)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: InterpreterSettings) -> AsyncIterator[LanguageModelEngine]:
        """Opens the engine and closes its connections in the end."""
        assert settings.openai_api_key is not None
        async with openai.AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url,
            max_retries=0,
            timeout=settings.openai_timeout_seconds,
        ) as client:
            circuit = CircuitBreaker(settings.circuit_failures, settings.circuit_open_seconds)
            observe_circuit(lambda: circuit.is_open)
            yield cls(client, settings, circuit)

    async def interpret(self, prompt: str, context: Context) -> Interpretation:
        """Interprets a prompt.

        Raises:
            LanguageModelError: there is no usable answer.
        """
        if not self._circuit.allows_call():
            raise LanguageModelError("circuit_open", "the language model is left alone for now")
        started = time.monotonic()
        try:
            found = await self._interpret(prompt, context)
        except LanguageModelError as error:
            # A model that refuses or answers nonsense is there: only absence opens the circuit.
            if error.reason in {"refused", "invalid_answer"}:
                self._circuit.succeeded()
            else:
                self._circuit.failed()
            self._count(error.reason, started)
            raise
        except asyncio.CancelledError:
            self._circuit.abandoned()
            raise
        self._circuit.succeeded()
        self._count("ok", started)
        return found

    def _count(self, outcome: str, started: float) -> None:
        seconds = time.monotonic() - started
        MODEL_CALLS.labels(outcome).inc()
        MODEL_SECONDS.observe(seconds)
        _log.info("language_model", outcome=outcome, seconds=round(seconds, 3))

    async def _interpret(self, prompt: str, context: Context) -> Interpretation:
        facts: ChatCompletionMessageParam = {
            "role": "user",
            "content": prompts.facts(prompt, context),
        }
        classified = await self._ask(
            Question("classification", schemas.classification(), prompts.CLASSIFY, (facts,))
        )
        kind, confidence = _kind_from(classified)
        schema = schemas.extraction(kind, context.stems, context.targets)
        question = Question(kind, schema, prompts.extract(kind), (facts,))
        answer = await self._ask(question)
        try:
            return interpretation_from(kind, _json(answer), context, confidence)
        except InvalidAnswerError as problem:
            MODEL_REPAIRS.inc()
            repaired = await self._ask(question.followed_by(answer, prompts.repair(str(problem))))
            try:
                return interpretation_from(kind, _json(repaired), context, confidence)
            except InvalidAnswerError as again:
                raise LanguageModelError("invalid_answer", str(again)) from again

    async def _ask(self, question: Question) -> str:
        """Puts a question, again after a pause where the model is busy or away."""
        for attempt in range(1, self._settings.openai_attempts + 1):
            try:
                seconds = self._seconds_left()
                if seconds <= 0:
                    raise LanguageModelError("timeout", "the caller's deadline leaves no time")
                with self._span(question, attempt):
                    return await self._client.ask(question, seconds)
            except LanguageModelError as error:
                if attempt == self._settings.openai_attempts or not error.may_pass:
                    raise
                pause = max(_pause_seconds(attempt), error.retry_after_seconds or 0.0)
                if self._seconds_left() <= pause:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _span(self, question: Question, attempt: int) -> AbstractContextManager[object]:
        model = self._settings.openai_model
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "mixdown.stage": question.name,
            "mixdown.attempt": attempt,
        }
        return tracing.span(f"chat {model}", SpanKind.CLIENT, attributes)

    def _seconds_left(self) -> float:
        left = remaining_seconds()
        limit = self._settings.openai_timeout_seconds
        return limit if left is None else min(limit, left - DEADLINE_RESERVE_SECONDS)


_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^```(?:json)?|```$")
"""What models without a strict schema put around their answer."""


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(_FENCE.sub("", _THOUGHTS.sub("", text).strip()))
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise InvalidAnswerError("it is not JSON.") from error
    if not isinstance(document, dict):
        raise InvalidAnswerError("it is not a JSON object.")
    return document


def _kind_from(answer: str) -> tuple[str, float]:
    try:
        document = _json(answer)
    except InvalidAnswerError as error:
        raise LanguageModelError("invalid_answer", str(error)) from error
    kind, confidence = document.get("kind"), document.get("confidence", 0.8)
    if kind not in schemas.KINDS:
        raise LanguageModelError("invalid_answer", "an unknown kind")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        confidence = 0.8
    # In this order NaN becomes 0, and no integer is too large for a float.
    return str(kind), float(min(1.0, max(0.0, confidence)))


def _pause_seconds(attempt: int) -> float:
    """Full jitter: anywhere up to a pause that doubles with each attempt."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, longest)  # noqa: S311  # spreads retries, hides nothing

"""The OpenAI engine: classify, extract with a strict schema, validate, repair once.

Works with every server that speaks the Chat Completions API with `response_format: json_schema`.
Whatever goes wrong ends in `LanguageModelError` with a reason; the caller then takes the built-in
engine's answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import structlog
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from opentelemetry.trace import SpanKind

from services.interpreter.intent import Context, Interpretation
from services.interpreter.llm import prompts, schemas
from services.interpreter.llm.answers import interpretation_from
from services.interpreter.llm.circuit import CircuitBreaker
from services.interpreter.llm.metrics import ModelMetrics
from services.interpreter.metrics import observe_circuit
from services.interpreter.settings import InterpreterSettings
from services.interpreter.validation import InvalidAnswerError
from services.runtime import tracing
from services.runtime.context import remaining_seconds

_log = structlog.get_logger("mixdown.interpreter.model")

DEADLINE_RESERVE_SECONDS = 0.25
"""What is left of the caller's deadline for the fallback and the way back."""

LONGEST_PAUSE_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.25


class LanguageModelError(Exception):
    """The language model gave no usable answer.

    Args:
        reason: "timeout", "rate_limited", "refused", "invalid_answer", "unavailable" or
            "circuit_open".
        detail: What happened, for the log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class _Question:
    """One stage: its rules, its schema, and what was said so far."""

    name: str
    schema: schemas.Schema
    messages: tuple[ChatCompletionMessageParam, ...]

    def followed_by(self, answer: str, correction: str) -> _Question:
        """Returns the question with the model's answer and what is wrong with it."""
        more: tuple[ChatCompletionMessageParam, ...] = (
            {"role": "assistant", "content": answer},
            {"role": "system", "content": correction},
        )
        return _Question(self.name, self.schema, (*self.messages, *more))


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
        self._client = client
        self._settings = settings
        self._circuit = circuit
        self.metrics = ModelMetrics()

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
        self.metrics.count(outcome, seconds)
        _log.info(
            "language_model",
            outcome=outcome,
            seconds=round(seconds, 3),
            prompt_tokens=self.metrics.prompt_tokens,
            completion_tokens=self.metrics.completion_tokens,
        )

    async def _interpret(self, prompt: str, context: Context) -> Interpretation:
        facts: ChatCompletionMessageParam = {
            "role": "user",
            "content": prompts.facts(prompt, context),
        }
        classified = await self._ask(
            _Question(
                "classification",
                schemas.classification(),
                ({"role": "system", "content": prompts.CLASSIFY}, facts),
            )
        )
        kind, confidence = _kind_from(classified)
        question = _Question(
            kind,
            schemas.extraction(kind, context.stems, context.targets),
            ({"role": "system", "content": prompts.extract(kind)}, facts),
        )
        answer = await self._ask(question)
        try:
            return interpretation_from(kind, _json(answer), context, confidence)
        except InvalidAnswerError as problem:
            self.metrics.count_repair()
            repaired = await self._ask(question.followed_by(answer, prompts.repair(str(problem))))
            try:
                return interpretation_from(kind, _json(repaired), context, confidence)
            except InvalidAnswerError as again:
                raise LanguageModelError("invalid_answer", str(again)) from again

    async def _ask(self, question: _Question) -> str:
        """Puts a question, again after a pause where the model is busy or away."""
        for attempt in range(1, self._settings.openai_attempts + 1):
            try:
                with self._span(question, attempt):
                    return await self._ask_once(question)
            except LanguageModelError as error:
                last = attempt == self._settings.openai_attempts
                if last or error.reason not in {"rate_limited", "unavailable"}:
                    raise
                pause = _pause_seconds(attempt)
                if self._seconds_left() <= pause:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _span(self, question: _Question, attempt: int) -> AbstractContextManager[object]:
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

    async def _ask_once(self, question: _Question) -> str:
        seconds = self._seconds_left()
        if seconds <= 0:
            raise LanguageModelError("timeout", "the caller's deadline leaves no time")
        try:
            # The library's timeout is per read; this one holds for the whole answer.
            async with asyncio.timeout(seconds):
                completion = await self._client.chat.completions.create(
                    model=self._settings.openai_model,
                    messages=list(question.messages),
                    response_format={
                        "type": "json_schema",
                        "json_schema": {
                            "name": question.name,
                            "strict": True,
                            "schema": question.schema,
                        },
                    },
                    max_completion_tokens=self._settings.openai_max_completion_tokens,
                    temperature=0,
                    timeout=seconds,
                )
        except (TimeoutError, openai.APITimeoutError) as error:
            raise LanguageModelError("timeout", f"no answer within {seconds:.1f} s") from error
        except openai.RateLimitError as error:
            raise LanguageModelError("rate_limited", "too many requests") from error
        except openai.APIStatusError as error:
            detail = f"HTTP status {error.status_code}"
            raise LanguageModelError("unavailable", detail) from error
        except openai.APIResponseValidationError as error:
            raise LanguageModelError("invalid_answer", "not a completion") from error
        except openai.APIConnectionError as error:
            raise LanguageModelError("unavailable", "no connection") from error
        except (openai.OpenAIError, ValueError) as error:
            raise LanguageModelError("invalid_answer", type(error).__name__) from error
        return self._content(completion)

    def _content(self, completion: ChatCompletion) -> str:
        """Returns the text of a completion.

        Raises:
            LanguageModelError: it was refused, cut off, or is not a completion at all.
        """
        # Compatible servers answer all sorts of things; the library does not check them.
        choices = getattr(completion, "choices", None)
        if not choices:
            raise LanguageModelError("invalid_answer", "a completion without choices")
        usage = getattr(completion, "usage", None)
        if usage is not None:
            sent, received = usage.prompt_tokens or 0, usage.completion_tokens or 0
            self.metrics.count_tokens(sent, received)
            tracing.describe(prompt_tokens=sent, completion_tokens=received)
        choice = choices[0]
        if choice.finish_reason == "length":
            raise LanguageModelError("invalid_answer", "the answer was cut off")
        if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
            raise LanguageModelError("refused", "the model refused")
        content = choice.message.content
        if not isinstance(content, str) or not content.strip():
            raise LanguageModelError("invalid_answer", "an empty answer")
        return content


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
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
    return str(kind), min(max(float(confidence), 0.0), 1.0)


def _pause_seconds(attempt: int) -> float:
    """Full jitter: anywhere up to a pause that doubles with each attempt."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, longest)  # noqa: S311  # spreads retries, hides nothing

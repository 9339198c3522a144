"""One question to a server that speaks the Chat Completions API, and what can come of it.

Servers and models differ in what they take: some know no strict schema, some no temperature, some
another name for the longest answer. What a server says it does not take is left out from then on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import openai
import structlog
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from services.interpreter.llm.schemas import Schema
from services.interpreter.metrics import MODEL_TOKENS
from services.interpreter.settings import InterpreterSettings
from services.runtime import tracing

_log = structlog.get_logger("mixdown.interpreter.model")

RETRIABLE_STATUS = {408, 409, 429}
"""Client errors that may pass by themselves; server errors may, too."""


class LanguageModelError(Exception):
    """The language model gave no usable answer.

    Args:
        reason: "timeout", "rate_limited", "refused", "invalid_answer", "unavailable" or
            "circuit_open".
        detail: What happened, for the log.
        may_pass: Whether asking again can help.
        retry_after_seconds: How long the server asks to be left alone, where it says so.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        may_pass: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.may_pass = may_pass
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class Question:
    """One stage: its rules, its schema, and what was said so far.

    Args:
        name: The stage.
        schema: What the answer must look like.
        rules: The system's text.
        said: What follows the rules; the first is the user's facts.
    """

    name: str
    schema: Schema
    rules: str
    said: tuple[ChatCompletionMessageParam, ...]

    def followed_by(self, answer: str, correction: str) -> Question:
        """Returns the question with the model's answer and what is wrong with it.

        The correction joins the rules, at the front: many models take no second system message.
        """
        more: tuple[ChatCompletionMessageParam, ...] = (
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "Answer again."},
        )
        return replace(self, rules=f"{self.rules}\n\n{correction}", said=(*self.said, *more))


AnswerFormat = Literal["json_schema", "json_object", "text"]
_WEAKER: Mapping[AnswerFormat, AnswerFormat] = {
    "json_schema": "json_object",
    "json_object": "text",
}


class ChatClient:
    """Puts single questions to the server.

    Args:
        client: The library's client, which makes one attempt a call (`max_retries=0`).
        settings: Model, format of answers, longest answer.
    """

    def __init__(self, client: openai.AsyncOpenAI, settings: InterpreterSettings) -> None:
        self._client = client
        self._settings = settings
        self._format: AnswerFormat = settings.openai_answer_format
        self._has_temperature = True
        self._limit_name = "max_completion_tokens"

    async def ask(self, question: Question, seconds: float) -> str:
        """Returns the model's answer.

        Raises:
            LanguageModelError: there is none within `seconds`.
        """
        try:
            # The library's timeout is per read; this one holds for the whole answer.
            async with asyncio.timeout(seconds):
                return self._content(await self._completion(question, seconds))
        except (TimeoutError, openai.APITimeoutError) as error:
            raise LanguageModelError("timeout", f"no answer within {seconds:.1f} s") from error
        except openai.APIStatusError as error:
            raise _status_error(error) from error
        except openai.APIResponseValidationError as error:
            raise LanguageModelError("invalid_answer", "not a completion") from error
        except openai.APIConnectionError as error:
            raise LanguageModelError("unavailable", "no connection", may_pass=True) from error
        except (openai.OpenAIError, ValueError) as error:
            raise LanguageModelError("invalid_answer", type(error).__name__) from error

    async def _completion(self, question: Question, seconds: float) -> ChatCompletion:
        while True:
            try:
                completion: ChatCompletion = await self._client.chat.completions.create(
                    **self._request(question), timeout=seconds
                )
            except openai.BadRequestError as error:
                if not self._concede(str(error).lower()):
                    raise
            else:
                return completion

    def _request(self, question: Question) -> dict[str, Any]:
        rules = question.rules
        if self._format != "json_schema":
            schema = json.dumps(question.schema)
            rules += f"\n\nAnswer with one JSON object of this schema, and nothing else: {schema}"
        request: dict[str, Any] = {
            "model": self._settings.openai_model,
            "messages": [{"role": "system", "content": rules}, *question.said],
            self._limit_name: self._settings.openai_max_completion_tokens,
        }
        if self._has_temperature:
            request["temperature"] = 0
        if self._format == "json_schema":
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": question.name, "strict": True, "schema": question.schema},
            }
        elif self._format == "json_object":
            request["response_format"] = {"type": "json_object"}
        return request

    def _concede(self, complaint: str) -> bool:
        """Leaves out what the server says it does not take; False where that is nothing of ours."""
        if "max_completion_tokens" in complaint and self._limit_name != "max_tokens":
            self._limit_name = "max_tokens"
        elif "temperature" in complaint and self._has_temperature:
            self._has_temperature = False
        elif self._format in _WEAKER and any(word in complaint for word in _ABOUT_FORMAT):
            self._format = _WEAKER[self._format]
        else:
            return False
        _log.warning(
            "language_model_takes_less",
            answer_format=self._format,
            temperature=self._has_temperature,
            limit=self._limit_name,
        )
        return True

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
            MODEL_TOKENS.labels("prompt").inc(sent)
            MODEL_TOKENS.labels("completion").inc(received)
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


_ABOUT_FORMAT = ("response_format", "json_schema", "schema", "grammar", "json mode", "json_object")


def _status_error(error: openai.APIStatusError) -> LanguageModelError:
    status = error.status_code
    spent = getattr(error, "code", None) == "insufficient_quota"
    reason = "rate_limited" if status == 429 else "unavailable"
    return LanguageModelError(
        reason,
        f"HTTP status {status}",
        may_pass=not spent and (status in RETRIABLE_STATUS or status >= 500),
        retry_after_seconds=_retry_after(error.response.headers),
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Reads how long the server asks to be left alone; None where it does not say a number."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * scale
        except (KeyError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    return None

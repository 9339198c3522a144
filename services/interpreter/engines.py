"""Which engine answers: the built-in one where it is sure, the language model for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import structlog

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.errors import EngineNotConfiguredError
from services.interpreter.intent import Clarification, Context, Interpretation
from services.interpreter.llm.client import LanguageModelError
from services.interpreter.llm.engine import LanguageModelEngine
from services.interpreter.settings import InterpreterSettings

EngineChoice = Literal["builtin", "openai", "auto"]

_log = structlog.get_logger("mixdown.interpreter")

_SETTLED_REASONS = {"greeting", "help", "out_of_scope", "unsupported_stem"}
"""Reasons of clarifications that need no second opinion where the built-in engine is sure."""


class Engines:
    """Both engines behind one call.

    Args:
        builtin: The built-in engine.
        model: The language model; None where no key is set.
        default: The engine of requests that name none.
        sure_from: Confidence from which "auto" takes the built-in engine's answer.
    """

    def __init__(
        self,
        builtin: BuiltinEngine,
        model: LanguageModelEngine | None,
        default: EngineChoice = "auto",
        sure_from: float = 0.85,
    ) -> None:
        self._builtin = builtin
        self._model = model
        self._default: EngineChoice = default
        self._sure_from = sure_from

    async def interpret(
        self, prompt: str, context: Context, choice: EngineChoice | None = None
    ) -> Interpretation:
        """Interprets a prompt.

        Raises:
            EngineNotConfiguredError: "openai" was asked for and no key is set.
        """
        chosen = choice or self._default
        if chosen == "openai" and self._model is None:
            raise EngineNotConfiguredError
        found = self._builtin.interpret(prompt, context)
        if chosen == "builtin" or self._model is None:
            return found
        if chosen == "auto" and self._is_sure(found):
            return found
        try:
            return await self._model.interpret(prompt, context)
        except LanguageModelError as error:
            _log.warning("language_model_fallback", reason=error.reason, detail=str(error))
            return replace(found, fallback_reason=error.reason)

    def _is_sure(self, found: Interpretation) -> bool:
        if found.confidence < self._sure_from:
            return False
        intent = found.intent
        return not isinstance(intent, Clarification) or intent.reason in _SETTLED_REASONS


@asynccontextmanager
async def engines_from(settings: InterpreterSettings) -> AsyncIterator[Engines]:
    """Opens the engines that the settings ask for, and closes them in the end.

    Raises:
        EngineNotConfiguredError: the default engine is "openai" and no key is set.
    """
    if settings.openai_api_key is None:
        if settings.engine == "openai":
            raise EngineNotConfiguredError
        yield Engines(BuiltinEngine(), None, settings.engine, settings.sure_from)
        return
    async with LanguageModelEngine.open(settings) as model:
        yield Engines(BuiltinEngine(), model, settings.engine, settings.sure_from)

"""Fixtures: a scripted language model, and engines that speak to it over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.engines import Engines
from services.interpreter.llm.engine import LanguageModelEngine
from services.interpreter.settings import InterpreterSettings
from tests.integration.interpreter.chat_server import ChatServer, chat_server
from tests.patience import PATIENCE_SECONDS


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture
def interpreter_settings(server: ChatServer) -> InterpreterSettings:
    return InterpreterSettings(
        openai_api_key=SecretStr("test"),
        openai_base_url=server.url,
        openai_model="scripted",
        openai_timeout_seconds=PATIENCE_SECONDS,
        openai_attempts=2,
        circuit_failures=3,
        circuit_open_seconds=30,
    )


@pytest_asyncio.fixture
async def model(interpreter_settings: InterpreterSettings) -> AsyncIterator[LanguageModelEngine]:
    async with LanguageModelEngine.open(interpreter_settings) as engine:
        yield engine


@pytest.fixture
def engines(model: LanguageModelEngine) -> Engines:
    return Engines(BuiltinEngine(), model, "auto")

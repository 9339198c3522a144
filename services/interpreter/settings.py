"""Settings of the interpreter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from services.runtime.settings import Settings


class InterpreterSettings(Settings):
    """Settings of the interpreter, read from the environment (`MIXDOWN_OPENAI_API_KEY`, …)."""

    listen: str = Field(
        default="127.0.0.1:50053",
        description="Address to listen on, host:port. Port 0 takes a free one.",
    )
    engine: Literal["builtin", "openai", "auto"] = Field(
        default="auto",
        description="The engine of requests that name none. `auto` asks the language model only "
        "where a key is set and the built-in engine is not sure.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        description="Key of the OpenAI API, or of a server that speaks it. Without one only the "
        "built-in engine answers.",
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Where the OpenAI API is served; any compatible server will do.",
    )
    openai_model: str = Field(
        default="gpt-4.1-mini", description="The language model that is asked, by its name there."
    )
    openai_answer_format: Literal["json_schema", "json_object", "text"] = Field(
        default="json_schema",
        description="How answers are kept in shape: by a strict schema; as some JSON object, with "
        "the schema in the rules; or by the rules alone. A server that refuses a format gets the "
        "next one by itself.",
    )
    openai_timeout_seconds: float = Field(
        default=8.0,
        gt=0,
        description="Longest wait for one answer of the language model; less where the caller's "
        "deadline is nearer.",
    )
    openai_attempts: int = Field(
        default=2,
        ge=1,
        le=5,
        description="How often a question is put to the language model when it is busy or away.",
    )
    openai_max_completion_tokens: int = Field(
        default=1200, ge=100, description="Longest answer of the language model, in tokens."
    )
    circuit_failures: int = Field(
        default=5,
        ge=1,
        description="Failures of the language model in a row until it is left alone for a while.",
    )
    circuit_open_seconds: float = Field(
        default=30.0,
        gt=0,
        description="How long the language model is left alone after such failures.",
    )
    sure_from: float = Field(
        default=0.85,
        ge=0,
        le=1,
        description="Confidence from which `auto` takes the built-in engine's answer.",
    )

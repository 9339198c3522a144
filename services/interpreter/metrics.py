"""What the interpreter counts and measures; what was said is never among it."""

from __future__ import annotations

from collections.abc import Callable

from services.interpreter.intent import Clarification, Interpretation, kind_of
from services.runtime.metrics import begin_at_zero, counter, gauge, histogram

_PROMPTS = counter(
    "mixdown_interpreter_prompts_total",
    "Prompts by the engine that answered, the kind of intent, and of a clarification its reason.",
    ("engine", "intent", "reason"),
)
_SECONDS = histogram(
    "mixdown_interpreter_interpretation_seconds",
    "How long interpretations took, by the engine that answered.",
    ("engine",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0),
)
_LIMITATIONS = counter(
    "mixdown_interpreter_limitations_total",
    "Parts of prompts that could not be done as said: clamped to a range, or not done.",
    ("kind",),
)
_FALLBACKS = counter(
    "mixdown_interpreter_fallbacks_total",
    "Prompts that the built-in engine answered in place of the language model, by cause.",
    ("reason",),
)
_FALLBACK_REASONS = (
    *("timeout", "rate_limited", "refused", "invalid_answer", "unavailable", "circuit_open"),
)
begin_at_zero(_FALLBACKS, _FALLBACK_REASONS)

MODEL_CALLS = counter(
    "mixdown_interpreter_model_calls_total",
    "Prompts put to the language model, by how it went: ok, or why there was no answer.",
    ("outcome",),
)
begin_at_zero(MODEL_CALLS, ("ok", *_FALLBACK_REASONS))
MODEL_SECONDS = histogram(
    "mixdown_interpreter_model_seconds",
    "How long the language model took for one prompt, all questions and attempts included.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0),
)
MODEL_TOKENS = counter(
    "mixdown_interpreter_model_tokens_total",
    "Tokens of the language model: sent (prompt) and received (completion).",
    ("direction",),
)
MODEL_REPAIRS = counter(
    "mixdown_interpreter_model_repairs_total",
    "Answers of the language model that did not hold and were asked for again.",
)
_CIRCUIT_OPEN = gauge(
    "mixdown_interpreter_circuit_open",
    "1 while the language model is left alone after failures in a row, else 0.",
)


def observe_circuit(is_open: Callable[[], bool]) -> None:
    """Has the circuit breaker looked at whenever metrics are fetched."""
    _CIRCUIT_OPEN.set_function(is_open)


def count(found: Interpretation, seconds: float) -> None:
    """Counts an interpretation and how long it took."""
    intent = found.intent
    reason = intent.reason if isinstance(intent, Clarification) else ""
    _PROMPTS.labels(found.engine, kind_of(intent), reason).inc()
    _SECONDS.labels(found.engine).observe(seconds)
    for limitation in found.limitations:
        _LIMITATIONS.labels(limitation.kind).inc()
    if found.fallback_reason:
        _FALLBACKS.labels(found.fallback_reason).inc()

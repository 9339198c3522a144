"""Counts of the language model's use: of one engine here, of the process for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.interpreter import metrics


@dataclass
class ModelMetrics:
    """What the language model cost and how it went, since the process started.

    Args:
        calls: Calls by outcome: "ok" or a fallback reason.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        seconds: Time waited for answers, in total.
        repairs: Answers that had to be asked for again.
    """

    calls: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    repairs: int = 0

    def count(self, outcome: str, seconds: float) -> None:
        """Counts one call."""
        self.calls[outcome] = self.calls.get(outcome, 0) + 1
        self.seconds += seconds
        metrics.MODEL_CALLS.labels(outcome).inc()
        metrics.MODEL_SECONDS.observe(seconds)

    def count_tokens(self, prompt: int, completion: int) -> None:
        """Counts the tokens of one answer."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        metrics.MODEL_TOKENS.labels("prompt").inc(prompt)
        metrics.MODEL_TOKENS.labels("completion").inc(completion)

    def count_repair(self) -> None:
        """Counts an answer that is asked for again."""
        self.repairs += 1
        metrics.MODEL_REPAIRS.inc()

"""Measures an engine on golden cases.

python -m services.interpreter.evaluate CASES.jsonl [--engine builtin] [--outcomes OUT.jsonl]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.engines import EngineChoice, engines_from
from services.interpreter.golden import Case, Outcome, case_from, mismatch, outcome_of
from services.interpreter.intent import Context, Interpretation
from services.interpreter.settings import InterpreterSettings

Interpret = Callable[[str, Context], Coroutine[Any, Any, Interpretation]]


@dataclass(frozen=True)
class Result:
    """One case and how it went.

    Args:
        case: The case.
        outcome: What was understood.
        why: Why that is not what was expected; "" where it is.
        seconds: How long it took.
        fallback_reason: Why the language model did not answer, if it did not.
    """

    case: Case
    outcome: Outcome
    why: str
    seconds: float
    fallback_reason: str = ""

    @property
    def is_wrong_edit(self) -> bool:
        """Whether audio other than expected was made: far worse than a question too many."""
        return bool(self.why) and self.outcome["type"] in {"remix", "separation"}

    @property
    def is_unneeded_question(self) -> bool:
        """Whether a question was asked where audio was expected."""
        expects_audio = all(item["type"] != "clarification" for item in self.case.expect)
        return bool(self.why) and self.outcome["type"] == "clarification" and expects_audio


async def measure(cases: Iterable[Case], interpret: Interpret) -> list[Result]:
    """Runs all cases, one after another."""
    results: list[Result] = []
    for case in cases:
        started = time.perf_counter()
        found = await interpret(case.prompt, case.context)
        seconds = time.perf_counter() - started
        outcome = outcome_of(found)
        why = mismatch(outcome, case.expect, case.context.mix)
        results.append(Result(case, outcome, why, seconds, found.fallback_reason))
    return results


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Sums up results as plain JSON types."""
    total = len(results)
    milliseconds = sorted(result.seconds * 1000 for result in results)
    percentiles = (
        quantiles(milliseconds, n=100, method="inclusive") if total > 1 else milliseconds * 99
    )
    wrong = [result.case.identifier for result in results if result.is_wrong_edit]
    out = [r for r in results if _reasons(r.case) == {"out_of_scope"}]
    return {
        "cases": total,
        "accuracy": _share([not result.why for result in results]),
        "categories": {
            name: {
                "cases": len(group),
                "accuracy": _share([not result.why for result in group]),
                "failing": {r.case.identifier: r.why for r in group if r.why},
            }
            for name, group in _grouped(results).items()
        },
        "out_of_scope_recall": _share([not result.why for result in out]),
        "wrong_edits": {"share": len(wrong) / total if total else 0.0, "ids": wrong},
        "unneeded_questions": [r.case.identifier for r in results if r.is_unneeded_question],
        "fallbacks": sum(bool(result.fallback_reason) for result in results),
        "milliseconds": {
            "p50": round(percentiles[49], 3),
            "p99": round(percentiles[98], 3),
            "max": round(milliseconds[-1], 3),
        },
    }


def _reasons(case: Case) -> set[str]:
    return {
        reason
        for item in case.expect
        for reason in (
            [item["type"]]
            if item["type"] != "clarification"
            else [item["reason"]]
            if isinstance(item["reason"], str)
            else item["reason"]
        )
    }


def _share(flags: Sequence[bool]) -> float | None:
    return round(sum(flags) / len(flags), 4) if flags else None


def _grouped(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.case.category, []).append(result)
    return groups


def _print(summary: dict[str, Any]) -> None:
    write = sys.stdout.write
    for name, group in summary["categories"].items():
        write(f"{name:12} {group['accuracy']:7.1%}  of {group['cases']}\n")
        for identifier, why in group["failing"].items():
            write(f"    {identifier}: {why}\n")
    recall = summary["out_of_scope_recall"]
    write(f"{'all':12} {summary['accuracy'] or 0:7.1%}  of {summary['cases']}\n")
    write(f"out-of-scope recall: {'none' if recall is None else f'{recall:.1%}'}\n")
    wrong = summary["wrong_edits"]
    write(f"wrong edits: {wrong['share']:.2%} {' '.join(wrong['ids'])}\n")
    write(f"unneeded questions: {len(summary['unneeded_questions'])}\n")
    write(f"answered by the fallback: {summary['fallbacks']}\n")
    times = summary["milliseconds"]
    write(f"milliseconds: p50 {times['p50']}, p99 {times['p99']}, max {times['max']}\n")


def read_cases(path: Path) -> list[Case]:
    """Reads a file of cases, one JSON object a line."""
    with path.open(encoding="utf-8") as lines:
        return [case_from(json.loads(line)) for line in lines if line.strip()]


async def run(engine: EngineChoice, cases: list[Case]) -> list[Result]:
    """Runs all cases through an engine that is made here, its vocabulary read beforehand."""
    if engine == "builtin":
        builtin = BuiltinEngine()

        async def interpret(prompt: str, context: Context) -> Interpretation:
            return builtin.interpret(prompt, context)

        builtin.interpret("make the vocals louder", Context())  # reads the vocabulary
        return await measure(cases, interpret)
    async with engines_from(InterpreterSettings()) as engines:
        return await measure(
            cases, lambda prompt, context: engines.interpret(prompt, context, engine)
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns 0 however many cases fail."""
    parser = argparse.ArgumentParser(prog="python -m services.interpreter.evaluate")
    parser.add_argument("cases", type=Path, help="golden cases, one JSON object a line")
    parser.add_argument("--engine", choices=("builtin", "openai", "auto"), default="builtin")
    parser.add_argument("--outcomes", type=Path, help="write one line a case: id and outcome")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    options = parser.parse_args(arguments)
    results = asyncio.run(run(options.engine, read_cases(options.cases)))
    if options.outcomes:
        lines = (
            json.dumps({"id": r.case.identifier, "outcome": r.outcome}, ensure_ascii=False)
            for r in results
        )
        options.outcomes.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    summary = report(results)
    if options.json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        _print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
